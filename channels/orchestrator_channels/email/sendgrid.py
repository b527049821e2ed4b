"""E-mail through SendGrid's v3 API, with the official library.

SendGrid has no idempotency key. `custom_args.send_id` comes back in every event, so an attempt of unknown outcome is
settled by the event webhook. That field is stored by SendGrid for long and read by its staff: it is our opaque id.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser, BytesParser
from email.utils import parseaddr
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.contracts.receipts import Callback, Feedback, FeedbackKind, Next, Outcome, Receipt
from orchestrator.errors import WebhookRefused
from orchestrator_channels import _answers, _building, _signatures
from orchestrator_channels._answers import Verdict
from orchestrator_channels._threads import SOCKET_SHARE, NeverStarted, Threads
from orchestrator_channels.email import _letter

# The library writes whole requests, the API key among them, to its log at DEBUG.
logging.getLogger("python_http_client").setLevel(logging.WARNING)

#: How SendGrid's answers are read; what is not here is read as `_answers.HTTP` and `of_status` say.
ANSWERS: Mapping[int, Verdict] = {
    **_answers.HTTP,
    400: Verdict(Outcome.NOT_SENT, Next.FAIL, "invalid_request"),
    404: Verdict(Outcome.NOT_SENT, Next.PARK, "misconfigured"),
    405: Verdict(Outcome.NOT_SENT, Next.PARK, "misconfigured"),
}

#: SendGrid's words, in ours. `processed` and `deferred` mean that SendGrid has the letter and goes on trying.
WORDS: Mapping[str, FeedbackKind] = {
    "processed": FeedbackKind.SENT,
    "deferred": FeedbackKind.SENT,
    "delivered": FeedbackKind.DELIVERED,
    "open": FeedbackKind.OPENED,
    "click": FeedbackKind.CLICKED,
    "bounce": FeedbackKind.BOUNCED,
    "dropped": FeedbackKind.FAILED,
    "spamreport": FeedbackKind.COMPLAINED,
    "unsubscribe": FeedbackKind.UNSUBSCRIBED,
    "group_unsubscribe": FeedbackKind.UNSUBSCRIBED,
}

#: Reasons of `dropped` after which the address is of no use.
_DEAD = ("bounced address", "invalid", "unsubscribed address", "spam reporting address")


class SendGridSettings(BaseModel):
    """Settings of the provider `sendgrid`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: SecretStr = Field(description="API key with the right `mail.send`.")
    sender: str = Field(description="From address, on a domain authenticated at SendGrid.")
    sender_name: str = Field(default="", description="Name shown beside the From address.")
    reply_to: str = Field(
        default="",
        description="Mailbox on the inbound parse domain. Letters ask for answers to `mailbox+<send_id>@domain`.",
    )
    event_public_keys: list[str] = Field(
        default=[], description="Verification keys of the event webhook; two at a time allow a rotation."
    )
    inbound_public_keys: list[str] = Field(
        default=[], description="Public keys of the inbound parse security policy (signature verification)."
    )
    inbound_secrets: list[SecretStr] = Field(
        default=[],
        description="Only where no security policy can be set: secrets accepted as `?secret=` in the inbound URL.",
    )
    event_max_age: float = Field(
        default=25 * 3_600.0,
        gt=0,
        description="Oldest signature of an event webhook, in seconds. SendGrid repeats a refused call for 24 hours.",
    )
    inbound_max_age: float = Field(
        default=73 * 3_600.0,
        gt=0,
        description="Oldest signature of an inbound letter, in seconds. SendGrid repeats a refused call for 3 days.",
    )
    base_url: str = Field(default="https://api.sendgrid.com", description="`https://api.eu.sendgrid.com` for the EU.")
    timeout: float = Field(default=10.0, gt=0, description="Seconds one attempt may take in all.")
    connections: int = Field(default=16, gt=0, description="Attempts at a time.")

    @field_validator("base_url")
    @classmethod
    def _is_private(cls, value: str) -> str:
        return _building.base_url(value)

    @field_validator("sender")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not _letter.is_address(value):
            raise ValueError("is not an e-mail address")
        return value

    @field_validator("reply_to")
    @classmethod
    def _is_mailbox(cls, value: str) -> str:
        if value and (not _letter.is_address(value) or "+" in value or len(value.partition("@")[0]) > 24):
            raise ValueError("is not an address with at most 24 characters and no + before the @")
        return value

    @field_validator("event_public_keys", "inbound_public_keys")
    @classmethod
    def _are_keys(cls, value: list[str]) -> list[str]:
        for key in value:
            _signatures.public_key(key)
        return value


