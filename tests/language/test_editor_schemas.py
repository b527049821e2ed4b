"""The schemas for editors: valid themselves, complete, and of one mind with the loader on the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.language.faults import keys_of
from orchestrator.language.load import load
from orchestrator.language.messages import MessageForm
from orchestrator.language.model import VERBS, CaseForm, EventForm, GoalForm, JourneyForm, TriggerForm
from orchestrator.language.policy import PolicyForm
from orchestrator.language.scenario_schema import scenario_schema
from orchestrator.language.schema import (
    journey_schema,
    message_schema,
    policy_schema,
    segments_schema,
    stages_schema,
)

HEADS = {"_policy.yaml": policy_schema(), "_stages.yaml": stages_schema(), "_segments.yaml": segments_schema()}
JOURNEYS = Path(__file__).parents[2] / "journeys"


@pytest.mark.parametrize("schema", [journey_schema(), policy_schema(), message_schema(), scenario_schema()])
def test_they_are_schemas_and_explain_every_key(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    for key, value in schema["properties"].items():
        assert value.get("description"), key


def test_no_key_is_forgotten() -> None:
    schema = journey_schema()
    properties = schema["properties"]
    assert set(properties) == set(keys_of(JourneyForm))
    assert set(properties["trigger"]["anyOf"][1]["properties"]) == set(keys_of(TriggerForm))
    assert set(properties["goal"]["properties"]) == set(keys_of(GoalForm))
    assert set(properties["exit_when"]["anyOf"][0]["anyOf"][1]["properties"]) == set(keys_of(EventForm))
    step = schema["$defs"]["step"]
    assert set(step["properties"]) == {key for model in VERBS.values() for key in keys_of(model)}
    assert set(step["properties"]["branch"]["items"]["properties"]) == set(keys_of(CaseForm))
    assert set(policy_schema()["properties"]) == set(keys_of(PolicyForm))
    assert set(message_schema()["properties"]) == set(keys_of(MessageForm))


def test_shipped_files_fit() -> None:
    for path in JOURNEYS.glob("*.yaml"):
        schema = HEADS.get(path.name) or journey_schema()
        if path.name.endswith(".scenario.yaml"):
            schema = scenario_schema()
        Draft202012Validator(schema).validate(load(path.name, path.read_text()).data)


@pytest.mark.parametrize(
    "step",
    [
        {"wiat": "3d"},
        {"send": "x", "up_to": "3d"},
        {"wait_for": "x"},
        {"send": "x", "wait": "3d"},
        {"wait": "3 days"},
        {},
        {"exit": 3},
        {"branch": []},
    ],
)
def test_wrong_steps_do_not_fit(step: dict[str, Any]) -> None:
    validator = Draft202012Validator(journey_schema())
    assert not validator.is_valid({"name": "x", "owner": "y", "trigger": "purchase", "steps": [step]})
