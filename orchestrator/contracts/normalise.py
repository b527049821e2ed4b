"""One publisher's event → one record of the log. The only road in, for HTTP, Kafka, webhooks and the simulation alike.

    bytes → JSON → envelope → data of its type → times in ms → records.Event

Pure: the time of receipt is a parameter. Every fault of an event is reported at once. `data` goes on exactly as it
came, numbers included; the models only check it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from pydantic import ValidationError

from orchestrator.contracts.envelope import (
    ANONYMOUS_PREFIX,
    FUTURE_TOLERANCE_MS,
    MAX_DEPTH,
    MAX_EVENT_BYTES,
    MIN_TIME,
    Envelope,
    to_ms,
)
from orchestrator.contracts.events import TYPES
from orchestrator.contracts.faults import explain, path_of, shown
from orchestrator.contracts.records import Event
from orchestrator.errors import BadEvent, EventFault

#: The publisher's time lay too far ahead and was clamped.
FUTURE = "future"
#: Faults told of one event at most.
MAX_FAULTS = 20

_INTEGERS = range(-(2**63), 2**64)
#: Only a number this long can lie outside 64 bits.
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_JSON_FIX = "send one JSON object per event, in UTF-8"
_MIN_TIME_MS = to_ms(MIN_TIME)


def normalise(value: bytes | Mapping[str, Any], *, received: int, fallback_id: str | None = None) -> Event:
    """The record of one event.

    `received` is the time of receipt, ms UTC: a time more than five minutes later is clamped to receipt + 5 minutes and
    flagged `future`; a time before 2000 is refused. `fallback_id` names an event that came without an id; without it
    such an event is refused. An anonymous id becomes the customer `anonymous:<id>`, unless `customer` is given too.

    Raises BadEvent with every fault of the event in `.faults`. It raises nothing else, whatever the input.
    """
    faults: list[EventFault] = []
    if isinstance(value, bytes):
        event, walk = _parse(value)
    else:
        event, walk = dict(value), True
    if walk:
        faults += islice(_walk(event), MAX_FAULTS)
        if not faults and not isinstance(value, bytes):
            _check_size(len(msgspec.json.encode(event)))
    if fallback_id is not None and event.get("id") is None:
        event = {**event, "id": fallback_id}

    envelope: Envelope | None = None
    try:
        envelope = Envelope.model_validate(event)
    except ValidationError as error:
        faults += explain(error, Envelope)
    faults += _identity_faults(event)

    data = event.get("data", {})
    kind = event.get("type")
    if isinstance(data, dict) and isinstance(kind, str) and kind in TYPES:
        try:
            TYPES[kind].model_validate(data)
        except ValidationError as error:
            faults += explain(error, TYPES[kind], "data")

    at = to_ms(envelope.time) if envelope is not None else _MIN_TIME_MS
    if at < _MIN_TIME_MS:
        message = f"{shown(str(event['time']))} is before the year 2000, so it is taken for a mistake"
        faults.append(EventFault("time", "ancient", message, "send the time at which it happened"))
    if faults or envelope is None:
        # One fault per field: what the walk says is clearer than what a model says of the same value.
        first: dict[str, EventFault] = {}
        for fault in faults:
            first.setdefault(fault.field, fault)
        raise BadEvent.of(list(first.values())[:MAX_FAULTS])

    latest = received + FUTURE_TOLERANCE_MS
    return Event(
        id=envelope.id,
        type=envelope.type,
        time=min(at, latest),
        customer=f"{ANONYMOUS_PREFIX}{envelope.anonymous}" if envelope.customer is None else envelope.customer,
        source=envelope.source,
        data=data,
        received=received,
        anonymous=envelope.customer is None,
        flags=(FUTURE,) if at > latest else (),
    )


def _identity_faults(event: dict[str, Any]) -> Iterator[EventFault]:
    customer = event.get("customer")
    if customer is None and event.get("anonymous") is None:
        yield EventFault(
            "customer", "missing", "customer is missing", "send customer, or anonymous for an unknown visitor"
        )
    elif isinstance(customer, str) and customer.strip().startswith(ANONYMOUS_PREFIX):
        fix = f"send anonymous: {shown(customer.strip()[len(ANONYMOUS_PREFIX) :])}"
        yield EventFault("customer", "format", f"{shown(ANONYMOUS_PREFIX)} marks ids of unknown visitors", fix)


def _check_size(size: int) -> None:
    if size > MAX_EVENT_BYTES:
        raise BadEvent(
            f"the event has {size} bytes, the limit is {MAX_EVENT_BYTES}",
            code="size",
            fix="send what journeys need, and a link to the rest",
        )


def _parse(raw: bytes) -> tuple[dict[str, Any], bool]:
    """The object, and whether its values still need a walk: most events are too small and flat to be dangerous."""
    _check_size(len(raw))
    try:
        event = msgspec.json.decode(raw)
        walk = raw.count(b"{") + raw.count(b"[") > MAX_DEPTH or _LONG_NUMBER.search(raw) is not None
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise BadEvent("the text is not valid UTF-8", code="encoding", fix="encode the body as UTF-8") from None
    except msgspec.DecodeError as error:
        # Python's own parser is laxer (NaN, lone surrogates, 1e999): if it reads the event, the walk names the field.
        try:
            event, walk = json.loads(raw), True
        except RecursionError:
            raise _too_deep() from None
        except UnicodeDecodeError:
            raise BadEvent("the text is not valid UTF-8", code="encoding", fix="encode the body as UTF-8") from None
        except json.JSONDecodeError as explained:
            raise BadEvent(f"not valid JSON: {explained}", code="json", fix=_JSON_FIX) from None
        except ValueError:
            raise BadEvent("a number has too many digits", code="number", fix="send it as text") from None
        if isinstance(event, dict) and not any(True for _ in _walk(event)):
            raise BadEvent(f"not valid JSON: {error}", code="json", fix=_JSON_FIX) from None
    if not isinstance(event, dict):
        raise BadEvent(f"expected an object, got {shown(event)}", code="type", fix=_JSON_FIX)
    return event, walk


def _too_deep() -> BadEvent:
    return BadEvent.of([_depth_fault("")])


def _depth_fault(field: str) -> EventFault:
    return EventFault(field, "depth", f"nested deeper than {MAX_DEPTH} levels", "flatten it")


def _walk(event: dict[str, Any]) -> Iterator[EventFault]:
    """Faults that no model sees: depth, numbers that are not finite or leave 64 bits, values JSON does not know."""
    stack: list[tuple[Any, tuple[int | str, ...]]] = [(event, ())]
    visited = 0
    while stack:
        value, path = stack.pop()
        visited += 1
        if visited > MAX_EVENT_BYTES:
            # Only a Python caller whose objects share parts gets here; as JSON it would be larger than any event.
            _check_size(MAX_EVENT_BYTES + 1)
        if isinstance(value, str):
            if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
                yield EventFault(
                    path_of(path), "encoding", "half of a surrogate pair", "send whole characters, in UTF-8"
                )
        elif value is None or isinstance(value, bool):
            continue
        elif isinstance(value, int):
            if value not in _INTEGERS:
                yield EventFault(path_of(path), "number", "a whole number beyond 64 bits", "send it as text")
        elif isinstance(value, float):
            if not math.isfinite(value):
                found = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
                fix = "send a number, or leave the field away"
                yield EventFault(path_of(path), "number", f"expected a finite number, got {found}", fix)
        elif isinstance(value, dict | list | tuple):
            # The envelope itself is one level, `data` the next: MAX_DEPTH counts from `data`.
            if len(path) > MAX_DEPTH:
                yield _depth_fault(path_of(path[:3]))
                continue
            items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
            for key, item in reversed(items):
                if isinstance(value, dict):
                    if not isinstance(key, str):
                        yield EventFault(
                            path_of(path), "type", f"expected text as a field's name, got {shown(key)}", ""
                        )
                        continue
                    stack.append((key, (*path, "[key]")))
                stack.append((item, (*path, key)))
        elif not (isinstance(value, datetime) and path == ("time",)):
            found = type(value).__name__
            yield EventFault(path_of(path), "type", f"JSON has no {found}", "send text, a number, true or false")