@dataclass(frozen=True, slots=True)
class Request:
    """The JSON body of `POST /v3/mail/send`."""

    body: dict[str, Any] = field(repr=False)


class SendGrid:
    """The channel adapter `sendgrid`. Its callbacks: `…/webhooks/sendgrid[/events]` and `…/webhooks/sendgrid/inbound`.

    On the age of signatures: SendGrid does not say whether a repeated call carries a new time, and repeats for up to
    24 hours (inbound: 3 days). A tight window could lose a bounce or an unsubscribe for good, while a replay inside
    the wide one does nothing: every event keeps its `sg_event_id`, and a known event id is dropped.
    """

    name: ClassVar[str] = "sendgrid"
    channel: ClassVar[str] = "email"
    address: ClassVar[str] = "email"
    Settings: ClassVar[type[BaseModel]] = SendGridSettings

    def __init__(self, settings: SendGridSettings, *, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        self._event_keys: list[ec.EllipticCurvePublicKey] = list(
            map(_signatures.public_key, settings.event_public_keys)
        )
        self._inbound_keys = list(map(_signatures.public_key, settings.inbound_public_keys))
        self._threads = Threads("sendgrid", settings.connections)
        self._client = SendGridAPIClient(settings.api_key.get_secret_value(), host=settings.base_url)
        # The library has no timeout unless it is set here; child clients inherit it.
        self._client.client.timeout = settings.timeout * SOCKET_SHARE

    def build(self, message: OutgoingMessage) -> Request:
        settings = self._settings
        content = [{"type": "text/plain", "value": message.content.text or " "}]
        if message.content.html:
            content.append({"type": "text/html", "value": message.content.html})
        body: dict[str, Any] = {
            "personalizations": [{"to": [{"email": _letter.address(message.to)}]}],
            "from": {"email": settings.sender} | ({"name": settings.sender_name} if settings.sender_name else {}),
            "subject": _letter.subject(message),
            "content": content,
            "custom_args": {"send_id": message.send_id},
        }
        headers = _letter.unsubscribe_headers(message)
        if headers:
            body["headers"] = headers
        if settings.reply_to:
            body["reply_to"] = {"email": _letter.reply_address(settings.reply_to, message.send_id)}
        return Request(_building.with_extra(body, message.extra))

    async def send(self, request: Request) -> Receipt:
        try:
            return await self._threads.call(lambda: self._post(request), self._settings.timeout)
        except NeverStarted:
            return Verdict(Outcome.NOT_SENT, Next.RETRY, "busy").receipt()
        except Exception as error:
            return _answers.of_error(error).receipt(detail=type(error).__name__)

    def _post(self, request: Request) -> Receipt:
        try:
            answer = self._client.send(request.body)
        except HTTPError as error:
            headers = dict(error.headers.items()) if error.headers else {}
            wait = _answers.retry_after(headers, self._now())
            detail = f"SendGrid answered {error.status_code}"
            return _answers.of_status(error.status_code, ANSWERS).receipt(retry_after=wait, detail=detail)
        return _answers.of_status(answer.status_code, ANSWERS).receipt(
            provider_id=answer.headers.get("X-Message-Id") or ""
        )

    def verify(self, callback: Callback) -> None:
        kind = _building.kind_of(callback, self.name, "events")
        now, settings = self._now(), self._settings
        if kind == "events":
            _signatures.check_ecdsa(callback, self._event_keys, now=now, max_age=settings.event_max_age)
        elif kind != "inbound":
            raise WebhookRefused(f"sendgrid has no callback {kind!r}", fix="use /events or /inbound")
        elif self._inbound_keys:
            _signatures.check_ecdsa(callback, self._inbound_keys, now=now, max_age=settings.inbound_max_age)
        else:
            secrets = [secret.get_secret_value() for secret in settings.inbound_secrets]
            _signatures.check_url_secret(callback, secrets)

    def parse(self, callback: Callback) -> Sequence[Feedback]:
        if _building.kind_of(callback, self.name, "events") == "inbound":
            return [_reply(callback)]
        try:
            events = json.loads(callback.body)
        except ValueError:
            events = callback.body.decode("utf-8", "replace")
        return [_event(event) for event in (events if isinstance(events, list) else [events])]

    async def close(self) -> None:
        self._threads.close()


def _event(event: object) -> Feedback:
    if not isinstance(event, dict):
        return Feedback(FeedbackKind.UNKNOWN, _letter.stable_id(json.dumps(event)), raw={"event": event})
    word = str(event.get("event", ""))
    reason = next((str(event[name]) for name in ("reason", "response", "bounce_classification") if event.get(name)), "")
    seconds = event.get("timestamp")
    return Feedback(
        kind=WORDS.get(word, FeedbackKind.UNKNOWN),
        id=str(event.get("sg_event_id") or _letter.stable_id(json.dumps(event, sort_keys=True))),
        send_id=str(event.get("send_id") or ""),
        # `<X-Message-Id>.filter…`: the part before the first dot is what the send was answered with.
        provider_id=str(event.get("sg_message_id") or "").partition(".")[0],
        time=int(seconds * 1_000) if isinstance(seconds, int) and 0 <= seconds < 1 << 40 else 0,
        machine=event.get("sg_machine_open") is True,
        permanent=_permanent(word, event, reason),
        reason=f"{word}: {reason}" if reason else word,
        raw=event,
    )


def _permanent(word: str, event: Mapping[str, Any], reason: str) -> bool:
    if word == "bounce":
        # `blocked` is a refusal of this letter, not of the mailbox.
        return event.get("type") != "blocked"
    return word == "dropped" and reason.lower().startswith(_DEAD)


def _reply(callback: Callback) -> Feedback:
    """An inbound letter, from SendGrid's multipart fields."""
    fields = _multipart(callback)
    envelope = _json(fields.get("envelope", ""))
    to = envelope.get("to")
    recipient = str(to[0]) if isinstance(to, list) and to else parseaddr(fields.get("to", ""))[1]
    sender = parseaddr(fields.get("from", ""))[1] or str(envelope.get("from") or "")
    headers = BytesHeaderParser().parsebytes(fields.get("headers", "").encode("utf-8", "replace"))
    text = fields.get("text", "").strip() or _letter.text_of_html(fields.get("html", ""))
    message_id = str(headers.get("Message-ID", "")).strip()
    known = sender or recipient or text
    return Feedback(
        kind=FeedbackKind.REPLY if known else FeedbackKind.UNKNOWN,
        # The boundary differs between repeats, the letter's own id does not.
        id=_letter.stable_id("inbound", message_id or json.dumps(fields, sort_keys=True)),
        send_id=_letter.send_id_of(recipient),
        sender=sender,
        recipient=recipient,
        text=_letter.visible_reply(text),
        raw=dict(fields) if fields else {"body": callback.body.decode("utf-8", "replace")},
    )


def _multipart(callback: Callback) -> dict[str, str]:
    """The text fields of a multipart/form-data body, in the character sets SendGrid names; files are left out."""
    head = f"Content-Type: {callback.headers.get('content-type', '')}\r\n\r\n".encode("utf-8", "replace")
    letter = BytesParser().parsebytes(head + callback.body)
    found: dict[str, bytes] = {}
    for part in letter.walk():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str) and part.get_filename() is None and not part.is_multipart():
            payload = part.get_payload(decode=True)
            found[name] = payload if isinstance(payload, bytes) else b""
    charsets = _json(found.get("charsets", b"").decode("utf-8", "replace"))
    return {name: _decoded(value, str(charsets.get(name) or "utf-8")) for name, value in found.items()}


def _decoded(value: bytes, charset: str) -> str:
    try:
        return value.decode(charset)
    except (LookupError, UnicodeError):
        return value.decode("utf-8", "replace")


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
