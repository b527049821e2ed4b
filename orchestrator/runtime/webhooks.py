"""`POST /v1/webhooks/{provider}[/{kind}]`: what providers report, verified and published as events.

    body → verify → parse → whose send? → suppress the address if it said no → log → settle the send → answer

An address that said no is suppressed before anything else, so that no claim after our answer can write to it. What
cannot be tied to a send goes to the dead letters, and the provider still gets its 2xx: repeating would not help. When a
part of ours is away the provider gets a 5xx and repeats; event ids come from the provider's, so that is harmless.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.contracts.dead_letters import DeadLetter, dead_letter
from orchestrator.contracts.envelope import ANONYMOUS_PREFIX, MIN_TIME, to_ms
from orchestrator.contracts.normalise import normalise
from orchestrator.contracts.receipts import Callback, Feedback, FeedbackKind
from orchestrator.contracts.records import Event
from orchestrator.engine.answers import reply_word
from orchestrator.errors import BadEvent, WebhookRefused
from orchestrator.partitioning import partition_of
from orchestrator.ports import Channel, Clock
from orchestrator.runtime.links import callback_url
from orchestrator.runtime.problems import Problem
from orchestrator.runtime.publishing import Publisher
from orchestrator.runtime.reconcile import resolve_from_feedback
from orchestrator.runtime.request_body import read_body
from orchestrator.settings import Settings
from orchestrator.stores.outbox import Outbox
from orchestrator.stores.recipients import Recipients
from orchestrator.stores.suppression import Scope, Suppression

_logger = logging.getLogger(__name__)

_TYPES: Final[Mapping[FeedbackKind, str]] = {
    FeedbackKind.SENT: "message_sent",
    FeedbackKind.DELIVERED: "message_delivered",
    FeedbackKind.OPENED: "message_opened",
    FeedbackKind.CLICKED: "message_clicked",
    FeedbackKind.BOUNCED: "message_bounced",
    FeedbackKind.FAILED: "message_failed",
    FeedbackKind.UNSUBSCRIBED: "message_unsubscribed",
    FeedbackKind.COMPLAINED: "message_complained",
    FeedbackKind.REPLY: "reply",
}
#: The send's own end: the outbox reports it too, so both use one id and one source, and it counts once.
_ENDS: Final = {FeedbackKind.SENT: "sent", FeedbackKind.FAILED: "failed"}
#: Kinds that may carry whether a machine did it.
_MACHINES: Final = (FeedbackKind.OPENED, FeedbackKind.CLICKED)
#: Kinds that say whether the address will ever work again.
_UNDELIVERED: Final = (FeedbackKind.BOUNCED, FeedbackKind.FAILED)
#: Letters of a reply that go into the event; the rest of a long mail decides nothing.
_TEXT = 10_000
#: Feedbacks of one callback that are worked on at a time, each on a connection to Redis.
_AT_ONCE = 32

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True)
class _Fact:
    """One feedback, tied to the send and customer it is about; both are empty where nobody knows."""

    feedback: Feedback
    send_id: str
    customer: str


class Webhooks:
    """The endpoint for providers."""

    def __init__(
        self,
        settings: Settings,
        publisher: Publisher,
        channels: Mapping[str, Channel[Any]],
        redis: Redis,
        clock: Clock,
    ) -> None:
        seed = settings.seed.get_secret_value()
        self._settings = settings
        self._publisher = publisher
        self._channels = channels
        self._clock = clock
        self._recipients = Recipients(redis, seed)
        self._suppression = Suppression(redis, seed)
        self._outbox = Outbox(redis, topic=settings.topics.events)

    async def post(self, request: Request) -> Response:
        """Take a callback in. Raises Problem, DependencyUnreachable and RedisError: the app turns them into answers."""
        provider: str = request.path_params["provider"]
        channel = self._channels.get(provider)
        if channel is None:
            raise Problem(404, "not_found", "no such provider")
        callback = await self._callback(request)
        try:
            channel.verify(callback)
        except WebhookRefused:
            _logger.warning("refused a callback of %s: its signature does not fit", provider)
            raise Problem(403, "forbidden", "forbidden") from None

        facts = await _gathered(self._tie, channel.parse(callback))
        await _gathered(self._suppress, facts)
        now = self._clock.now()
        events: list[Event] = []
        letters: list[DeadLetter] = []
        for fact in facts:
            try:
                events.append(_event(provider, channel.channel, fact, now))
            except BadEvent as error:
                letters.append(_letter(provider, fact.feedback, error, now))
        await self._publisher.publish(events)
        await self._publisher.bury(letters)
        await _gathered(self._settle_for(provider), [fact for fact in facts if fact.customer])
        return Response(status_code=204)

    async def _callback(self, request: Request) -> Callback:
        kind: str = request.path_params.get("kind", "")
        query = request.url.query
        return Callback(
            method=request.method,
            url=callback_url(self._settings, request.path_params["provider"], kind) + (f"?{query}" if query else ""),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await read_body(request, unpack=False),
        )

    async def _tie(self, feedback: Feedback) -> _Fact:
        send_id = feedback.send_id
        if not send_id and feedback.sender:
            send_id = await self._recipients.last_send_to(feedback.sender)
        customer = await self._recipients.customer_of(send_id) if send_id else ""
        return _Fact(feedback, send_id, customer)

    async def _suppress(self, fact: _Fact) -> None:
        """When the feedback says no: the address a letter came from, and the one the send went to, are closed."""
        feedback = fact.feedback
        refusal = _refusal(feedback)
        if refusal is None:
            return
        reason, scope = refusal
        if feedback.sender:
            await self._suppression.suppress(feedback.sender, reason=reason, scope=scope)
        known = await self._recipients.address_of(fact.send_id) if fact.send_id else ""
        if known:
            await self._suppression.suppress_hmac(known, reason=reason, scope=scope)

    def _settle_for(self, provider: str) -> Callable[[_Fact], Awaitable[None]]:
        async def settle(fact: _Fact) -> None:
            """An attempt of unknown outcome is known now: whatever follows a send proves it went out."""
            feedback = fact.feedback
            if not feedback.send_id:
                return
            partition = partition_of(fact.customer, await self._publisher.partitions())
            await resolve_from_feedback(
                self._outbox,
                fact.send_id,
                partition,
                feedback.kind,
                self._clock.now(),
                provider=provider,
                provider_id=feedback.provider_id,
                reason=_text(feedback.reason, 1024),
            )

        return settle


async def _gathered(work: Callable[[_In], Awaitable[_Out]], items: Sequence[_In]) -> list[_Out]:
    """The work done for every item, a bounded number at a time, answers in the items' order."""
    done: list[_Out] = []
    for start in range(0, len(items), _AT_ONCE):
        done += await asyncio.gather(*(work(item) for item in items[start : start + _AT_ONCE]))
    return done


