"""Turns what pydantic found into sentences for publishers: the field's path, a stable code, what was found, the fix.

Codes: `json`, `encoding`, `size`, `depth`, `number`, `missing`, `unknown_field`, `type`, `range`, `length`, `format`,
`choice`, `time`, `time_zone`, `ancient`. A code never changes its meaning; messages may.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.errors import EventFault

_NUMBER_IN_QUOTES = re.compile(r"-?[0-9]+(\.[0-9]+)?")

#: What a strict pydantic type wanted, in a publisher's words.
_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}

#: What a pattern means and how to satisfy it, by the field's name.
_FORMATS = {
    "type": ("a lower-case snake_case word", "write it like order_shipped"),
    "currency": ("a three-letter currency code", "write it like EUR"),
    "email": ("an e-mail address", "write it like ann@example.com"),
    "phone": ("a phone number in E.164 form", "write it with + and country code, like +4915112345678"),
    "channel": ("a channel's name", "write it like email, sms or push"),
}

#: Names publishers often use for ours.
_RENAMED = {
    "customer_id": "customer",
    "customerid": "customer",
    "user_id": "customer",
    "userid": "customer",
    "user": "customer",
    "anonymous_id": "anonymous",
    "anonymousid": "anonymous",
    "timestamp": "time",
    "messageid": "id",
    "message_id": "id",
    "event_id": "id",
    "event": "type",
    "event_type": "type",
    "properties": "data",
    "payload": "data",
}

_MISSING = {
    "id": "send an id that is the same on every retry, so that the event counts once",
    "order_id": "send your id of the order, so that it counts once",
    "send_id": "send the id of the send this is about",
    "time": "send when it happened, like 2026-03-01T09:30:00Z",
}

_TIME_FIX = "write an ISO 8601 time with an offset, like 2026-03-01T09:30:00Z"


def path_of(parts: Sequence[int | str], prefix: str = "") -> str:
    """`('products', 0, 'price')` under `data` → `data.products[0].price`."""
    text = prefix
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            text += f".{part}" if text else part
    return text


def shown(value: Any) -> str:
    """A value as a publisher may read it in one line; long text is cut."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1]}"


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[EventFault]:
    """Every fault pydantic found, as one EventFault each."""
    return [_explain(fault, model, prefix) for fault in error.errors(include_url=False)]


def _explain(fault: Any, model: type[BaseModel], prefix: str) -> EventFault:
    kind: str = fault["type"]
    found = fault["input"]
    context: dict[str, Any] = fault.get("ctx", {})
    field = path_of(fault["loc"], prefix)
    name = str(next((part for part in reversed(fault["loc"]) if isinstance(part, str) and part != "[key]"), ""))

    if kind == "missing":
        return EventFault(field, "missing", f"{name} is missing", _MISSING.get(name, f"send {field}"))
    if kind == "extra_forbidden":
        ours = _RENAMED.get(name.lower()) or next(iter(difflib.get_close_matches(name, model.model_fields, n=1)), "")
        fix = f"did you mean {ours}?" if ours else f"move it into data: data.{name}"
        return EventFault(field, "unknown_field", f"an event has no field {shown(name)}", fix)
    if kind == "time_text" or kind.startswith(("datetime", "timezone")):
        wanted = "an offset" if kind == "timezone_aware" else "a time"
        got = f"{shown(found)} without one" if kind == "timezone_aware" else shown(found)
        return EventFault(field, "time", f"expected {wanted}, got {got}", _TIME_FIX)
    if kind == "time_zone":
        return EventFault(field, "time_zone", f"no time zone {shown(found)}", f"did you mean {context['near']}?")
    if kind in _EXPECTED:
        return EventFault(field, "type", f"expected {_EXPECTED[kind]}, got {shown(found)}", _type_fix(kind, found))
    if kind == "push_address":
        return EventFault(field, "type", f"{fault['msg']}, got {shown(found)}", "send what the device registered")
    if kind == "finite_number":
        return EventFault(field, "number", "expected a finite number", "send a number, or leave the field away")
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']:g}" if "ge" in context else f"at most {context['le']:g}"
        fix = "send what came back as an order_refunded event" if context.get("ge") == 0 else "check the unit"
        return EventFault(field, "range", f"expected {bound}, got {shown(found)}", fix)
    if kind in ("string_too_short", "string_too_long", "too_long"):
        long = kind != "string_too_short"
        message = f"longer than {context['max_length']}" if long else "expected text, got an empty one"
        return EventFault(field, "length", message, "shorten it" if long else "send a value, or leave the field away")
    if kind == "string_pattern_mismatch":
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in found):
            return EventFault(field, "format", "control characters are not allowed", "take them out")
        wanted, fix = _FORMATS.get(name, ("a lower-case word", "use a-z, 0-9 and _"))
        return EventFault(field, "format", f"expected {wanted}, got {shown(found)}", fix)
    if kind == "literal_error":
        return EventFault(field, "choice", f"expected {context['expected']}, got {shown(found)}", "use one of these")
    return EventFault(field, "invalid", fault["msg"], "correct the field")


def _type_fix(kind: str, found: Any) -> str:
    if kind in ("float_type", "int_type"):
        if isinstance(found, str) and _NUMBER_IN_QUOTES.fullmatch(found.strip()):
            return f"send {found.strip()} without quotes"
        return "send a number such as 0, or leave the field away"
    if kind == "string_type" and isinstance(found, int | float) and not isinstance(found, bool):
        return f'send it in quotes: "{found}"'
    return f"send {_EXPECTED[kind]}, or leave the field away"
