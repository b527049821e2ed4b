"""From decision records to what came of whom.

Exposure is the first would-be send: a decision to send, whether it was carried out (`sent`) or withheld for a holdout.
An outcome is what the journey's goal brought within its window after that. For the table of channels and steps every
goal event of a customer belongs to one would-be send, the last before it over all journeys, so that no purchase is
counted twice; the values of the table add up to the values of the goal events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.engine.decision import Decision

#: The organisation's holdout is compared over this long after a customer's first would-be send of any journey.
ALL_WINDOW_MS = 30 * 86_400_000


@dataclass(slots=True)
class Unit:
    """One customer in one comparison."""

    exposed_at: int
    treated: bool
    #: The probability with which she was treated.
    chance: float
    spent: float
    window: int
    conversions: int = 0
    value: float = 0.0

    def over(self, now: int) -> bool:
        """Whether her window has passed."""
        return self.exposed_at + self.window <= now


@dataclass(slots=True)
class Row:
    """What became of the would-be sends of one step on one channel, in one arm."""

    exposed: int = 0
    converted: int = 0
    value: float = 0.0
    cost: float = 0.0
    customers: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a would-be send belongs."""

    journey: str
    held_out: bool
    step: str
    channel: str


@dataclass(slots=True)
class Outcomes:
    """Everything a report is made of."""

    #: What is over is over by then (ms).
    now: int
    #: journey → customer → unit; "" over all journeys.
    units: dict[str, dict[str, Unit]] = field(default_factory=dict)
    rows: dict[Place, Row] = field(default_factory=dict)
    #: Sum of the values of all goal events, each once, and how many.
    value: float = 0.0
    goals: int = 0


@dataclass(frozen=True, slots=True)
class _Goal:
    at: int
    value: float
    decision: Decision


def outcomes_of(decisions: Iterable[Decision], now: int) -> Outcomes:
    """Sort out records in any order, as of `now` (ms); one that comes twice counts once."""
    found = Outcomes(now)
    seen: set[tuple[str, str]] = set()
    sends: dict[str, list[Decision]] = {}
    goals: dict[tuple[str, str], list[_Goal]] = {}
    for one in decisions:
        if (one.kind, one.id) in seen:
            continue
        seen.add((one.kind, one.id))
        if one.kind in ("sent", "withheld"):
            sends.setdefault(one.customer, []).append(one)
        elif one.converted:
            event = one.event or one.run_id
            goals.setdefault((one.customer, event), []).append(_Goal(one.at, one.value, one))
    for customer, made in sends.items():
        made.sort(key=lambda one: (one.at, one.id))
        for one in made:
            _expose(found, customer, one)
    for (customer, _), reached in goals.items():
        _attribute(found, customer, reached, sends.get(customer, []))
    return found


def _expose(found: Outcomes, customer: str, one: Decision) -> None:
    place = Place(one.journey, one.silent, one.step, one.channel)
    row = found.rows.setdefault(place, Row())
    row.exposed += 1
    row.customers.add(customer)
    if not one.silent:
        row.cost += next((weighed.cost for weighed in one.candidates if weighed.channel == one.channel), 0.0)
    units = found.units.setdefault(one.journey, {})
    if customer not in units:
        units[customer] = Unit(one.at, not one.silent, 1.0 - one.holdout, one.spent, one.window)
    if one.holdout_all > 0.0:
        everywhere = found.units.setdefault("", {})
        if customer not in everywhere:
            everywhere[customer] = Unit(one.at, not one.silent_all, 1.0 - one.holdout_all, one.spent, ALL_WINDOW_MS)


def _attribute(found: Outcomes, customer: str, reached: list[_Goal], sends: list[Decision]) -> None:
    """One goal event of a customer: to each journey whose goal it is, and once to the whole."""
    for journey, goal in {goal.decision.journey: goal for goal in reached}.items():
        unit = found.units.get(journey, {}).get(customer)
        if unit is not None and unit.exposed_at <= goal.at <= unit.exposed_at + unit.window:
            unit.conversions += 1
            unit.value += goal.value
    runs = {goal.decision.run_id: goal for goal in reached}
    before = [one for one in sends if one.run_id in runs and one.at <= runs[one.run_id].at]
    if not before:
        return
    last = max(before, key=lambda one: (one.at, one.id))
    goal = runs[last.run_id]
    row = found.rows[Place(last.journey, last.silent, last.step, last.channel)]
    row.converted += 1
    row.value += goal.value
    found.goals += 1
    found.value += goal.value
    everywhere = found.units.get("", {}).get(customer)
    if everywhere is not None and everywhere.exposed_at <= goal.at <= everywhere.exposed_at + everywhere.window:
        everywhere.conversions += 1
        everywhere.value += goal.value
