"""Checks of requests against the providers' own contracts, read from `contracts/`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

#: A request's fault: where and what; None when it fits.
Problem = str | None


@cache
def _load(name: str) -> dict[str, Any]:
    text = files("orchestrator.testing.fakes").joinpath("contracts", name).read_text("utf-8")
    contract: dict[str, Any] = json.loads(text)
    return contract


def _first_problem(validator: Draft202012Validator, value: object) -> Problem:
    error = next(iter(sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.path)))), None)
    return None if error is None else f"{error.json_path}: {error.message}"


@cache
def _sendgrid() -> Draft202012Validator:
    contract = _load("sendgrid_mail_send.json")
    body = contract["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**body, "components": contract["components"]})


def sendgrid_mail(body: object) -> Problem:
    """`POST /v3/mail/send`."""
    return _first_problem(_sendgrid(), body)


@cache
def _twilio() -> tuple[dict[str, Any], Draft202012Validator]:
    contract = _load("twilio_messages_create.json")
    operation = next(iter(contract["paths"].values()))["post"]
    schema = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    # Form bodies are flat, and Twilio's own parameters all start with a capital.
    return schema["properties"], Draft202012Validator({**schema, "components": contract["components"]})


def twilio_message(fields: Mapping[str, Sequence[str]]) -> Problem:
    """`POST …/Messages.json`: form fields, read as the types the contract names."""
    properties, validator = _twilio()
    unknown = sorted(fields.keys() - properties.keys())
    if unknown:
        return f"{unknown[0]}: no such parameter"
    return _first_problem(validator, {name: _typed(values, properties[name]) for name, values in fields.items()})


def _typed(values: Sequence[str], schema: Mapping[str, Any]) -> object:
    kind = schema.get("type")
    if kind == "array":
        return list(values)
    text = values[-1]
    if kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            return text
    return text


@cache
def _fcm() -> Draft202012Validator:
    contract = _load("fcm_messages_send.discovery.json")
    definitions = {name: _from_discovery(schema) for name, schema in contract["schemas"].items()}
    return Draft202012Validator({"$ref": "#/$defs/SendMessageRequest", "$defs": definitions})


def _from_discovery(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Google's discovery format as JSON Schema. Unknown names are refused, as Google refuses them."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    kind = schema.get("type")
    if kind == "any":
        return {}
    if kind == "array":
        return {"type": "array", "items": _from_discovery(schema["items"])}
    if kind != "object":
        limits = {"pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"} if schema.get("format") == "google-duration" else {}
        return {"type": kind, **limits, **({"enum": schema["enum"]} if "enum" in schema else {})}
    extra = schema.get("additionalProperties")
    properties = {name: _from_discovery(value) for name, value in schema.get("properties", {}).items()}
    # Both spellings of a name are taken: `collapseKey` and `collapse_key`.
    properties |= {_snake(name): value for name, value in properties.items()}
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": _from_discovery(extra) if extra else False,
    }


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def fcm_message(body: object) -> Problem:
    """`POST …/messages:send`."""
    return _first_problem(_fcm(), body)
