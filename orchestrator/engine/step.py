"""The whole of one step, in its fixed order.

For an event: drop a duplicate → update the profile, its stage and segments → learn → send anew what failed → goals →
exits → wake waits → triggers → arm what starts by itself. So a purchase ends one refill run and starts the next. For a
tick: failed sends that were held, then every wait that is over, higher priority first, then what starts by itself.

Nothing here reads a clock, calls out, or raises for what an event holds.
"""

from __future__ import annotations

from typing import Any

from orchestrator.contracts.records import Event
from orchestrator.engine.answers import learn
from orchestrator.engine.context import Context, Result, Turn
from orchestrator.engine.groups import regroup
from orchestrator.engine.guards import allowed
from orchestrator.engine.matching import first_match
from orchestrator.engine.moves import move_runs
from orchestrator.engine.picks import learn_likings
from orchestrator.engine.profile import is_duplicate, update_profile
from orchestrator.engine.resends import failing, send_anew, try_again
from orchestrator.engine.rollout import charge
from orchestrator.engine.runs import (
    count_arms,
    counted_often_enough,
    enter,
    leave,
    note_conversion,
    retry_held,
    time_is_up,
    wake,
)
from orchestrator.engine.scope import Scope, revenue_of
from orchestrator.engine.state import Customer, Run
from orchestrator.engine.watches import arm, arm_silences, fire_watches
from orchestrator.language.program import Journey, Trigger


def step(context: Context, customer_id: str, customer: Customer, event: Event, clock: int) -> Result:
    """Apply one event to its customer, changing `customer` in place. `clock` is the partition's, by the last tick (ms).

    Now is the later of the event's own time and the clock.
    """
    result = Result()
    if is_duplicate(customer, event):
        result.applied = False
        result.count("duplicates")
        return result
    turn = Turn(context, customer_id, customer, max(event.time, clock), result, event)
    if event.expires and turn.at > event.expires:
        result.count(f"expired:{event.type}")
        return result
    if context.moves:
        move_runs(context, customer, result)
    if context.stopped:
        _end_stopped(turn)
    labels, newcomer, program = customer.segments, not customer.first_seen, context.program
    if not update_profile(turn, event):
        result.count("order_updates")
        return result
    if context.picks:
        learn_likings(turn, event)
    grouped = bool(program.stages or program.segments)
    if grouped:
        regroup(turn, newcomer=newcomer)
    failed = failing(turn, event)
    learn(turn, event, labels)
    if failed is not None:
        send_anew(turn, failed)
    if customer.past:
        _past_goals(turn, event)
    if customer.runs:
        live = [(journey, run) for journey, run in _live(turn) if not _goal(turn, event, journey, run)]
        live = [(journey, run) for journey, run in live if not _exit(turn, event, journey, run)]
        for journey, run in live:
            _wake(turn, event, journey, run)
    journeys = program.triggers.get(event.type)
    if journeys:
        _triggers(turn, event, journeys)
    if program.clocks or event.type in program.absences:
        arm(turn, event)
    _finish(turn, grouped)
    return result


def fire(context: Context, customer_id: str, customer: Customer, now: int) -> Result:
    """Fire every wait of the customer that is due by the tick `now` (ms).

    One pass is enough: a wait ends strictly after it began, so nothing that starts now is due now.
    """
    result = Result()
    turn = Turn(context, customer_id, customer, now, result)
    if context.moves:
        move_runs(context, customer, result)
    if context.stopped:
        _end_stopped(turn)
    for again in [run for run in customer.resends if run.due and run.due <= now]:
        journey = context.by_version.get(again.version)
        if journey is None:
            _strand(turn, again)
        else:
            try_again(turn, journey, again)
    due = [run for run in customer.runs if run.due and run.due <= now]
    for run in sorted(due, key=lambda run: (-_priority(context, run), run.due, run.id)):
        journey = context.by_version.get(run.version)
        if journey is None:
            _strand(turn, run)
        else:
            time_is_up(turn, journey, run)
    if customer.watches:
        fire_watches(turn)
    _finish(turn, bool(context.program.stages or context.program.segments))
    return result


def _end_stopped(turn: Turn) -> None:
    """Runs of stopped journeys end without success; what had not gone yet is taken back."""
    customer, stopped = turn.customer, turn.context.stopped
    for journey, run in _live(turn):
        if journey.slug in stopped:
            leave(turn, journey, run, "stopped", withdraw=True)
    if customer.resends:
        customer.resends = [again for again in customer.resends if again.journey not in stopped]


