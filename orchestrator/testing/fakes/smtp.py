"""An SMTP server that keeps letters in the ledger."""

from __future__ import annotations

import asyncio
import hmac
import logging
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from orchestrator.testing.fakes.base import World
from orchestrator.testing.fakes.faults import Fault

NAME = "smtp"

# The library warns of an old name of its own at every login.
logging.getLogger("mail.log").addFilter(lambda record: "login_data is deprecated" not in record.getMessage())


class FakeSmtp:
    """aiosmtpd's handler: hooks are named by that library."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: dict[int, Fault] = {}

    def protocol(self) -> asyncio.Protocol:
        # Not `auth_required`: without TLS the library warns of it. handle_MAIL asks for the login instead.
        server: asyncio.Protocol = SMTP(
            self,
            hostname="fake.example",
            ident="fake",
            authenticator=self._authenticate,
            auth_require_tls=False,
            loop=asyncio.get_running_loop(),
        )
        return server

    def _authenticate(self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        accounts = self._world.accounts
        fits = isinstance(data, LoginPassword) and (
            hmac.compare_digest(data.login, accounts.smtp_user.encode())
            & hmac.compare_digest(data.password, accounts.smtp_password.encode())
        )
        return AuthResult(success=fits, handled=False)

    async def handle_MAIL(self, server: Any, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server: Any, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        fault = self._world.faults.take(NAME, address)
        if fault is not None and fault.kind == "refuse" and not fault.accepts:
            # Statuses of HTTP mean nothing here; the default of a rule is "come again".
            status = fault.status if fault.status != 500 else 451
            return f"{status} {fault.code} refused by a fault rule".replace("  ", " ")
        if fault is not None:
            self._waiting[id(envelope)] = fault
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        fault = self._waiting.pop(id(envelope), None)
        queued = ""
        if fault is None or fault.accepts:
            queued = self._record(envelope)
        if fault is not None:
            if fault.kind == "slow":
                await self._world.pause(fault.delay)
            if fault.kind == "drop" or not queued:
                server.transport.abort()
                # The library writes what is returned to a closed connection, where it is lost.
                return "421 closing"
            if fault.kind == "refuse":
                return f"{fault.status} {fault.code}"
        return f"250 2.0.0 Ok: queued as {queued}"

    def _record(self, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        letter = message_from_bytes(content, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        queued = f"{len(self._world.ledger) + 1:08X}"
        text, html = letter.get_body(("plain",)), letter.get_body(("html",))
        self._world.accept(
            NAME,
            "email",
            send_id=str(letter["Message-ID"] or "").strip("<> ").partition("@")[0],
            to=envelope.rcpt_tos[0],
            content={
                "subject": str(letter["Subject"] or ""),
                "text": text.get_content() if text is not None else "",
                "html": html.get_content() if html is not None else "",
            },
            provider_id=queued,
            sender=str(letter["Reply-To"] or letter["From"] or ""),
            headers={name: str(value) for name, value in letter.items()},
        )
        return queued
