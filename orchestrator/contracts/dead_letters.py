"""What goes to the dead-letter topic: input that could not be read or applied, with the reason and the original.

The same form for every part that rejects: gateway, ingest, worker. A person sees the fault, a re-drive has the bytes.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec

from orchestrator.contracts.envelope import MAX_EVENT_BYTES
from orchestrator.errors import EventFault


class DeadLetter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One rejected input. Exactly one of `text` and `base64` holds the original, neither when it was oversized."""

    #: Where it came from: `http:<name of the key>`, `webhook:<provider>`, `kafka:<topic>/<partition>/<offset>`.
    origin: str
    #: When it was rejected, ms UTC.
    at: int
    #: The first fault; `faults` counts them.
    code: str
    message: str
    field: str = ""
    fix: str = ""
    faults: int = 1
    #: The original: size in bytes, SHA-256 in hex, and the bytes themselves.
    size: int = 0
    sha256: str = ""
    text: str | None = None
    base64: str | None = None

    def original(self) -> bytes | None:
        """The bytes as they came; None when they were too large to keep."""
        if self.text is not None:
            return self.text.encode()
        return base64.b64decode(self.base64) if self.base64 is not None else None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(DeadLetter)


def dead_letter(original: bytes, faults: tuple[EventFault, ...], *, origin: str, at: int) -> DeadLetter:
    """The letter for an input and its faults (`BadEvent.faults`)."""
    text: str | None = None
    encoded: str | None = None
    if len(original) <= MAX_EVENT_BYTES:
        try:
            text = original.decode()
        except UnicodeDecodeError:
            encoded = base64.b64encode(original).decode()
    return DeadLetter(
        origin=origin,
        at=at,
        code=faults[0].code,
        message=faults[0].message,
        field=faults[0].field,
        fix=faults[0].fix,
        faults=len(faults),
        size=len(original),
        sha256=hashlib.sha256(original).hexdigest(),
        text=text,
        base64=encoded,
    )


def encode(letter: DeadLetter) -> bytes:
    """The JSON bytes of a letter."""
    return _encoder.encode(letter)


def decode(value: bytes) -> DeadLetter:
    """The letter of JSON bytes. Raises msgspec.DecodeError naming the field."""
    return _decoder.decode(value)
