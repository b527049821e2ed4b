"""An address as a key that does not reveal it: HMAC of the normalised address under the installation's seed.

Two spellings of one address must give one key, or a STOP would miss: letters of an e-mail address are folded to lower
case, a phone number keeps its digits, a Web Push subscription is known by its endpoint.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

_PHONE = re.compile(r"\+?[0-9 ().\-/]+")
_NOT_DIGITS = re.compile(r"[^0-9]")


def normalise(address: Any) -> str:
    """The one spelling of an address: e-mail, phone number, push token, or a subscription with an `endpoint`."""
    if isinstance(address, Mapping):
        return str(address.get("endpoint", "")).strip()
    text = str(address).strip()
    if "@" in text:
        return text.casefold()
    if _PHONE.fullmatch(text):
        digits = _NOT_DIGITS.sub("", text)
        return "+" + (digits[2:] if digits.startswith("00") else digits)
    return text


def address_hmac(seed: str, address: Any) -> str:
    """The address as 64 hex digits. Equal for all spellings of one address; useless without the seed."""
    return hmac.new(seed.encode(), b"address:" + normalise(address).encode(), hashlib.sha256).hexdigest()
