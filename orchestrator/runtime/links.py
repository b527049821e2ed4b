"""Public addresses of this installation that go into messages and to providers."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from orchestrator.settings import Settings

_MAC_BYTES = 16


def unsubscribe_url(settings: Settings, send_id: str) -> str:
    """The one-click unsubscribe address of a send (RFC 8058): opaque, signed, the same every time."""
    return f"{_public(settings)}/v1/unsubscribe/{_token(settings, send_id)}"


def callback_url(settings: Settings, provider: str, kind: str = "") -> str:
    """Where a provider reports: `kind` tells apart what it would otherwise mix, such as `status` and `inbound`."""
    return f"{_public(settings)}/v1/webhooks/{provider}" + (f"/{kind}" if kind else "")


def send_of_token(settings: Settings, token: str) -> str | None:
    """The send id of a token of ours; None for any other text."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        send_id = raw[_MAC_BYTES:].decode()
    except (binascii.Error, ValueError):
        return None
    return send_id if hmac.compare_digest(_token(settings, send_id).encode(), token.encode()) else None


def _token(settings: Settings, send_id: str) -> str:
    seed = settings.seed.get_secret_value().encode()
    mac = hmac.new(seed, b"unsubscribe:" + send_id.encode(), hashlib.sha256).digest()[:_MAC_BYTES]
    return base64.urlsafe_b64encode(mac + send_id.encode()).decode().rstrip("=")


def _public(settings: Settings) -> str:
    return settings.gateway.public_url.rstrip("/")