def _finish(turn: Turn, grouped: bool) -> None:
    """What follows from the step as a whole: groups after a written field, silences after messages, money spent."""
    if grouped and turn.profile_set:
        regroup(turn)
    if "response" in turn.context.program.absences:
        arm_silences(turn)
    for row in turn.result.rows:
        charge(turn, row)


def _priority(context: Context, run: Run) -> int:
    journey = context.by_version.get(run.version)
    return journey.priority if journey else 0


def _strand(turn: Turn, run: Run) -> None:
    """The version of a run is not to be had: keep the run, look again in an hour, and count it so that ops see it."""
    run.due = turn.at + 3_600_000
    turn.result.count(f"stranded:{run.journey}")


def _live(turn: Turn) -> list[tuple[Journey, Run]]:
    by_version = turn.context.by_version
    return [(by_version[run.version], run) for run in turn.customer.runs if run.version in by_version]


def _goal(turn: Turn, event: Event, journey: Journey, run: Run) -> bool:
    """Whether the event was the run's goal; the run is over then."""
    goal = journey.goal
    if goal is None or goal.match.type != event.type:
        return False
    line = first_match(goal.match, turn.customer, event, turn.at, run.bound)
    if line is None:
        return False
    converted = bool(run.first_send) and event.time <= run.first_send + goal.within
    value = _value(turn, event, line, goal.value) if converted else 0.0
    arm = "holdout" if run.silent else "treated"
    turn.result.count(f"goal:{journey.slug}:{arm}:{'converted' if converted else 'outside'}")
    if converted:
        count_arms(turn, run)
    leave(turn, journey, run, "goal", withdraw=True, converted=converted, value=value)
    return True


def _past_goals(turn: Turn, event: Event) -> None:
    """A goal after the run's end still counts within its window."""
    kept = []
    for run in turn.customer.past:
        journey = turn.context.by_version.get(run.version)
        goal = journey.goal if journey is not None else None
        if journey is None or goal is None or not run.first_send or goal.match.type != event.type:
            kept.append(run)
            continue
        line = first_match(goal.match, turn.customer, event, turn.at, run.bound)
        if line is None or event.time > run.first_send + goal.within:
            kept.append(run)
            continue
        value = _value(turn, event, line, goal.value)
        turn.result.count(f"goal:{journey.slug}:{'holdout' if run.silent else 'treated'}:converted")
        count_arms(turn, run)
        note_conversion(turn, journey, run, value)
    turn.customer.past = kept


def _value(turn: Turn, event: Event, line: Any, name: tuple[str, ...]) -> float:
    if not name:
        return 0.0
    value = Scope(turn.customer, turn.at, event, line).get(name)
    if isinstance(value, int | float):
        return float(value)
    return revenue_of(event.data)


def _exit(turn: Turn, event: Event, journey: Journey, run: Run) -> bool:
    """Whether the event took the customer out of the run."""
    for match in journey.exit_when:
        if first_match(match, turn.customer, event, turn.at, run.bound) is not None:
            leave(turn, journey, run, event.type, withdraw=True)
            return True
    if _said_no(turn, event, journey):
        leave(turn, journey, run, "unsubscribed", withdraw=True)
        return True
    return False


def _said_no(turn: Turn, event: Event, journey: Journey) -> bool:
    """An event that took a consent away ends the runs that no channel may serve any more."""
    if event.type not in ("message_unsubscribed", "message_complained", "reply", "customer_updated"):
        return False
    customer = turn.customer
    if event.type == "customer_updated" and "consents" not in event.data:
        return False
    channels = set(customer.consents) | set(turn.context.program.policy.channels)
    return bool(channels) and not any(allowed(turn, channel, journey.purpose) for channel in sorted(channels))


def _wake(turn: Turn, event: Event, journey: Journey, run: Run) -> None:
    freed = event.type in ("message_failed", "message_bounced")
    if freed and run.waiting == "send" and run.held is not None and run.held.reason in ("cap", "priority"):
        retry_held(turn, journey, run)
    elif run.waiting:
        wake(turn, journey, run, event)


def _triggers(turn: Turn, event: Event, journeys: tuple[Journey, ...]) -> None:
    for journey in journeys:
        trigger = journey.trigger
        line = first_match(trigger.match, turn.customer, event, turn.at) if isinstance(trigger, Trigger) else None
        if line is not None and counted_often_enough(turn, journey, event, line):
            enter(turn, journey, event, line)
