"""Push to browsers (RFC 8030, 8291, 8292), with pywebpush.

The customer's push address is the browser's subscription: `{"endpoint": …, "keys": {"p256dh": …, "auth": …}}`. It comes
from outside, so only known push services are called: an endpoint is otherwise a way to make us call anything.

A browser's push service reports nothing back. The payload carries `send_id`; a service worker shows the notification
with it as its tag, so a repeated push replaces itself, and the site publishes `message_clicked` with it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

import requests
from py_vapid import Vapid02, VapidException
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pywebpush import WebPushException, webpush
from requests.adapters import HTTPAdapter

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.contracts.receipts import Callback, Feedback, Next, Outcome, Receipt
from orchestrator.errors import MessageRefused
from orchestrator_channels import _answers, _building
from orchestrator_channels._answers import Verdict
from orchestrator_channels._threads import CONNECT_SHARE, READ_SHARE, NeverStarted, Threads

#: What every push service must take is 4,096 bytes of encrypted body; encryption adds 103.
MAX_PAYLOAD = 4_096 - 103
#: The longest a signed claim may be used, half of what RFC 8292 allows, in seconds.
CLAIM_LIFE = 12 * 3_600

#: How a push service's answers are read; what is not here is read as `_answers.HTTP` and `of_status` say.
ANSWERS: Mapping[int, Verdict] = {
    **_answers.HTTP,
    # RFC 8292: 401 says that our claim is bad, 403 that this subscription was made with another key. The second is
    # about one browser, which anybody can have: it must not stop the others. Nor may a wrong key of ours delete them.
    403: Verdict(Outcome.NOT_SENT, Next.FAIL, "wrong_key"),
    404: Verdict(Outcome.NOT_SENT, Next.SUPPRESS, "invalid_address"),
    410: Verdict(Outcome.NOT_SENT, Next.SUPPRESS, "unsubscribed"),
}


class WebPushSettings(BaseModel):
    """Settings of the provider `webpush`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    private_key: SecretStr = Field(description="VAPID private key: base64url of the 32 bytes, or of DER.")
    subject: str = Field(
        pattern=r"^(mailto:|https://)\S+$", description="`mailto:` or `https:` contact for push services."
    )
    allowed_hosts: list[str] = Field(
        default=[
            "fcm.googleapis.com",
            "updates.push.services.mozilla.com",
            "web.push.apple.com",
            ".push.apple.com",
            ".notify.windows.com",
        ],
        description="Push services we call, as host or host:port; a leading dot takes every host below it.",
    )
    timeout: float = Field(default=10.0, gt=0, description="Seconds one attempt may take in all.")
    connections: int = Field(default=16, gt=0, description="Attempts at a time.")

    @field_validator("private_key")
    @classmethod
    def _is_key(cls, value: SecretStr) -> SecretStr:
        _vapid(value)
        return value


def _vapid(key: SecretStr) -> Vapid02:
    try:
        return Vapid02.from_string(key.get_secret_value())
    except (ValueError, TypeError, VapidException):
        raise ValueError("is not a VAPID private key in base64url") from None


@dataclass(frozen=True, slots=True)
class Request:
    """One push. It is encrypted at the attempt, with a fresh key each time."""

    subscription: dict[str, Any] = field(repr=False)
    payload: bytes = field(repr=False)
    ttl: int
    headers: tuple[tuple[str, str], ...]


class _Session(requests.Session):
    """A session that stays where it was sent: a redirect would lead past the allowed hosts."""

    def __init__(self, connections: int) -> None:
        super().__init__()
        self.max_redirects = 0
        # Neither proxies nor .netrc passwords of the environment are for an address that comes from outside.
        self.trust_env = False
        self.mount("https://", HTTPAdapter(pool_maxsize=connections))


