"""Google's token endpoint and FCM's messages:send."""

from __future__ import annotations

import json
import secrets
from urllib.parse import parse_qs

import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.testing.fakes import contract
from orchestrator.testing.fakes.base import World, bearer, retry_headers
from orchestrator.testing.fakes.faults import LOGIN, Fault

NAME = "fcm"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
#: Google's library writes this into the assertion, whatever the key file's token_uri is.
AUDIENCE = "https://oauth2.googleapis.com/token"
#: HTTP status → Google's word for it.
WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
}
WORDS |= {500: "INTERNAL", 503: "UNAVAILABLE"}


def _error(status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> Response:
    error: dict[str, object] = {"code": status, "message": message, "status": WORDS.get(status, "UNKNOWN")}
    if code:
        error["details"] = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]
    return JSONResponse({"error": error}, status, headers)


class FakeFcm:
    def __init__(self, world: World) -> None:
        self._world = world
        self._tokens: set[str] = set()
        #: How many logins were answered.
        self.logins = 0
        self.routes = [
            Route("/oauth2/token", self._token, methods=["POST"]),
            Route("/v1/projects/{project}/messages:send", self._send, methods=["POST"]),
        ]

    def withdraw_tokens(self) -> None:
        """Make every token given so far invalid, as Google may do at any time."""
        self._tokens.clear()

    async def _token(self, request: Request) -> Response:
        fields = parse_qs((await request.body()).decode())
        accounts = self._world.accounts
        try:
            if fields.get("grant_type") != [GRANT]:
                raise ValueError("grant_type")
            claims = jwt.decode(
                fields["assertion"][0], accounts.service_key.public_key(), algorithms=["RS256"], audience=AUDIENCE
            )
            if claims.get("scope") != SCOPE or "iss" not in claims:
                raise ValueError("scope")
        except (KeyError, ValueError, jwt.InvalidTokenError) as error:
            body = {"error": "invalid_grant", "error_description": f"Invalid JWT: {type(error).__name__}"}
            return JSONResponse(body, 400)
        fault = self._world.faults.take(LOGIN, "")
        if fault is not None:
            return JSONResponse({"error": fault.code or "invalid_grant"}, fault.status)
        self.logins += 1
        token = secrets.token_urlsafe(32)
        self._tokens.add(token)
        return JSONResponse({"access_token": token, "expires_in": 3_599, "token_type": "Bearer"})

    async def _send(self, request: Request) -> Response:
        if bearer(request) not in self._tokens:
            return _error(401, "Request had invalid authentication credentials.")
        if request.path_params["project"] != self._world.accounts.project:
            return _error(403, "Permission denied on this project.")
        try:
            body = json.loads(await request.body())
        except ValueError:
            return _error(400, "Invalid JSON payload received.", "INVALID_ARGUMENT")
        problem = contract.fcm_message(body)
        message = body.get("message", {}) if isinstance(body, dict) else {}
        if problem is None and not message.get("token"):
            problem = "message.token: a target is required"
        if problem is not None:
            return _error(400, f"Invalid JSON payload received. {problem}", "INVALID_ARGUMENT")

        def accept() -> Response:
            notification, data = message.get("notification", {}), message.get("data", {})
            name = f"projects/{self._world.accounts.project}/messages/{secrets.token_hex(8)}"
            self._world.accept(
                NAME,
                "push",
                send_id=data.get("send_id", ""),
                to=message["token"],
                content={
                    "title": notification.get("title", ""),
                    "text": notification.get("body", ""),
                    "link": data.get("link", ""),
                },
                provider_id=name,
            )
            return JSONResponse({"name": name})

        return await self._world.respond(NAME, message["token"], accept, _refuse)


def _refuse(fault: Fault) -> Response:
    return _error(fault.status, "Refused by a fault rule", fault.code, retry_headers(fault))
