"""SendGrid's v3 mail/send, its event webhook and its inbound parse."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from email.utils import formatdate
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.testing.fakes import contract
from orchestrator.testing.fakes.base import World, bearer, retry_headers
from orchestrator.testing.fakes.faults import Fault
from orchestrator.testing.fakes.ledger import LedgerEntry

NAME = "sendgrid"
#: What we report → SendGrid's event word.
EVENTS = {
    "sent": "processed",
    "delivered": "delivered",
    "opened": "open",
    "clicked": "click",
    "bounced": "bounce",
    "failed": "dropped",
    "unsubscribed": "unsubscribe",
    "complained": "spamreport",
}


def _error(status: int, message: str, field: str | None = None, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"errors": [{"message": message, "field": field, "help": None}]}, status, headers)


class FakeSendGrid:
    def __init__(self, world: World) -> None:
        self._world = world
        self.routes = [Route("/v3/mail/send", self._send, methods=["POST"])]

    async def _send(self, request: Request) -> Response:
        if not hmac.compare_digest(bearer(request), self._world.accounts.sendgrid_key):
            return _error(401, "The provided authorization grant is invalid, expired, or revoked")
        try:
            body = json.loads(await request.body())
        except ValueError:
            return _error(400, "Bad Request")
        problem = contract.sendgrid_mail(body)
        if problem is not None:
            return _error(400, problem, problem.partition(":")[0].removeprefix("$."))
        if not body.get("content") and not body.get("template_id"):
            return _error(400, "Unless a valid template_id is provided, the content parameter is required.", "content")
        first: dict[str, Any] = next(iter(body["personalizations"]), {})
        if not first.get("to"):
            return _error(400, "The to array is required, and must have at least one object.", "personalizations.0.to")
        if not body.get("subject") and not first.get("subject"):
            return _error(400, "The subject is required.", "subject")
        to = first["to"][0]["email"]
        parts = {part["type"]: part["value"] for part in body.get("content", ())}

        def accept() -> Response:
            entry = self._world.accept(
                NAME,
                "email",
                send_id=(body.get("custom_args") or {}).get("send_id", ""),
                to=to,
                content={
                    "subject": body.get("subject") or first["subject"],
                    "text": parts.get("text/plain", ""),
                    "html": parts.get("text/html", ""),
                },
                provider_id=secrets.token_urlsafe(16),
                sender=(body.get("reply_to") or body["from"])["email"],
                headers=body.get("headers") or {},
            )
            return Response(status_code=202, headers={"X-Message-Id": entry.provider_id})

        return await self._world.respond(NAME, to, accept, _refuse)

    def event(self, entry: LedgerEntry, kind: str, *, machine: bool, reason: str) -> bytes:
        """The body of an event webhook with one event."""
        event: dict[str, object] = {
            "email": entry.to,
            "timestamp": self._world.now() // 1_000,
            "event": EVENTS[kind],
            "sg_event_id": secrets.token_urlsafe(16),
            "sg_message_id": f"{entry.provider_id}.recvd-fake-0",
            "smtp-id": f"<{entry.provider_id}@fake>",
            "send_id": entry.send_id,
        }
        if kind == "opened":
            event["sg_machine_open"] = machine
        if kind == "clicked":
            event["url"] = entry.content.get("link") or "https://shop.example/"
        if kind in ("bounced", "failed"):
            event["reason"] = reason or "550 5.1.1 no such user"
        if kind == "bounced":
            event["type"] = "bounce"
        # SendGrid's bodies end with a line break, and it is signed.
        return json.dumps([event]).encode() + b"\r\n"

    def inbound(self, entry: LedgerEntry, text: str, url: str) -> httpx.Request:
        """The multipart call of inbound parse for a customer's answer."""
        message_id = f"<{secrets.token_hex(12)}@mail.example>"
        headers = f"Message-ID: {message_id}\nDate: {formatdate(self._world.now() / 1_000)}\nSubject: Re: your letter\n"
        quoted = f"On {formatdate(entry.time / 1_000)}, The Shop wrote:\n> {entry.content.get('text', '')}"
        fields = {
            "headers": headers,
            "dkim": "{@mail.example : pass}",
            "to": entry.sender,
            "from": f"A Customer <{entry.to}>",
            "subject": f"Re: {entry.content.get('subject', '')}",
            "text": f"{text}\n\n{quoted}\n",
            "sender_ip": "192.0.2.1",
            "envelope": json.dumps({"to": [entry.sender], "from": entry.to}),
            "charsets": json.dumps({"to": "UTF-8", "from": "UTF-8", "subject": "UTF-8", "text": "utf-8"}),
            "SPF": "pass",
        }
        return httpx.Request("POST", url, files=[(name, (None, value)) for name, value in fields.items()])

    def sign(self, body: bytes, *, inbound: bool = False) -> dict[str, str]:
        """Headers of a callback. The time is the real one: an accelerated clock would look like an old signature."""
        accounts = self._world.accounts
        key = accounts.sendgrid_inbound_key if inbound else accounts.sendgrid_event_key
        timestamp = str(int(time.time()))
        signature = key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }


def _refuse(fault: Fault) -> Response:
    return _error(fault.status, fault.code or "Refused by a fault rule", headers=retry_headers(fault))
