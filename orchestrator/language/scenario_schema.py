"""The schema of `<journey>.scenario.yaml`, for editors. The runner, not the schema, is the judge."""

from __future__ import annotations

from typing import Any

from orchestrator.language.compile import CHANNELS
from orchestrator.language.compile_conditions import KNOWN_EVENTS
from orchestrator.language.schema import DIALECT, Schema

_DURATION: Schema = {
    "type": "string",
    "pattern": r"^((\d+w ?)?(\d+d ?)?(\d+h ?)?(\d+m ?)?(\d+s)?|P.+)$",
    "patternErrorMessage": "not a duration: write 3d, 12h, 45m or 2w",
}
_MOMENT: Schema = {"type": "string", "examples": ["2026-03-02 10:00"]}
_REASON: Schema = {"anyOf": [{"type": "string"}, {"const": True}, {"type": "array", "items": {"type": "string"}}]}


def _expect() -> Schema:
    channel = {
        "anyOf": [
            {"enum": [*CHANNELS, "other", "same"]},
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}},
        ]
    }
    return {
        "description": "What must have happened since the last expect: a channel, nothing, or what is named here.",
        "anyOf": [
            {"enum": ["nothing", *CHANNELS]},
            {"type": "string"},
            {"type": "array"},
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "send": {"description": "Exactly one message, this one (or one of these).", **_REASON},
                    "channel": {"description": "… on this channel, one of these, or other/same as before.", **channel},
                    "at": {"type": "string", "description": "… at this time of hers: 09:00 or 2026-03-02 09:00"},
                    "nothing": {"const": True, "description": "No message."},
                    "sends": {"type": "array", "description": "Exactly these messages, in this order."},
                    "ended": {"description": "Her run ended, with this reason: goal, finished, …", **_REASON},
                    "entered": {"type": "boolean", "description": "She entered."},
                    "inside": {"type": "boolean", "description": "She is inside now."},
                    "held": {"description": "A message waits, for this reason: quiet_hours, cap.", **_REASON},
                    "skipped": {"description": "A message was left out, for this reason.", **_REASON},
                    "emitted": {"type": "string", "description": "This event was published."},
                    "customer": {"type": "object", "description": "Her attributes: {lifecycle: dormant}"},
                },
            },
        ],
    }


def _step() -> Schema:
    data = {"type": ["object", "null"], "description": "Fields of the event; what is left away is made up."}
    words: Schema = {
        "advance": {"description": "Let time pass.", **_DURATION},
        "until": {"description": "Let time pass until then, in her time zone.", **_MOMENT},
        "expect": _expect(),
        "event": {"type": "string", "description": "An event of any type, with 'data'."},
        "data": {"type": "object", "description": "Its fields."},
        "click": {"type": ["object", "null"], "description": "She clicks the last message."},
        "response": {"type": ["object", "null"], "description": "She responds to the last message."},
        "reply": {"type": ["object", "string", "null"], "description": "She replies to the last message: a text."},
        "stop": {"type": "null", "description": "She replies STOP."},
        **{event: {**data, "description": f"The event {event} comes."} for event in KNOWN_EVENTS if event != "reply"},
    }
    return {
        "description": "One step: an event, advance, expect, click or reply.",
        "anyOf": [
            {"enum": ["click", "response", "reply", "stop", *(event for event in KNOWN_EVENTS if event != "reply")]},
            {"type": "string"},
            {"type": "object", "properties": words, "minProperties": 1, "maxProperties": 2},
        ],
    }


def scenario_schema() -> dict[str, Any]:
    """The schema of a scenario file."""
    customer: Schema = {
        "type": "object",
        "description": "Who she is. Left away: reachable by email, sms and push.",
        "additionalProperties": False,
        "properties": {
            "channels": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The channels she can be reached on.",
            },
            "attributes": {"type": "object", "description": "What is known of her: {country: PL}"},
            "segments": {"type": "array", "items": {"type": "string"}, "description": "Her segment labels."},
            "time_zone": {"type": "string", "description": "Her time zone.", "examples": ["Europe/Warsaw"]},
            "locale": {"type": "string", "description": "Her language: de, pt-BR."},
        },
    }
    scenario: Schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "steps"],
        "properties": {
            "name": {"type": "string", "description": "What it proves, in a sentence."},
            "start": {"description": "When it begins, in her time zone. Default 2026-03-02 10:00 UTC.", **_MOMENT},
            "zone": {"type": "string", "description": "Time zone of the scenario.", "examples": ["Europe/Warsaw"]},
            "seed": {"type": ["integer", "string"], "description": "Other seeds give other draws. Default 1."},
            "customer": customer,
            "steps": {
                "type": "array",
                "description": "What happens, and what must follow.",
                "items": _step(),
                "minItems": 1,
            },
        },
    }
    return {
        "$schema": DIALECT,
        "title": "Scenarios",
        "type": "object",
        "additionalProperties": False,
        "required": ["scenarios"],
        "properties": {
            "scenarios": {"type": "array", "description": "Each is run by itself.", "items": scenario, "minItems": 1}
        },
    }
