"""The published schemas agree with the models, and the examples get the same verdict from both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from orchestrator.cli.schemas import drift, published
from orchestrator.contracts.events import TYPES
from orchestrator.contracts.normalise import normalise
from orchestrator.errors import BadEvent

SCHEMAS = Path(__file__).parents[2] / "schemas"
NOW = 1_772_366_400_000
VALID = sorted((SCHEMAS / "examples" / "valid").glob("*.json"))
INVALID = sorted((SCHEMAS / "examples" / "invalid").glob("*.json"))


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def events() -> Draft202012Validator:
    schemas = {path.name: _read(path) for path in SCHEMAS.glob("*.schema.json")}
    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(schema)) for name, schema in schemas.items()
    )
    return Draft202012Validator(schemas["event.schema.json"], registry=registry)


def test_no_schema_has_drifted_from_its_model() -> None:
    assert drift(SCHEMAS) == [], "run: orchestrator schemas write"


def test_drift_is_found(tmp_path: Path) -> None:
    for name, text in published().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert drift(tmp_path) == []
    (tmp_path / "view.schema.json").write_text("{}", encoding="utf-8")
    (tmp_path / "gone.schema.json").write_text("{}", encoding="utf-8")
    (tmp_path / "reply.schema.json").unlink()
    assert drift(tmp_path) == [
        "reply.schema.json is missing",
        "gone.schema.json belongs to no model",
        "view.schema.json differs from its model",
    ]


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.schema.json")), ids=lambda path: path.name)
def test_every_schema_is_a_schema(path: Path) -> None:
    Draft202012Validator.check_schema(_read(path))


def test_every_known_type_has_a_valid_example() -> None:
    assert {_read(path)["type"] for path in VALID} >= set(TYPES)


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_example(path: Path, events: Draft202012Validator) -> None:
    event = _read(path)
    assert list(events.iter_errors(event)) == []
    for given in (event, path.read_bytes()):
        record = normalise(given, received=NOW)
        assert (record.id, record.type, record.data) == (event["id"], event["type"], event.get("data", {}))


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_example(path: Path, events: Draft202012Validator) -> None:
    example = _read(path)
    event = example["event"]
    for given in (event, json.dumps(event).encode()):
        with pytest.raises(BadEvent) as caught:
            normalise(given, received=NOW)
        found = [{"field": fault.field, "code": fault.code} for fault in caught.value.faults]
        assert sorted(found, key=str) == sorted(example["expected"], key=str)
        assert all(fault.message and fault.fix for fault in caught.value.faults)
    assert events.is_valid(event) is not example["caught_by_schema"]
