"""Twilio's Messages API, and Twilio's callbacks."""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator

from orchestrator.testing.fakes import contract
from orchestrator.testing.fakes.base import World, retry_headers
from orchestrator.testing.fakes.faults import Fault
from orchestrator.testing.fakes.ledger import LedgerEntry

NAME = "twilio"
#: What we report → Twilio's status word. Twilio reports neither opens nor clicks of SMS.
STATUS = {"sent": "sent", "delivered": "delivered", "bounced": "undelivered", "failed": "failed"}


def _error(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    info = f"https://www.twilio.com/docs/errors/{code}"
    body = {"code": code, "message": message, "more_info": info, "status": status}
    return JSONResponse(body, status, headers)


class FakeTwilio:
    def __init__(self, world: World) -> None:
        self._world = world
        self.routes = [Route("/2010-04-01/Accounts/{sid}/Messages.json", self._create, methods=["POST"])]

    async def _create(self, request: Request) -> Response:
        accounts = self._world.accounts
        login = base64.b64encode(f"{accounts.twilio_sid}:{accounts.twilio_token}".encode()).decode()
        if not hmac.compare_digest(request.headers.get("authorization", ""), f"Basic {login}"):
            return _error(401, 20003, "Authenticate")
        if request.path_params["sid"] != accounts.twilio_sid:
            return _error(404, 20404, "The requested resource was not found")
        fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
        problem = contract.twilio_message(fields)
        to, body = fields.get("To", [""])[-1], fields.get("Body", [""])[-1]
        if not to:
            return _error(400, 21604, "A 'To' phone number is required.")
        if not re.fullmatch(r"\+[1-9]\d{6,14}", to):
            return _error(400, 21211, "Invalid 'To' Phone Number")
        if not body:
            return _error(400, 21602, "Message body is required.")
        if len(body) > 1_600:
            return _error(400, 21617, "The concatenated message body exceeds the 1600 character limit")
        if problem is not None:
            return _error(400, 20001, f"Invalid parameter {problem}")
        sender = fields.get("From", fields.get("MessagingServiceSid", [""]))[-1]
        if not sender:
            return _error(400, 21603, "A 'From' phone number is required.")
        callback_url = fields.get("StatusCallback", [""])[-1]

        def accept() -> Response:
            entry = self._world.accept(
                NAME,
                "sms",
                send_id=parse_qs(urlsplit(callback_url).query).get("send_id", [""])[-1],
                to=to,
                content={"text": body},
                provider_id=f"SM{secrets.token_hex(16)}",
                sender=sender,
                callback_url=callback_url,
            )
            return JSONResponse(_resource(accounts.twilio_sid, entry), 201)

        return await self._world.respond(NAME, to, accept, _refuse)

    def status(self, entry: LedgerEntry, kind: str, reason: str) -> dict[str, str]:
        """Form fields of a status callback."""
        word = STATUS[kind]
        code = reason or {"undelivered": "30003", "failed": "30008"}.get(word, "")
        return {
            **self._common(entry.provider_id),
            "MessageStatus": word,
            "SmsStatus": word,
            "From": entry.sender,
            "To": entry.to,
            **({"ErrorCode": code} if code else {}),
        }

    def inbound(self, entry: LedgerEntry, text: str) -> dict[str, str]:
        """Form fields of a customer's answer."""
        sid = f"SM{secrets.token_hex(16)}"
        return {
            **self._common(sid),
            "SmsMessageSid": sid,
            "From": entry.to,
            "To": entry.sender,
            "Body": text,
            "NumMedia": "0",
            "NumSegments": "1",
        }

    def _common(self, sid: str) -> dict[str, str]:
        account = self._world.accounts.twilio_sid
        return {"AccountSid": account, "MessageSid": sid, "SmsSid": sid, "ApiVersion": "2010-04-01"}

    def sign(self, url: str, fields: dict[str, str]) -> dict[str, str]:
        """Headers of a callback to `url`."""
        signature = RequestValidator(self._world.accounts.twilio_token).compute_signature(url, fields)
        return {"X-Twilio-Signature": signature}


def _refuse(fault: Fault) -> Response:
    code = int(fault.code) if fault.code else {429: 20429, 401: 20003}.get(fault.status, 20500)
    return _error(fault.status, code, "Refused by a fault rule", retry_headers(fault))


def _resource(account: str, entry: LedgerEntry) -> dict[str, object]:
    date = formatdate(entry.time / 1_000)
    uri = f"/2010-04-01/Accounts/{account}/Messages/{entry.provider_id}"
    service = entry.sender if entry.sender.startswith("MG") else None
    return {
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": entry.content["text"],
        "date_created": date,
        "date_sent": None,
        "date_updated": date,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": None if service else entry.sender,
        "messaging_service_sid": service,
        "num_media": "0",
        "num_segments": "1",
        "price": None,
        "price_unit": None,
        "sid": entry.provider_id,
        "status": "accepted" if service else "queued",
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": entry.to,
        "uri": f"{uri}.json",
    }
