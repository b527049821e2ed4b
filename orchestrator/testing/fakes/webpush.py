"""A browser's push service, and the browsers that subscribed to it: the fakes hold their keys and read the pushes."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.testing.fakes.accounts import base64url, public_point
from orchestrator.testing.fakes.base import World, retry_headers
from orchestrator.testing.fakes.faults import Fault

NAME = "webpush"


@dataclass(frozen=True)
class Browser:
    """One subscription's secrets."""

    key: ec.EllipticCurvePrivateKey
    auth: bytes


class FakeWebPush:
    def __init__(self, world: World) -> None:
        self._world = world
        self._browsers: dict[str, Browser] = {}
        #: The fakes' own origin, which VAPID claims must name.
        self.origin = ""
        self.routes = [Route("/webpush/{id}", self._push, methods=["POST"])]

    def subscribe(self) -> dict[str, Any]:
        """A new browser's subscription, as JavaScript's `PushSubscription.toJSON()` gives it."""
        name = secrets.token_urlsafe(12)
        browser = Browser(ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(16))
        self._browsers[name] = browser
        return {
            "endpoint": f"{self.origin}/webpush/{name}",
            "expirationTime": None,
            "keys": {"p256dh": base64url(public_point(browser.key)), "auth": base64url(browser.auth)},
        }

    def browser(self, subscription: dict[str, Any]) -> Browser:
        """The secrets of a subscription, for a test that decrypts by itself."""
        return self._browsers[str(subscription["endpoint"]).rpartition("/")[2]]

    async def _push(self, request: Request) -> Response:
        browser = self._browsers.get(request.path_params["id"])
        if browser is None:
            return Response(status_code=404)
        refused = self._refused(request)
        if refused is not None:
            return refused
        body = await request.body()
        if len(body) > 4_096:
            return Response(status_code=413)
        try:
            plain = http_ece.decrypt(body, private_key=browser.key, auth_secret=browser.auth, version="aes128gcm")
            payload = json.loads(plain)
        except (http_ece.ECEException, ValueError):
            # A real push service cannot read the body; here it is the browser that says so.
            return Response("the push cannot be decrypted", 400)
        endpoint = str(request.url)
        headers = {name: request.headers[name] for name in ("ttl", "topic", "urgency") if name in request.headers}

        def accept() -> Response:
            entry = self._world.accept(
                NAME,
                "push",
                send_id=payload.get("send_id", ""),
                to=endpoint,
                content={
                    "title": payload.get("title", ""),
                    "text": payload.get("body", ""),
                    "link": payload.get("link", ""),
                },
                provider_id=f"{self.origin}/message/{secrets.token_urlsafe(12)}",
                headers=headers,
            )
            return Response(status_code=201, headers={"Location": entry.provider_id})

        return await self._world.respond(NAME, endpoint, accept, _refuse)

    def _refused(self, request: Request) -> Response | None:
        """RFC 8030 and RFC 8292: a TTL, an encrypted body, and a claim signed with the key of the subscription."""
        if not request.headers.get("ttl", "").isdigit():
            return Response("TTL is missing", 400)
        if request.headers.get("content-encoding") != "aes128gcm":
            return Response("the body is not encrypted", 400)
        scheme, _, parameters = request.headers.get("authorization", "").partition(" ")
        given = dict(part.strip().partition("=")[::2] for part in parameters.split(","))
        if scheme != "vapid" or "t" not in given or "k" not in given:
            return Response("no VAPID claim", 401)
        key = self._world.accounts.vapid_key
        if given["k"].rstrip("=") != base64url(public_point(key)):
            return Response("the claim's key is not the subscription's", 403)
        try:
            claims = jwt.decode(given["t"], key.public_key(), algorithms=["ES256"], audience=self.origin)
        except jwt.InvalidTokenError as error:
            return Response(f"the claim is not valid: {type(error).__name__}", 401)
        if not str(claims.get("sub", "")).startswith(("mailto:", "https://")) or claims.get("exp", 0) <= 0:
            return Response("the claim names no contact or no end", 401)
        return None


def _refuse(fault: Fault) -> Response:
    return Response(fault.code, fault.status, retry_headers(fault))
