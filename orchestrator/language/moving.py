"""The plan of a move between two versions of a journey: which step becomes which, and who would be stranded."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.contracts.moves import Move
from orchestrator.language.program import Instruction, Journey, WaitUntil


@dataclass(frozen=True, slots=True)
class Row:
    """One step that runs stand at."""

    step: str
    runs: int
    #: The step of the new version, empty when there is none: whoever stands here would be stranded.
    becomes: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a move would do. It may be made when nobody is stranded."""

    rows: tuple[Row, ...]
    move: Move

    @property
    def stranded(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.becomes)


def plan(old: Journey, new: Journey, standing: Mapping[int, int], wishes: Mapping[str, str]) -> Plan:
    """The plan for runs that stand at these positions (position → count).

    `wishes` says for steps what they become, by their paths (`steps[2]`). Other steps become the one at the same place
    when it does the same kind of thing, else the only one that says the very same.
    """
    positions: dict[int, int] = {}
    rows: list[Row] = []
    for index in range(len(old.steps)):
        target = _target(old, new, index, wishes)
        if target is not None:
            positions[index] = target
    for index, count in sorted(standing.items()):
        step = old.steps[index].path if index < len(old.steps) else "the end"
        if index >= len(old.steps):
            positions[index] = len(new.steps)
            rows.append(Row(step, count, "the end"))
        elif index in positions:
            rows.append(Row(step, count, new.steps[positions[index]].path))
        else:
            rows.append(Row(step, count, "", _why(old, new, index, wishes)))
    paths = {
        old.steps[index].path: new.steps[target].path
        for index, target in positions.items()
        if index < len(old.steps) and old.steps[index].path != new.steps[target].path
    }
    return Plan(tuple(rows), Move(old.slug, old.version, new.version, positions, paths))


def _target(old: Journey, new: Journey, index: int, wishes: Mapping[str, str]) -> int | None:
    step = old.steps[index]
    if step.path in wishes:
        found = _at(new, wishes[step.path])
        return found if found is not None and _alike(step, new.steps[found]) else None
    same = [number for number, other in enumerate(new.steps) if _says_the_same(step, other)]
    at_place = _at(new, step.path)
    if at_place in same:
        return at_place
    if len(same) == 1:
        return same[0]
    if at_place is not None and _alike(step, new.steps[at_place]) and not same:
        return at_place
    return None


def _at(journey: Journey, path: str) -> int | None:
    return next((number for number, step in enumerate(journey.steps) if step.path == path), None)


def _alike(one: Instruction, other: Instruction) -> bool:
    """Whether a run that waits at one may go on waiting at the other."""
    if isinstance(one, WaitUntil) and isinstance(other, WaitUntil):
        return one.anchor == other.anchor
    return type(one) is type(other)


def _says_the_same(one: Instruction, other: Instruction) -> bool:
    if type(one) is not type(other) or not isinstance(other, type(one)):
        return False
    skipped = {"path", "cases", "otherwise", "target", "arms", "end"}
    mine = {field.name: getattr(one, field.name) for field in dataclasses.fields(one) if field.name not in skipped}
    theirs = {
        field.name: getattr(other, field.name) for field in dataclasses.fields(other) if field.name not in skipped
    }
    return bool(mine) and mine == theirs


def _why(old: Journey, new: Journey, index: int, wishes: Mapping[str, str]) -> str:
    step = old.steps[index]
    if step.path in wishes:
        if _at(new, wishes[step.path]) is None:
            return f"the new version has no {wishes[step.path]}"
        return f"{wishes[step.path]} does another kind of thing"
    return "nothing in the new version does the same"
