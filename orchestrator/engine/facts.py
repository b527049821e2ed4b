"""Values that a run keeps or hands on: small, plain, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.engine.context import Turn
from orchestrator.engine.scope import Scope
from orchestrator.engine.state import Run
from orchestrator.language.program import MISSING, Reference
from orchestrator.language.replies import read_reply

#: Fields kept of one event, and the longest text among them.
FIELDS = 50
TEXT = 1_000


def plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """The texts, numbers and flags of an event's data, cut to a bounded size. Lists and objects are left away."""
    kept: dict[str, Any] = {}
    for name, value in data.items():
        if len(kept) >= FIELDS:
            break
        if isinstance(value, str):
            kept[name] = value[:TEXT]
        elif isinstance(value, bool | int | float):
            kept[name] = value
    return kept


def understood(reply: Mapping[str, Any]) -> dict[str, Any]:
    """A reply's own fields with what the rules read in its text; what the publisher says wins."""
    text = reply.get("text")
    return {**(read_reply(text) if isinstance(text, str) else {}), **plain(reply)}


def run_scope(turn: Turn, run: Run) -> Scope:
    """What a step of a run sees."""
    return Scope(turn.customer, turn.at, None, run.bound.get("product"), run.bound, run.came)


def resolve(scope: Scope, value: object) -> object:
    """A written value itself, or what a reference names now: a text, number or flag, else MISSING."""
    if not isinstance(value, Reference):
        return value
    found = scope.get(value.name)
    if isinstance(found, str):
        return found[:TEXT]
    return found if isinstance(found, bool | int | float) else MISSING


def resolved(turn: Turn, run: Run, values: Mapping[str, object]) -> dict[str, Any]:
    """The values of a `with`, references looked up; one that names nothing is left away."""
    if not values:
        return {}
    scope = run_scope(turn, run)
    found = {name: resolve(scope, value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not MISSING}
