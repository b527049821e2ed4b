"""E-mail through any SMTP server, with aiosmtplib.

SMTP's numbers mean the opposite of HTTP's: 4xx asks to come again, 5xx is final. Only the server's answer to the end
of the letter settles an attempt; when that answer is lost, the letter may have gone out.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, formataddr
from typing import ClassVar, Literal

import aiosmtplib
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.contracts.receipts import Callback, Feedback, Next, Outcome, Receipt
from orchestrator.errors import MessageRefused
from orchestrator_channels import _answers, _building
from orchestrator_channels._answers import Verdict
from orchestrator_channels.email import _letter

#: Where in the conversation an attempt stands.
Phase = Literal["connect", "login", "sender", "recipient", "letter"]

#: An enhanced status (RFC 3463) that says the mailbox is dead, as against one that refuses us or this letter.
_DEAD_MAILBOX = re.compile(r"\b5\.(?:1\.[01236]|1\.10|2\.1)\b")

#: Final refusals by phase. 4xx is always a retry; 5xx at the recipient is read by its enhanced status, see `_final`.
FINAL: Mapping[Phase, Verdict] = {
    "connect": Verdict(Outcome.NOT_SENT, Next.PARK, "refused"),
    "login": Verdict(Outcome.NOT_SENT, Next.PARK, "auth"),
    "sender": Verdict(Outcome.NOT_SENT, Next.PARK, "sender_refused"),
    "recipient": Verdict(Outcome.NOT_SENT, Next.SUPPRESS, "invalid_address"),
    "letter": Verdict(Outcome.NOT_SENT, Next.FAIL, "content_refused"),
}
#: No answer, by phase: before the letter nothing can have gone out, afterwards nobody knows.
SILENCE: Mapping[Phase, Verdict] = {
    "connect": _answers.CONNECT,
    "login": _answers.CONNECT,
    "sender": _answers.CONNECT,
    "recipient": _answers.CONNECT,
    "letter": _answers.RESET,
}
REFUSED = Verdict(Outcome.NOT_SENT, Next.FAIL, "refused")
TRY_AGAIN = Verdict(Outcome.NOT_SENT, Next.RETRY, "try_again")
#: What the server wants and does not get: a login, or encryption.
LOCKED = Verdict(Outcome.NOT_SENT, Next.PARK, "auth")


class SmtpSettings(BaseModel):
    """Settings of the provider `smtp`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(description="Name or address of the server.")
    port: int = Field(default=587, gt=0, lt=65_536, description="587 for STARTTLS, 465 for TLS.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="`none` only for a server on this machine."
    )
    username: str = Field(default="", description="Empty: no login.")
    password: SecretStr = Field(default=SecretStr(""), description="Password of that user.")
    sender: str = Field(description="From address.")
    sender_name: str = Field(default="", description="Name shown beside the From address.")
    reply_to: str = Field(
        default="", description="Mailbox whose answers reach us; letters ask for `mailbox+<send_id>@domain`."
    )
    timeout: float = Field(default=20.0, gt=0, description="Seconds one attempt may take in all.")

    @model_validator(mode="after")
    def _is_private(self) -> SmtpSettings:
        if self.username and self.security == "none" and self.host not in _building.LOOPBACK:
            raise ValueError("a password is not sent unencrypted to another machine: set security")
        return self

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


