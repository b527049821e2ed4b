"""`/v1/unsubscribe/{token}`: the one-click unsubscribe of RFC 8058.

GET and HEAD show a page with a button and change nothing, for scanners follow links. POST needs no cookie, no login and
no question: the address is closed first, then the log knows, then the answer goes out. Repeating it is harmless.
"""

from __future__ import annotations

from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import HTMLResponse

from orchestrator.contracts.envelope import ANONYMOUS_PREFIX
from orchestrator.contracts.records import Event
from orchestrator.partitioning import partition_of
from orchestrator.ports import Clock
from orchestrator.runtime.links import send_of_token
from orchestrator.runtime.publishing import Publisher
from orchestrator.settings import Settings
from orchestrator.stores.outbox import Outbox
from orchestrator.stores.recipients import Recipients
from orchestrator.stores.suppression import Suppression

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{title}</title></head>
<body><main><h1>{title}</h1><p>{text}</p>{form}</main></body></html>
"""
_FORM = '<form method="post"><button type="submit">Unsubscribe</button></form>'
#: The page holds no script and no style, posts only to itself, and tells nobody the token.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Unsubscribe:
    """The endpoint for customers and their mail programs."""

    def __init__(self, settings: Settings, publisher: Publisher, redis: Redis, clock: Clock) -> None:
        seed = settings.seed.get_secret_value()
        self._settings = settings
        self._publisher = publisher
        self._clock = clock
        self._recipients = Recipients(redis, seed)
        self._suppression = Suppression(redis, seed)
        self._outbox = Outbox(redis, topic=settings.topics.events)

    async def get(self, request: Request) -> HTMLResponse:
        """The page with the button."""
        if send_of_token(self._settings, request.path_params["token"]) is None:
            return _unknown()
        return _page(200, "Unsubscribe", "Press the button to get no more of these messages.", form=True)

    async def post(self, request: Request) -> HTMLResponse:
        """Unsubscribe the address the send went to. Raises DependencyUnreachable and RedisError."""
        send_id = send_of_token(self._settings, request.path_params["token"])
        if send_id is None:
            return _unknown()
        address = await self._recipients.address_of(send_id)
        if not address:
            return _page(410, "This link has expired", "Please use the link of a newer message.")
        await self._suppression.suppress_hmac(address, reason="unsubscribed", scope="marketing")
        customer = await self._recipients.customer_of(send_id)
        if customer:
            await self._publisher.publish([await self._event(send_id, customer)])
        return _page(200, "You are unsubscribed", "You will get no more of these messages.")

    async def _event(self, send_id: str, customer: str) -> Event:
        send = await self._outbox.read(partition_of(customer, await self._publisher.partitions()), send_id)
        now = self._clock.now()
        return Event(
            id=f"{send_id}:unsubscribed",
            type="message_unsubscribed",
            time=now,
            received=now,
            customer=customer,
            anonymous=customer.startswith(ANONYMOUS_PREFIX),
            source="dispatcher",
            data={"send_id": send_id} | ({"channel": send.channel} if send is not None and send.channel else {}),
        )


def _unknown() -> HTMLResponse:
    return _page(404, "This link does not work", "Please use the link as it stands in the message.")


def _page(status: int, title: str, text: str, *, form: bool = False) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=title, text=text, form=_FORM if form else ""), status, headers=_HEADERS)
