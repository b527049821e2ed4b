"""SMS through Twilio's Messages API, with the official library.

Twilio has no idempotency key. Every send names its own status callback address with our send id in it, so a lost
answer is settled by the first callback.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.contracts.receipts import Callback, Feedback, FeedbackKind, Next, Outcome, Receipt
from orchestrator.errors import MessageRefused, WebhookRefused
from orchestrator_channels import _answers, _building, _signatures
from orchestrator_channels._answers import Verdict
from orchestrator_channels._threads import CONNECT_SHARE, READ_SHARE, NeverStarted, Threads

#: The longest validity Twilio takes, in seconds.
MAX_VALIDITY = 36_000
#: E.164: a plus, then up to fifteen digits, the first of them not zero.
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")

#: How HTTP statuses are read when Twilio's own code is not in CODES.
ANSWERS: Mapping[int, Verdict] = {
    **_answers.HTTP,
    404: Verdict(Outcome.NOT_SENT, Next.PARK, "misconfigured"),
}

_SUPPRESS = Verdict(Outcome.NOT_SENT, Next.SUPPRESS, "invalid_address")
_PARK = Verdict(Outcome.NOT_SENT, Next.PARK, "account")
#: Twilio's error codes that say more than the HTTP status.
CODES: Mapping[int, Verdict] = {
    20003: Verdict(Outcome.NOT_SENT, Next.PARK, "auth"),
    20429: _answers.HTTP[429],
    21211: _SUPPRESS,  # not a number
    21214: _SUPPRESS,  # cannot be reached
    21217: _SUPPRESS,  # not a number
    21408: _PARK,  # the country is switched off for this account
    21606: _PARK,  # the sender is not ours
    21608: _PARK,  # a trial account may not write to this number
    21610: Verdict(Outcome.NOT_SENT, Next.SUPPRESS, "unsubscribed"),
    21611: Verdict(Outcome.NOT_SENT, Next.RETRY, "queue_full"),
    21612: Verdict(Outcome.NOT_SENT, Next.FAIL, "unroutable"),
    21614: _SUPPRESS,  # not a mobile number
    21635: _SUPPRESS,  # a landline
}

#: Twilio's words, in ours. What comes before `sent` still says that Twilio has the message.
WORDS: Mapping[str, FeedbackKind] = {
    "accepted": FeedbackKind.SENT,
    "scheduled": FeedbackKind.SENT,
    "queued": FeedbackKind.SENT,
    "sending": FeedbackKind.SENT,
    "sent": FeedbackKind.SENT,
    "delivered": FeedbackKind.DELIVERED,
    "read": FeedbackKind.OPENED,
    "undelivered": FeedbackKind.BOUNCED,
    "failed": FeedbackKind.FAILED,
    "canceled": FeedbackKind.FAILED,
}
#: Codes of a failed delivery after which the number is of no use.
_DEAD = frozenset({"21211", "21214", "21217", "21610", "21614", "21635", "30005", "30006", "30011"})


class TwilioSettings(BaseModel):
    """Settings of the provider `twilio`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$", description="Account SID.")
    auth_token: SecretStr = Field(
        description="Auth token: signs Twilio's callbacks, and logs in unless a key is given."
    )
    other_auth_tokens: list[SecretStr] = Field(
        default=[], description="Further tokens whose signatures are accepted, during a rotation."
    )
    api_key_sid: str = Field(default="", description="API key to log in with instead of the auth token.")
    api_key_secret: SecretStr = Field(default=SecretStr(""), description="Secret of that key.")
    sender: str = Field(default="", description="From: a number, a short code or a name; or set messaging_service_sid.")
    messaging_service_sid: str = Field(default="", pattern=r"^(MG[0-9a-fA-F]{32})?$")
    base_url: str = Field(default="https://api.twilio.com", description="Another address for tests and proxies.")
    timeout: float = Field(default=10.0, gt=0, description="Seconds one attempt may take in all.")
    connections: int = Field(default=16, gt=0, description="Attempts at a time.")

    @field_validator("base_url")
    @classmethod
    def _is_private(cls, value: str) -> str:
        return _building.base_url(value)

    @model_validator(mode="after")
    def _one_sender(self) -> TwilioSettings:
        if bool(self.sender) == bool(self.messaging_service_sid):
            raise ValueError("set exactly one of sender and messaging_service_sid")
        if bool(self.api_key_sid) != bool(self.api_key_secret.get_secret_value()):
            raise ValueError("set api_key_sid and api_key_secret together")
        return self


@dataclass(frozen=True, slots=True)
class Request:
    """Arguments of the library's `messages.create`."""

    arguments: dict[str, Any] = field(repr=False)


class _Http(TwilioHttpClient):  # type: ignore[misc]
    """The library's client at another address, with a timeout, quiet, and with the answer's headers kept."""

    def __init__(self, base_url: str, connect: float, read: float) -> None:
        # The library logs whole requests, numbers and texts among them.
        quiet = logging.getLogger(f"{__name__}.wire")
        quiet.disabled = True
        super().__init__(timeout=read, logger=quiet)
        # requests takes the pair; the library's own argument takes only one number.
        self.timeout = (connect, read)
        self._base = urlsplit(base_url)
        self.last = threading.local()

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        own = urlsplit(url)._replace(scheme=self._base.scheme, netloc=self._base.netloc)
        self.last.headers = {}
        answer = super().request(method, urlunsplit(own), *args, **options)
        self.last.headers = dict(answer.headers)
        return answer


