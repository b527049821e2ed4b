"""The report of a journey: what was sent, what came of it, what of that is the messages' doing, and a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import log1p

from orchestrator.engine.decision import Decision
from orchestrator.learning.lift import LEAST_EVENTS, LEAST_UNITS, Effect, Interval, SampleRatio
from orchestrator.reporting.outcomes import Outcomes, Unit, outcomes_of

#: The name of the comparison of everybody with the organisation's holdout.
EVERYTHING = "all journeys"


@dataclass(frozen=True, slots=True)
class Arm:
    """Customers of one arm. `waiting`: exposed, but their window is not over; they count later."""

    exposed: int
    converted: int
    value: float
    waiting: int


@dataclass(frozen=True, slots=True)
class Line:
    """Would-be sends of one arm, step and channel, and the goal events that followed each as the last."""

    arm: str
    step: str
    channel: str
    exposed: int
    customers: int
    converted: int
    value: float
    cost: float


@dataclass(frozen=True, slots=True)
class JourneyReport:
    """One comparison. Lift is per exposed customer, in her first window."""

    journey: str
    treated: Arm
    held_out: Arm
    lines: list[Line]
    cost: float
    #: Share of customers who convert, and money: treated less held out.
    lift_converted: Interval | None
    lift_value: Interval | None
    #: Margin that the messages brought on top, for each unit of money they cost; None while it is not known.
    margin_per_cost: float | None
    #: Counts that the planned holdout cannot explain.
    ratio_alarm: bool
    says: str


@dataclass(frozen=True, slots=True)
class Report:
    """All journeys, and how much of the money each goal event brought was given to exactly one of them."""

    journeys: list[JourneyReport]
    goals: int
    value: float
    currency: str


def report(
    decisions: Iterable[Decision],
    now: int,
    *,
    journey: str = "",
    margin: float = 0.3,
    currency: str = "",
    level: float = 0.95,
) -> Report:
    """The report over decision records as of `now` (ms); of one `journey` if named.

    `margin` is the share of value that is margin.
    """
    found = outcomes_of(decisions, now)
    names = [journey] if journey else sorted(name for name in found.units if name)
    made = [_journey(found, name, margin, level) for name in names]
    if not journey and "" in found.units:
        made.append(_journey(found, "", margin, level))
    return Report(made, found.goals, found.value, currency)


def _journey(found: Outcomes, name: str, margin: float, level: float) -> JourneyReport:
    units = sorted(found.units.get(name, {}).items(), key=lambda pair: (pair[1].exposed_at, pair[0]))
    over = [unit for _, unit in units if unit.over(found.now)]
    waiting = [unit for _, unit in units if not unit.over(found.now)]
    converted, value, ratio = Effect(), Effect(), SampleRatio()
    for unit in over:
        if 0.0 < unit.chance < 1.0 and unit.window:
            before = log1p(max(0.0, unit.spent))
            converted.add(unit.treated, unit.chance, float(unit.conversions > 0), before)
            value.add(unit.treated, unit.chance, unit.value, before)
    for _, unit in units:
        if 0.0 < unit.chance < 1.0:
            ratio.add(unit.treated, unit.chance)
    lines = [
        Line(
            "holdout" if place.held_out else "treated",
            place.step,
            place.channel,
            row.exposed,
            len(row.customers),
            row.converted,
            round(row.value, 2),
            round(row.cost, 4),
        )
        for place, row in sorted(found.rows.items(), key=lambda pair: (pair[0].held_out, pair[0].step, pair[0].channel))
        if place.journey == name
    ]
    cost = sum(row.cost for place, row in found.rows.items() if name in ("", place.journey))
    treated, held_out = _arm(over, waiting, True), _arm(over, waiting, False)
    lift = value.interval(level)
    brought = lift.estimate * margin * treated.exposed if lift is not None else None
    alarm = ratio.alarm()
    lift_converted = converted.interval(level)
    return JourneyReport(
        journey=name or EVERYTHING,
        treated=treated,
        held_out=held_out,
        lines=lines,
        cost=round(cost, 4),
        lift_converted=lift_converted,
        lift_value=lift,
        margin_per_cost=round(brought / cost, 2) if brought is not None and cost > 0.0 and not alarm else None,
        ratio_alarm=alarm,
        says=_sentence(over, treated, held_out, lift_converted, lift, alarm),
    )


def _arm(over: list[Unit], waiting: list[Unit], treated: bool) -> Arm:
    mine = [unit for unit in over if unit.treated is treated]
    return Arm(
        exposed=len(mine),
        converted=sum(unit.conversions > 0 for unit in mine),
        value=round(sum(unit.value for unit in mine), 2),
        waiting=sum(unit.treated is treated for unit in waiting),
    )


def _sentence(
    over: list[Unit], treated: Arm, held_out: Arm, converted: Interval | None, value: Interval | None, alarm: bool
) -> str:
    """What may be concluded, and what may not."""
    if alarm:
        return (
            "The groups do not have the sizes that chance would have given them, so their difference says nothing."
            " Look for customers who leave one group only, or for a holdout that was switched by hand."
        )
    if over and not any(unit.window for unit in over):
        return "The journey has no goal, so nothing can be said of what it brings. Give it one: `goal:`."
    if not any(0.0 < unit.chance < 1.0 for unit in over) and (over or not treated.waiting + held_out.waiting):
        return (
            "Nobody was held out, so what would have happened without the messages is not known: the conversions are"
            " not all their doing. Give the journey a holdout, for example `holdout: 10%`."
        )
    if converted is None:
        smaller = min((treated, held_out), key=lambda arm: arm.exposed)
        fewest, converted_of_fewest = smaller.exposed, smaller.converted
        return (
            f"Too early to say anything: {fewest} customers of the smaller group have their window behind them, of whom"
            f" {converted_of_fewest} converted; {LEAST_UNITS} and {LEAST_EVENTS} are needed at least."
        )
    span = f"between {100 * converted.low:+.2f} and {100 * converted.high:+.2f} conversions per 100 customers"
    sure = f"({converted.level:.0%} sure, at this look and every other)"
    money = ""
    if value is not None:
        known = "proved" if value.sure else "not proved"
        money = f" In money: {value.low:+.2f} to {value.high:+.2f} for each customer, {known}."
    if converted.low > 0.0:
        return f"The messages make more customers convert: {span} {sure}. This may be acted upon now.{money}"
    if converted.high < 0.0:
        return f"The messages do harm: {span} {sure}. Stop the journey or change it.{money}"
    return (
        f"No effect is proved, for better or worse: {span} {sure}. That is no proof of no effect; more customers make"
        f" it narrower, and one may go on looking meanwhile.{money}"
    )
