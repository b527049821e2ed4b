"""Lifecycle stages and streaming segments: looked at after her own events, and when time alone may move her.

A change is an event of its own (`stage_changed`, `segment_entered`, `segment_left`): it goes through the log, so that
journeys, other systems and a replay see it at one place.
"""

from __future__ import annotations

from orchestrator.contracts.records import Event
from orchestrator.engine.context import Turn
from orchestrator.engine.scope import Scope
from orchestrator.engine.spans import span_of
from orchestrator.language.program import Absence
from orchestrator.learning.cells import DAY_MS
from orchestrator.learning.chance import digest

STAGES, SEGMENTS = "_stages", "_segments"


def regroup(turn: Turn, *, newcomer: bool = False) -> None:
    """Look at stage and segments again. A customer who was known before the file was is placed without an event."""
    program = turn.context.program
    if program.stages:
        regroup_stage(turn, newcomer=newcomer)
    if program.segments:
        regroup_segments(turn, newcomer=newcomer)


def regroup_stage(turn: Turn, *, newcomer: bool = False, quietly: bool = False) -> None:
    customer = turn.customer
    scope = Scope(customer, turn.at)
    look, found = 0, ""
    for stage in turn.context.program.stages:
        if stage.absence is not None:
            since = _missing_since(turn, stage.absence)
            if since is None:
                continue
            if since <= turn.at:
                found = stage.name
                break
            look = min(look, since) if look else since
        elif stage.condition is None or stage.condition.holds(scope):
            found = stage.name
            break
        elif stage.condition.timed:
            look = min(look, turn.at + DAY_MS) if look else turn.at + DAY_MS
    if look:
        customer.watches[STAGES] = look
    else:
        customer.watches.pop(STAGES, None)
    before = customer.stage
    if found == before:
        return
    customer.stage = found
    if quietly or (not before and not newcomer):
        return
    data = {"to": found, **({"from": before} if before else {})}
    _tell(turn, "stage_changed", f"{before}>{found}", data)


def _missing_since(turn: Turn, absence: Absence) -> int | None:
    """When the absence is long enough (ms); None for a customer who never bought."""
    rhythm = turn.customer.rhythms.get("")
    return rhythm.last + span_of(turn, absence) if rhythm is not None and rhythm.last else None


def regroup_segments(turn: Turn, *, newcomer: bool = False, quietly: bool = False) -> None:
    customer = turn.customer
    segments = turn.context.program.segments
    scope = Scope(customer, turn.at)
    timed = False
    for segment in segments:
        timed = timed or segment.condition.timed
        before = customer.inside.get(segment.name)
        now = segment.condition.holds(scope)
        if before is now:
            continue
        customer.inside[segment.name] = now
        if quietly or (before is None and not (newcomer and now)):
            continue
        _tell(turn, "segment_entered" if now else "segment_left", segment.name, {"name": segment.name})
    if len(customer.inside) > len(segments):
        known = {segment.name for segment in segments}
        customer.inside = {name: inside for name, inside in customer.inside.items() if name in known}
    if timed:
        # Time alone may take her out: one look a day.
        customer.watches[SEGMENTS] = turn.at + DAY_MS
    else:
        customer.watches.pop(SEGMENTS, None)


def _tell(turn: Turn, kind: str, what: str, data: dict[str, str]) -> None:
    event_id = digest(turn.context.seed, "group", kind, turn.customer_id, what, str(turn.at), size=12).hex()
    turn.result.emitted.append(
        Event(
            id=event_id, type=kind, time=turn.at, customer=turn.customer_id, source="orchestrator", data=dict(data),
            received=turn.at,
        )
    )  # fmt: skip
    turn.result.count(f"{kind}:{data.get('to') or what}")
