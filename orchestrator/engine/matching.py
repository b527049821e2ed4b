"""Does this event fit: type, `where` on any line of the order, and `same` as the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.contracts.records import Event
from orchestrator.engine.scope import Scope, dig, lines_of
from orchestrator.engine.state import Customer
from orchestrator.language.program import MISSING, EventMatch

_NO_LINE: Mapping[str, Any] = {}


def first_match(
    match: EventMatch, customer: Customer, event: Event, at: int, bound: Mapping[str, Any] = _NO_LINE
) -> Mapping[str, Any] | None:
    """The first product line with which the event fits (an empty one when it has none), or None."""
    if event.type != match.type:
        return None
    lines: list[Mapping[str, Any]] = lines_of(event.data) or [_NO_LINE]
    if match.where is None and not match.same:
        return lines[0]
    for line in lines:
        scope = Scope(customer, at, event, line, bound)
        if match.where is not None and not match.where.holds(scope):
            continue
        if all(_same(scope, name, bound) for name in match.same):
            return line
    return None


def _same(scope: Scope, name: tuple[str, ...], bound: Mapping[str, Any]) -> bool:
    """Whether the event's value equals the run's own. A value the run does not have is not the same as anything."""
    own = dig(bound.get(name[0]), name[1:]) if name[0] in bound else MISSING
    return own is not MISSING and scope.get(name) == own
