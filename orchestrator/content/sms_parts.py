"""How many parts a text message takes, by the rules of GSM 03.38 and 03.40. Carriers bill each part.

One part holds 160 GSM-7 characters, or 70 units of UCS-2 as soon as one character is outside GSM-7. Longer texts are
split into parts of 153 or 67, for each then carries a header. A character of the extension table takes two places and
neither it nor a surrogate pair is torn apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}\\[~]|€\f")
#: Typographic characters that make a text UCS-2, and what says the same within GSM-7.
PLAIN = {
    "’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "…": "...", "\u00a0": " ", "•": "-", "·": "-",
    "\u2009": " ", "\u202f": " ", "«": '"', "»": '"', "−": "-", "×": "x",
}  # fmt: skip

_SINGLE = {"GSM-7": 160, "UCS-2": 70}
_JOINED = {"GSM-7": 153, "UCS-2": 67}


@dataclass(frozen=True, slots=True)
class Parts:
    """`parts` messages in `encoding`; `units` places used of `room` in them; `foreign` made it UCS-2."""

    encoding: Literal["GSM-7", "UCS-2"]
    parts: int
    units: int
    room: int
    foreign: tuple[str, ...] = ()


def sms_parts(text: str) -> Parts:
    """The parts of a text. An empty text takes one."""
    foreign = tuple(dict.fromkeys(char for char in text if char not in _BASIC and char not in _EXTENDED))
    encoding: Literal["GSM-7", "UCS-2"] = "UCS-2" if foreign else "GSM-7"
    sizes = [_size(char, encoding) for char in text]
    units = sum(sizes)
    if units <= _SINGLE[encoding]:
        return Parts(encoding, 1, units, _SINGLE[encoding], foreign)
    room, parts, used = _JOINED[encoding], 1, 0
    for size in sizes:
        if used + size > room:
            parts, used = parts + 1, 0
        used += size
    return Parts(encoding, parts, units, parts * room, foreign)


def _size(char: str, encoding: str) -> int:
    if encoding == "UCS-2":
        return 2 if ord(char) > 0xFFFF else 1
    return 2 if char in _EXTENDED else 1