class Twilio:
    """The channel adapter `twilio`. Its callbacks: `…/webhooks/twilio[/status]` and `…/webhooks/twilio/inbound`."""

    name: ClassVar[str] = "twilio"
    channel: ClassVar[str] = "sms"
    address: ClassVar[str] = "phone"
    Settings: ClassVar[type[BaseModel]] = TwilioSettings

    def __init__(self, settings: TwilioSettings, *, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        token = settings.auth_token.get_secret_value()
        self._tokens = [token, *(other.get_secret_value() for other in settings.other_auth_tokens)]
        self._threads = Threads("twilio", settings.connections)
        self._http = _Http(settings.base_url, settings.timeout * CONNECT_SHARE, settings.timeout * READ_SHARE)
        self._client = Client(
            settings.api_key_sid or settings.account_sid,
            settings.api_key_secret.get_secret_value() or token,
            settings.account_sid,
            http_client=self._http,
        )

    def build(self, message: OutgoingMessage) -> Request:
        settings = self._settings
        if not isinstance(message.to, str) or not _NUMBER.fullmatch(message.to):
            raise MessageRefused(
                "not a number in E.164 form", code="invalid_address", fix="write addresses.phone as +4930123456"
            )
        if not message.content.text.strip():
            raise MessageRefused("the SMS has no text", code="invalid_content", fix="give the message an SMS text")
        arguments: dict[str, Any] = {
            "to": message.to,
            "body": message.content.text,
            "validity_period": max(1, min(message.ttl, MAX_VALIDITY)),
        }
        if settings.sender:
            arguments["from_"] = settings.sender
        else:
            arguments["messaging_service_sid"] = settings.messaging_service_sid
        if message.callback_url:
            arguments["status_callback"] = _naming(message.callback_url, message.send_id)
        return Request(_building.with_extra(arguments, message.extra))

    async def send(self, request: Request) -> Receipt:
        try:
            return await self._threads.call(lambda: self._create(request), self._settings.timeout)
        except NeverStarted:
            return Verdict(Outcome.NOT_SENT, Next.RETRY, "busy").receipt()
        except Exception as error:
            return _answers.of_error(error).receipt(detail=type(error).__name__)

    def _create(self, request: Request) -> Receipt:
        try:
            message = self._client.messages.create(**request.arguments)
        except TwilioException as error:
            # The library's own two kinds of refusal share these names; the text is left out, it may hold the number.
            status, code = getattr(error, "status", None), getattr(error, "code", None)
            if status is None:
                return _answers.MISCONFIGURED.receipt(detail=type(error).__name__)
            verdict = CODES.get(code) if code is not None and status < 500 else None
            return (verdict or _answers.of_status(status, ANSWERS)).receipt(
                retry_after=_answers.retry_after(self._http.last.headers, self._now()),
                detail=f"Twilio answered {status}, error {code}",
            )
        return Receipt(Outcome.SENT, provider_id=str(message.sid or ""))

    def verify(self, callback: Callback) -> None:
        kind = _building.kind_of(callback, self.name, "status")
        if kind not in ("status", "inbound"):
            raise WebhookRefused(f"twilio has no callback {kind!r}", fix="use /status or /inbound")
        _signatures.check_twilio(callback, self._tokens)

    def parse(self, callback: Callback) -> Sequence[Feedback]:
        fields = {name: values[-1] for name, values in _signatures.form(callback).items()}
        if _building.kind_of(callback, self.name, "status") == "inbound":
            return _inbound(fields)
        return [_status(fields, callback)]

    async def close(self) -> None:
        self._threads.close()
        if self._http.session is not None:
            self._http.session.close()


def _naming(url: str, send_id: str) -> str:
    """The callback address with the send's id in it."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "send_id"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("send_id", send_id)])))


def _status(fields: Mapping[str, str], callback: Callback) -> Feedback:
    sid = fields.get("MessageSid") or fields.get("SmsSid", "")
    word = fields.get("MessageStatus") or fields.get("SmsStatus", "")
    code = fields.get("ErrorCode", "")
    return Feedback(
        kind=WORDS.get(word, FeedbackKind.UNKNOWN),
        id=f"{sid}:{word}",
        send_id=parse_qs(urlsplit(callback.url).query).get("send_id", [""])[-1],
        provider_id=sid,
        permanent=code in _DEAD,
        reason=f"{word}: {code}" if code else word,
        raw=dict(fields),
    )


def _inbound(fields: Mapping[str, str]) -> list[Feedback]:
    sid = fields.get("MessageSid") or fields.get("SmsSid", "")
    sender, recipient, text = fields.get("From", ""), fields.get("To", ""), fields.get("Body", "")
    kind = FeedbackKind.REPLY if sid and sender else FeedbackKind.UNKNOWN
    reply = Feedback(
        kind, id=sid, provider_id=sid, sender=sender, recipient=recipient, text=text.strip(), raw=dict(fields)
    )
    if fields.get("OptOutType") != "STOP":
        return [reply]
    # Twilio itself took this as an opt-out and blocks the number.
    stop = Feedback(
        FeedbackKind.UNSUBSCRIBED, id=f"{sid}:stop", provider_id=sid, sender=sender, recipient=recipient, reason="STOP"
    )
    return [reply, stop]
