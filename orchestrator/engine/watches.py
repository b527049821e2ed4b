"""What starts by itself: journeys on an absence or on the clock. One moment per customer and journey, in her document.

It is armed by her own events and by the sweep when such a journey goes live, and it is looked at again when it falls
due: a purchase meanwhile has moved it.
"""

from __future__ import annotations

from orchestrator.contracts.records import Event
from orchestrator.engine.context import Context, Result, Turn
from orchestrator.engine.groups import SEGMENTS, STAGES, regroup_segments, regroup_stage
from orchestrator.engine.local_time import next_clock
from orchestrator.engine.matching import first_match
from orchestrator.engine.runs import enter_by_itself
from orchestrator.engine.spans import span_of
from orchestrator.engine.state import Customer
from orchestrator.engine.zones import zone_of
from orchestrator.language.program import Absence, Clock, EventMatch, Journey
from orchestrator.learning.cells import DAY_MS


def arm(turn: Turn, event: Event) -> None:
    """Let an event move what it is about: the absence of its own kind, and clocks not armed yet or in another zone."""
    program, customer = turn.context.program, turn.customer
    for journey in program.absences.get(event.type, ()):
        absence = journey.trigger
        if not isinstance(absence, Absence):
            continue
        if absence.where is not None:
            match = EventMatch(event.type, absence.where)
            if first_match(match, customer, event, turn.at) is None:
                continue
        due = event.time + span_of(turn, absence)
        customer.watches[journey.slug] = max(due, customer.watches.get(journey.slug, 0), turn.at + 1)
    if not program.clocks:
        return
    # Another zone, country or phone number may move her clock.
    moved = event.type == "customer_updated"
    for journey in program.clocks:
        if isinstance(journey.trigger, Clock) and (moved or journey.slug not in customer.watches):
            customer.watches[journey.slug] = _next(turn, journey.trigger)


def arm_silences(turn: Turn) -> None:
    """After messages and answers: when has a channel been silent long enough?"""
    customer = turn.customer
    for journey in turn.context.program.absences.get("response", ()):
        absence = journey.trigger
        if not isinstance(absence, Absence):
            continue
        base = _last(customer, absence)
        if base is None:
            customer.watches.pop(journey.slug, None)
        elif customer.missed.get(journey.slug) != base:
            customer.watches[journey.slug] = max(base + absence.lasting, turn.at + 1)


def fire_watches(turn: Turn) -> None:
    """Everything of the customer that starts by itself and is due, in the order of the program."""
    watches, program = turn.customer.watches, turn.context.program
    due = {name for name, at in watches.items() if at <= turn.at}
    if not due:
        return
    if STAGES in due:
        del watches[STAGES]
        regroup_stage(turn)
    if SEGMENTS in due:
        del watches[SEGMENTS]
        regroup_segments(turn)
    for journey in program.watchers:
        if journey.slug in due:
            due.discard(journey.slug)
            _look(turn, journey)
    # What is left belongs to a journey that is no longer live.
    for name in due - {STAGES, SEGMENTS}:
        watches.pop(name, None)


def _look(turn: Turn, journey: Journey) -> None:
    watches, trigger = turn.customer.watches, journey.trigger
    if isinstance(trigger, Clock):
        origin = f"clock:{watches[journey.slug]}"
        watches[journey.slug] = _next(turn, trigger)
        enter_by_itself(turn, journey, origin)
        return
    assert isinstance(trigger, Absence)
    base = _last(turn.customer, trigger)
    if base is not None and base + span_of(turn, trigger) > turn.at:
        watches[journey.slug] = base + span_of(turn, trigger)
        return
    armed = watches.pop(journey.slug)
    if base is None and _known(trigger):
        return
    turn.customer.missed[journey.slug] = base or armed
    enter_by_itself(turn, journey, f"missing:{base or armed}")


def _next(turn: Turn, clock: Clock) -> int:
    return next_clock(turn.at, clock, zone_of(turn.customer, turn.context.program.policy))


def _known(absence: Absence) -> bool:
    """Whether the document itself says when the event came last."""
    return absence.event == "response" or (absence.event == "purchase" and absence.where is None)


def _last(customer: Customer, absence: Absence) -> int | None:
    """Since when the event is missing, where the document says so; None when it is not missing."""
    if absence.event == "response":
        silence = customer.silences.get(absence.channel)
        return silence.since if silence is not None and silence.sent >= absence.sent else None
    if absence.event == "purchase" and absence.where is None:
        rhythm = customer.rhythms.get("")
        return rhythm.last or None if rhythm is not None else None
    return None


def take_in(
    context: Context, customer_id: str, customer: Customer, name: str, now: int, place: int
) -> tuple[Result, bool]:
    """The sweep's look at one customer for a journey (or `_stages`, `_segments`) that went live. True when she takes a
    place: she fits already and is let in by `start: existing at …/day`, the `place`-th of this partition.
    """
    result = Result()
    turn = Turn(context, customer_id, customer, now, result)
    if name == STAGES:
        regroup_stage(turn, quietly=True)
        return result, False
    if name == SEGMENTS:
        regroup_segments(turn, quietly=True)
        return result, False
    journey = context.program.journeys.get(name)
    trigger = journey.trigger if journey is not None else None
    if journey is None or journey not in context.program.watchers:
        return result, False
    if isinstance(trigger, Clock):
        customer.watches.setdefault(name, _next(turn, trigger))
        return result, False
    if not isinstance(trigger, Absence):
        return result, False
    base = _last(customer, trigger)
    if base is None or customer.missed.get(name) == base:
        return result, False
    due = base + span_of(turn, trigger)
    if due > now:
        customer.watches[name] = due
        return result, False
    if not journey.start.existing:
        customer.missed[name] = base
        return result, False
    apart = DAY_MS * context.partitions / journey.start.per_day
    customer.watches[name] = now + 1 + round(apart * (place + context.partition / context.partitions))
    return result, True
