"""A version is the hash of what something means: equal files in other spacing or order of lines have one version."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from orchestrator.language.program import Condition, Journey

#: Labels and the state of publication do not change what a run does, so they do not make a new version.
_NOT_MEANING = frozenset({"version", "name", "owner", "status", "reads"})


def version_of(journey: Journey) -> str:
    """The first 16 hex digits of the SHA-256 of what the journey does. Comments, spacing and labels do not count.

    What has its default value is left out, so that a later release with more to say keeps the versions runs are on.
    """
    meaning = _canonical(journey)
    return digest({name: value for name, value in meaning.items() if name not in _NOT_MEANING})


def version_of_value(value: object) -> str:
    """The same for another part of the language, such as the stages."""
    return digest(_canonical(value))


def digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _canonical(value: Any) -> Any:
    if isinstance(value, Condition):
        return value.meaning
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        said = {
            field.name: _canonical(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if getattr(value, field.name) != _default(field)
        }
        return {"kind": type(value).__name__, **said}
    if isinstance(value, tuple | list):
        return [_canonical(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    return value


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