def _refusal(feedback: Feedback) -> tuple[str, Scope] | None:
    """Why an address must not be written to any more, and whether that holds for service messages too."""
    if feedback.kind is FeedbackKind.REPLY and reply_word(feedback.text) == "stop":
        return "stop", "all"
    if feedback.kind is FeedbackKind.UNSUBSCRIBED:
        # A word sent to a number closes the number; a link in a letter closes what the letter was.
        return "unsubscribed", "all" if feedback.sender else "marketing"
    if feedback.kind is FeedbackKind.COMPLAINED:
        return "complained", "all"
    if feedback.kind in _UNDELIVERED and feedback.permanent:
        return "bounced", "all"
    return None


def _event(provider: str, channel: str, fact: _Fact, now: int) -> Event:
    """The event of a fact. Raises BadEvent when it says nothing that could become one."""
    feedback = fact.feedback
    kind = _TYPES.get(feedback.kind)
    if kind is None:
        raise BadEvent("the provider uses a word we do not know", code="unknown_word", fix="update the adapter")
    if not fact.customer:
        missing = "send" if feedback.send_id or not feedback.sender else "sender"
        fix = "nothing to do when it is older than the retention or was not sent from here"
        raise BadEvent(f"the callback names no {missing} we know", code=f"unknown_{missing}", fix=fix)

    data: dict[str, Any] = {"channel": channel, "provider": provider}
    if feedback.kind is FeedbackKind.REPLY:
        data |= {"text": _text(feedback.text, _TEXT), "in_reply_to": fact.send_id}
    else:
        data |= {"send_id": fact.send_id}
        if feedback.reason:
            data["reason"] = _text(feedback.reason, 1024)
        if feedback.kind in _MACHINES:
            data["machine"] = feedback.machine
        if feedback.kind in _UNDELIVERED:
            data["permanent"] = feedback.permanent
    if feedback.provider_id:
        data["provider_id"] = _text(feedback.provider_id, 256)

    end = _ENDS.get(feedback.kind)
    happened = feedback.time if feedback.time >= to_ms(MIN_TIME) else now
    anonymous = fact.customer.startswith(ANONYMOUS_PREFIX)
    who = {"anonymous": fact.customer[len(ANONYMOUS_PREFIX) :]} if anonymous else {"customer": fact.customer}
    event = {
        "id": f"{fact.send_id}:{end}" if end else _event_id(feedback),
        "source": "dispatcher" if end else f"webhook:{provider}",
        "type": kind,
        "time": datetime.fromtimestamp(min(happened, now) / 1000, UTC),
        "data": data,
        **who,
    }
    return normalise(event, received=now)


def _event_id(feedback: Feedback) -> str:
    """The provider's id, so that a repeated callback is the same event; its hash when it does not fit an id."""
    if 0 < len(feedback.id) <= 200 and feedback.id.isascii() and feedback.id.isprintable() and feedback.id.strip():
        return f"{feedback.kind}:{feedback.id}"
    return hashlib.sha256(_raw(feedback)).hexdigest()


def _text(text: str, longest: int) -> str:
    """Cut to size; half of a surrogate pair, which no UTF-8 can hold, becomes a question mark."""
    return text[:longest].encode(errors="replace").decode()


def _raw(feedback: Feedback) -> bytes:
    return json.dumps(asdict(feedback), default=str, sort_keys=True).encode()


def _letter(provider: str, feedback: Feedback, error: BadEvent, now: int) -> DeadLetter:
    return dead_letter(_raw(feedback), error.faults, origin=f"webhook:{provider}", at=now)
