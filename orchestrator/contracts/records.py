"""Records of the `events` log: what ingest writes and the worker reads.

Everything that can change a decision is such a record: customers' events, clock ticks and control events.
The worker reads millions of them, so they are msgspec structs; the checked border is `contracts.envelope`.
All times are integer milliseconds since 1970 UTC.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: A tick T says: everything the log acknowledged before T stands before this record.
TICK = "$tick"
#: A control record switches the program, the shared priors or a channel's health at this position.
CONTROL = "$control"

#: Types a publisher may not use: system records of the log.
RESERVED_PREFIX = "$"


class Event(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One normalised event. `customer` is the canonical id; `time` is at most five minutes past the receipt."""

    id: str
    type: str
    time: int
    customer: str = ""
    source: str = ""
    data: dict[str, Any] = {}
    #: When the gateway or ingest received it.
    received: int = 0
    #: True when `customer` is an anonymous id.
    anonymous: bool = False
    #: `future`: the publisher's time lay too far ahead and was clamped.
    flags: tuple[str, ...] = ()
    #: When it is worth nothing any more; 0: never. Journeys emit such events.
    expires: int = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """The JSON bytes of a record, the same for equal records."""
    return _encoder.encode(event)


def decode(value: bytes) -> Event:
    """The record of JSON bytes. Raises msgspec.DecodeError (a ValueError) naming the field."""
    return _decoder.decode(value)


def tick(at: int) -> Event:
    """A clock tick: all that was published before `at` stands before it."""
    return Event(id=f"tick-{at}", type=TICK, time=at)


def control(kind: str, ref: str, at: int, **data: Any) -> Event:
    """A control record: `kind` is `program`, `priors` or `health`; `ref` the hash of a body in the shared store."""
    return Event(id=f"control-{kind}-{ref}", type=CONTROL, time=at, data={"kind": kind, "ref": ref, **data})
