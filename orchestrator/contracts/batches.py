"""Splits the body of a request into its events, so that one bad event never costs its neighbours theirs.

A body is one object, an array of objects, or `{"events": [...]}`. A body that is not valid JSON as a whole is split at
the commas of its outermost array; each part then gets its own verdict.
"""

from __future__ import annotations

import re

import msgspec

from orchestrator.errors import BadEvent

#: Events of one request at most; a full body of the smallest events stays below.
MAX_EVENTS = 50_000
#: Brackets this deep are an attack, not data.
_MAX_SCAN_DEPTH = 10_000

_SPACE = b" \t\r\n"
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)
_EVENTS = re.compile(rb'\s*\{\s*"events"\s*:\s*(?=\[)')
_AFTER_EVENTS = re.compile(rb"\s*\}\s*")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


def split(body: bytes) -> list[bytes]:
    """The events of a body, each as it came. Raises BadEvent when the body itself is at fault."""
    start = body.lstrip(_SPACE)[:1]
    if start not in (b"{", b"["):
        raise BadEvent("the body is not a JSON object or array", code="json", fix="send an event, or a list of events")
    try:
        if start == b"[":
            events = _array.decode(body)
        else:
            fields = _object.decode(body)
            if "events" not in fields or "type" in fields:
                return [body]
            _only_events(fields)
            events = _array.decode(fields["events"])
    except msgspec.ValidationError:
        raise BadEvent("expected a list of events", field="events", code="type", fix='send {"events": [...]}') from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        parts = _scan(body)
    else:
        parts = [bytes(event) for event in events]
    if len(parts) > MAX_EVENTS:
        raise BadEvent(
            f"the body has {len(parts)} events, the limit is {MAX_EVENTS}", code="size", fix="send fewer at once"
        )
    return parts


def _only_events(fields: dict[str, msgspec.Raw]) -> None:
    for name in fields:
        if name != "events":
            raise BadEvent(
                f"a batch has no field {name[:60]!r}",
                field=name[:60],
                code="unknown_field",
                fix="send only events beside it, and options in the query",
            )


def _scan(body: bytes) -> list[bytes]:
    wrapped = _EVENTS.match(body)
    begin = wrapped.end() if wrapped else len(body) - len(body.lstrip(_SPACE))
    if body[begin : begin + 1] != b"[":
        # One event that is not valid JSON: its own verdict says where.
        return [body]
    parts: list[bytes] = []
    depth = 0
    part_start = begin + 1
    for token in _TOKEN.finditer(body, begin):
        letter = token[0][:1]
        if letter in b"[{":
            depth += 1
            if depth > _MAX_SCAN_DEPTH:
                raise BadEvent("the body nests too deep", code="depth", fix="send a list of flat events")
        elif letter in b"]}":
            depth -= 1
            if depth == 0:
                parts.append(body[part_start : token.start()].strip(_SPACE))
                rest = body[token.end() :]
                if letter == b"]" and (_AFTER_EVENTS.fullmatch(rest) if wrapped else not rest.strip(_SPACE)):
                    return parts
                break
        elif letter == b"," and depth == 1:
            parts.append(body[part_start : token.start()].strip(_SPACE))
            part_start = token.end()
            if len(parts) > MAX_EVENTS:
                return parts
    raise BadEvent(
        "the body is not valid JSON: its brackets do not close", code="json", fix="send whole JSON, in UTF-8"
    )