@dataclass(frozen=True, slots=True)
class Request:
    """One letter. The MIME form is made at the attempt: its date is the attempt's, and its boundary is random."""

    to: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)

    def mime(self, now: float) -> bytes:
        letter = EmailMessage(policy=SMTP_POLICY)
        for name, value in self.headers:
            letter[name] = value
        letter["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
        letter.set_content(self.text)
        if self.html:
            letter.add_alternative(self.html, subtype="html")
        return letter.as_bytes()


class Smtp:
    """The channel adapter `smtp`. It has no callbacks: delivery is learned only from answers and clicks."""

    name: ClassVar[str] = "smtp"
    channel: ClassVar[str] = "email"
    address: ClassVar[str] = "email"
    Settings: ClassVar[type[BaseModel]] = SmtpSettings

    def __init__(self, settings: SmtpSettings, *, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now

    def build(self, message: OutgoingMessage) -> Request:
        settings = self._settings
        if message.extra:
            raise MessageRefused("smtp has no options of its own", code="invalid_extra", fix="leave extra away")
        to = _letter.address(message.to)
        headers = {
            "From": formataddr((_building.one_line(settings.sender_name, "sender name"), settings.sender)),
            "To": to,
            "Subject": _letter.subject(message),
            "Message-ID": f"<{_building.one_line(message.send_id, 'send id')}@{settings.sender.rpartition('@')[2]}>",
        }
        if settings.reply_to:
            headers["Reply-To"] = _letter.reply_address(settings.reply_to, message.send_id)
        headers |= _letter.unsubscribe_headers(message)
        return Request(to, tuple(headers.items()), message.content.text, message.content.html)

    async def send(self, request: Request) -> Receipt:
        phase: Phase = "connect"
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            timeout=settings.timeout,
        )
        try:
            letter = request.mime(self._now())
            async with asyncio.timeout(settings.timeout):
                await client.connect()
                if settings.username:
                    phase = "login"
                    await client.login(settings.username, settings.password.get_secret_value())
                phase = "sender"
                await client.mail(settings.sender)
                phase = "recipient"
                await client.rcpt(request.to)
                phase = "letter"
                answer = await client.data(letter)
            return Receipt(Outcome.SENT, provider_id=_queue_id(answer.message))
        except aiosmtplib.SMTPResponseException as error:
            return _final(phase, error.code, str(error.message)).receipt(detail=f"{phase}: {error.code}")
        except aiosmtplib.SMTPNotSupported:
            # The server cannot do what the settings ask for, such as STARTTLS.
            return _answers.MISCONFIGURED.receipt(detail=phase)
        except (aiosmtplib.SMTPException, OSError) as error:
            silent = SILENCE[phase]
            if phase == "letter" and isinstance(error, TimeoutError):
                silent = _answers.TIMEOUT
            return silent.receipt(detail=f"{phase}: {type(error).__name__}")
        except Exception as error:
            verdict = _answers.UNEXPECTED if phase == "letter" else _answers.MISCONFIGURED
            return verdict.receipt(detail=f"{phase}: {type(error).__name__}")
        finally:
            # The outcome is settled; a polite goodbye must not change it or take long.
            with suppress(aiosmtplib.SMTPException, OSError):
                async with asyncio.timeout(min(1.0, settings.timeout)):
                    if client.is_connected:
                        await client.quit()
            client.close()

    def verify(self, callback: Callback) -> None:
        raise _building.no_callbacks(self.name)

    def parse(self, callback: Callback) -> Sequence[Feedback]:
        return ()

    async def close(self) -> None:
        """Nothing is kept open between letters."""


def _final(phase: Phase, code: int, text: str) -> Verdict:
    """How a numbered answer is read."""
    if code == 421 or 400 <= code < 500:
        return TRY_AGAIN
    if code in (530, 534, 535, 538):
        return LOCKED
    if phase == "recipient":
        if _DEAD_MAILBOX.search(text):
            return FINAL["recipient"]
        # 550 without an enhanced status is how small servers say that nobody lives there.
        bare = code in (550, 551, 553) and not re.search(r"\b5\.\d+\.\d+\b", text)
        return FINAL["recipient"] if bare else REFUSED
    if phase == "letter" and not 500 <= code < 600:
        # An answer that is no answer, after the letter was written.
        return _answers.UNEXPECTED
    return FINAL[phase]


def _queue_id(answer: str) -> str:
    """The server's name for the letter, where it says one (`250 2.0.0 Ok: queued as 4F2A…`)."""
    found = re.search(r"queued as ([A-Za-z0-9._-]{1,64})", answer)
    return found.group(1) if found else ""
