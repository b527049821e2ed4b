"""The JSON Schemas of events, generated from the models that check them.

`event` describes the envelope and, by the event's type, its data; each known type's data has a schema of its own.
A schema cannot say everything the gateway checks: that a time zone exists, that a time is not before 2000, sizes. What
it refuses, the gateway refuses too.
"""

from __future__ import annotations

from typing import Any

from orchestrator.contracts.envelope import ANONYMOUS_PREFIX, Envelope
from orchestrator.contracts.events import TYPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def event_schemas() -> dict[str, Schema]:
    """Name → schema: `event` and every known type."""
    schemas = {kind: {"$schema": DIALECT, "$id": f"{kind}.schema.json"} | _of(kind) for kind in TYPES}
    return {"event": _event(), **schemas}


def _of(kind: str) -> Schema:
    return {key: _tidy(value) for key, value in TYPES[kind].model_json_schema().items()}


def _event() -> Schema:
    envelope = {key: _tidy(value) for key, value in Envelope.model_json_schema().items()}
    schema: Schema = {"$schema": DIALECT, "$id": "event.schema.json", **envelope}
    schema["properties"]["customer"]["not"] = {"type": "string", "pattern": f"^\\s*{ANONYMOUS_PREFIX}"}
    schema["anyOf"] = [
        {"required": [name], "properties": {name: {"type": "string"}}} for name in ("customer", "anonymous")
    ]
    schema["allOf"] = [_data_of(kind) for kind in TYPES]
    return schema


def _data_of(kind: str) -> Schema:
    then: Schema = {"properties": {"data": {"$ref": f"{kind}.schema.json"}}}
    if any(field.is_required() for field in TYPES[kind].model_fields.values()):
        then["required"] = ["data"]
    return {"if": {"required": ["type"], "properties": {"type": {"const": kind}}}, "then": then}


def _tidy(value: Any) -> Any:
    """Without the titles that only repeat a field's name."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _tidy(item) for key, item in value.items() if not (key == "title" and isinstance(item, str))}