class WebPush:
    """The channel adapter `webpush`."""

    name: ClassVar[str] = "webpush"
    channel: ClassVar[str] = "push"
    address: ClassVar[str] = "push"
    Settings: ClassVar[type[BaseModel]] = WebPushSettings

    def __init__(self, settings: WebPushSettings, *, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        self._vapid = _vapid(settings.private_key)
        self._threads = Threads("webpush", settings.connections)
        self._session = _Session(settings.connections)

    def build(self, message: OutgoingMessage) -> Request:
        payload = {"send_id": message.send_id, "title": message.content.title, "body": message.content.text}
        if message.content.link:
            payload["link"] = message.content.link
        encoded = json.dumps(_building.with_extra(payload, message.extra), ensure_ascii=False).encode()
        if len(encoded) > MAX_PAYLOAD:
            raise MessageRefused(
                f"the push has {len(encoded)} bytes", code="too_large", fix=f"shorten it to {MAX_PAYLOAD} bytes"
            )
        # The same topic replaces an undelivered push of the same send, so a repeat does no harm until delivery.
        topic = base64.urlsafe_b64encode(hashlib.sha256(message.send_id.encode()).digest())[:32].decode()
        headers = (("Topic", topic), ("Urgency", "normal"))
        return Request(self._subscription(message.to), encoded, max(0, message.ttl), headers)

    def _subscription(self, to: object) -> dict[str, Any]:
        if not isinstance(to, Mapping) or not isinstance(to.get("endpoint"), str):
            raise MessageRefused(
                "not a Web Push subscription", code="invalid_address", fix="store the browser's subscription as push"
            )
        keys = to.get("keys")
        if not isinstance(keys, Mapping) or _bytes(keys.get("p256dh")) != 65 or _bytes(keys.get("auth")) != 16:
            raise MessageRefused("the subscription has no usable keys", code="invalid_address")
        if not self._allowed(to["endpoint"]):
            raise MessageRefused(
                "the subscription's push service is not allowed",
                # Not `invalid_address`: a setting of ours refuses it, and an address may outlive a setting.
                code="not_allowed",
                fix="add its host to channels.webpush.allowed_hosts if you trust it",
            )
        return {"endpoint": to["endpoint"], "keys": {"p256dh": keys["p256dh"], "auth": keys["auth"]}}

    def _allowed(self, endpoint: str) -> bool:
        try:
            url = urlsplit(_building.one_line(endpoint, "endpoint"))
            port = url.port
        except (ValueError, MessageRefused):
            return False
        host = (url.hostname or "").lower()
        if not host or url.username is not None or "\\" in endpoint:
            return False
        # Plain HTTP only to this machine: for fakes.
        if url.scheme != "https" and not (url.scheme == "http" and host in _building.LOOPBACK):
            return False
        name = host if port is None or (url.scheme, port) == ("https", 443) else f"{host}:{port}"
        return any(
            name == allowed or (allowed.startswith(".") and name.endswith(allowed))
            for allowed in map(str.lower, self._settings.allowed_hosts)
        )

    async def send(self, request: Request) -> Receipt:
        try:
            return await self._threads.call(lambda: self._post(request), self._settings.timeout)
        except NeverStarted:
            return Verdict(Outcome.NOT_SENT, Next.RETRY, "busy").receipt()
        except Exception as error:
            return _answers.of_error(error).receipt(detail=type(error).__name__)

    def _post(self, request: Request) -> Receipt:
        timeout = self._settings.timeout
        try:
            answer = webpush(
                request.subscription,
                data=request.payload,
                vapid_private_key=self._vapid,
                # A new dict each time: the library writes the audience into it.
                vapid_claims={"sub": self._settings.subject, "exp": int(self._now()) + CLAIM_LIFE},
                timeout=(timeout * CONNECT_SHARE, timeout * READ_SHARE),
                ttl=request.ttl,
                headers=dict(request.headers),
                requests_session=self._session,
            )
        except WebPushException as error:
            status = error.status_code
            if status is None:
                # Raised before any call: the keys cannot be used.
                return ANSWERS[404].receipt(detail="the subscription's keys cannot be used")
            headers = dict(error.response.headers)
            return _answers.of_status(status, ANSWERS).receipt(
                retry_after=_answers.retry_after(headers, self._now()), detail=f"the push service answered {status}"
            )
        except (ValueError, TypeError) as error:
            # The point is not on the curve, or another fault of the keys: encryption comes before the call. requests
            # has ValueErrors of its own, which the general table reads.
            if isinstance(error, requests.RequestException):
                raise
            return ANSWERS[404].receipt(detail="the subscription's keys cannot be used")
        return Receipt(Outcome.SENT, provider_id=answer.headers.get("Location", ""))

    def verify(self, callback: Callback) -> None:
        raise _building.no_callbacks(self.name)

    def parse(self, callback: Callback) -> Sequence[Feedback]:
        return ()

    async def close(self) -> None:
        self._threads.close()
        self._session.close()


def _bytes(value: object) -> int:
    """How many bytes a base64url text holds, 0 when it is none."""
    if not isinstance(value, str) or not value.isascii():
        return 0
    try:
        return len(base64.b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4), b"-_", validate=True))
    except ValueError:
        return 0
