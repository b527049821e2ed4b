"""Who may publish: keys known by their SHA-256 only, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from orchestrator.settings import ApiKey

_PREFIX = "ok_"


def new_key(name: str) -> tuple[str, ApiKey]:
    """A fresh key: the text for the publisher, shown once, and what the settings keep."""
    key = _PREFIX + secrets.token_urlsafe(32)
    return key, ApiKey(name=name, sha256=digest(key))


def digest(key: str) -> str:
    """What is stored of a key: 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def key_of(authorization: str, keys: Sequence[ApiKey]) -> ApiKey | None:
    """The key of an `Authorization: Bearer …` header, None when it is not one of ours.

    Every key is compared, so the time taken tells neither whether nor where one fits.
    """
    scheme, _, text = authorization.partition(" ")
    offered = digest(text.strip()) if scheme.lower() == "bearer" else ""
    found: ApiKey | None = None
    for key in keys:
        if hmac.compare_digest(offered.encode(), key.sha256.lower().encode()):
            found = key
    return found
