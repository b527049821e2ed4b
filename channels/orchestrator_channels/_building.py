"""Small checks every `build` shares, and the reading of a callback's kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from orchestrator.contracts.receipts import Callback
from orchestrator.errors import MessageRefused, WebhookRefused

#: Names of this machine, the only one that credentials may reach unencrypted: for fakes and local relays.
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def base_url(value: str) -> str:
    """A provider's address for a settings model: HTTPS, since every request carries credentials. Raises ValueError."""
    url = urlsplit(value)
    if not url.hostname or not (url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)):
        raise ValueError("is not an https:// address (http:// is for this machine only)")
    return value.rstrip("/")


def one_line(value: str, what: str) -> str:
    """The value, if it holds no control characters: a line break in a header is someone else's header."""
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise MessageRefused(f"the {what} holds a line break or control character", code="invalid_content")
    return value


def with_extra(ours: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the provider's own options beside ours. Ours cannot be replaced: they carry the promises."""
    taken = sorted(ours.keys() & extra.keys())
    if taken:
        raise MessageRefused(
            f"extra may not set {', '.join(taken)}", code="invalid_extra", fix="leave out what the adapter sets itself"
        )
    return {**ours, **extra}


def kind_of(callback: Callback, provider: str, default: str) -> str:
    """Which of a provider's callbacks this is: the last part of its path, or the default at `…/webhooks/{provider}`."""
    last = urlsplit(callback.url).path.rstrip("/").rpartition("/")[2]
    return default if last == provider else last


def no_callbacks(provider: str) -> WebhookRefused:
    return WebhookRefused(f"{provider} makes no callbacks", fix="remove this address from whoever calls it")
