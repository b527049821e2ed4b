"""Small checks every `build` shares, and the reading of a callback's kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from orchestrator.contracts.receipts import Callback
from orchestrator.errors import MessageRefused, WebhookRefused


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
