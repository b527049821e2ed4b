"""The life of a run: enter, walk the steps, wait, wake, leave. Walking stops at the first step that must wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.contracts.records import Event
from orchestrator.engine.context import Turn
from orchestrator.engine.decision import Decision
from orchestrator.engine.scope import Scope, order_of
from orchestrator.engine.sending import do_send
from orchestrator.engine.state import COUNTED, Ended, Run
from orchestrator.language.program import (
    MISSING,
    Branch,
    Exit,
    Journey,
    Jump,
    Send,
    Wait,
    WaitFor,
    WaitUntil,
)
from orchestrator.learning.chance import digest, uniform
from orchestrator.learning.rhythm import next_due

#: Steps walked in one go; a program cannot loop without a wait, so this is never reached but by a defect.
_WALK_LIMIT = 10_000
_MOVES_PREDICTIONS = frozenset({"purchase", "order_cancelled", "order_refunded"})


def enter(turn: Turn, journey: Journey, event: Event, line: Mapping[str, Any]) -> None:
    """Start a run, unless the journey's re-entry rule or audience says no. Refusals are counted."""
    customer, result = turn.customer, turn.result
    if customer.live_run(journey.slug) is not None:
        result.count(f"ignored:{journey.slug}:inside")
        return
    ended = customer.ended.get(journey.slug)
    if ended is not None:
        reentry = journey.reentry
        if reentry.mode == "never" or (reentry.mode == "after" and turn.at < ended.last + reentry.after):
            result.count(f"ignored:{journey.slug}:reentry")
            return
    if journey.audience is not None and not journey.audience.holds(Scope(customer, turn.at, event, line)):
        result.count(f"ignored:{journey.slug}:audience")
        return
    run = Run(
        id=digest(turn.context.seed, "run", journey.slug, turn.customer_id, event.source, event.id, size=10).hex(),
        journey=journey.slug,
        version=journey.version,
        entered=turn.at,
        bound=_bound(event, line),
        silent=_in_holdout(turn, journey),
    )
    customer.runs.append(run)
    result.count(f"entered:{journey.slug}")
    result.decisions.append(_note(turn, journey, run, "entered"))
    walk(turn, journey, run)


def counted_often_enough(turn: Turn, journey: Journey, event: Event, line: Mapping[str, Any]) -> bool:
    """Count one event of a `times … within …` trigger; True when the count is reached, which starts it anew."""
    trigger = journey.trigger
    if trigger.times <= 1:
        return True
    value = Scope(turn.customer, turn.at, event, line).get(trigger.same) if trigger.same else ""
    if value is MISSING:
        return False
    key = f"{journey.slug}\0{value}"
    counted = turn.customer.counted
    times = [at for at in counted.get(key, ()) if at > event.time - trigger.within]
    times.append(event.time)
    if len(times) >= trigger.times:
        counted.pop(key, None)
        return True
    counted[key] = sorted(times)[-COUNTED:]
    while len(counted) > COUNTED:
        del counted[min(counted, key=lambda name: (counted[name][-1], name))]
    return False


def _bound(event: Event, line: Mapping[str, Any]) -> dict[str, Any]:
    bound: dict[str, Any] = {}
    if line:
        bound["product"] = {name: value for name, value in line.items() if name != "products"}
    if "order_id" in event.data:
        order = order_of(event.data)
        bound["order"] = {name: value for name, value in order.items() if not isinstance(value, list | dict)}
    return bound


def _in_holdout(turn: Turn, journey: Journey) -> bool:
    seed, customer_id = turn.context.seed, turn.customer_id
    share = turn.context.program.policy.holdout
    if share and journey.purpose == "marketing" and uniform(seed, "holdout", "", customer_id) < share:
        return True
    return bool(journey.holdout) and uniform(seed, "holdout", journey.slug, customer_id) < journey.holdout


def walk(turn: Turn, journey: Journey, run: Run) -> None:
    """Carry out steps from the run's position until one waits or the run ends."""
    steps = journey.steps
    for _ in range(_WALK_LIMIT):
        if run.position >= len(steps):
            leave(turn, journey, run, "finished")
            return
        step = steps[run.position]
        if isinstance(step, Send):
            if not do_send(turn, journey, run, step):
                return
        elif isinstance(step, Branch):
            scope = Scope(turn.customer, turn.at, None, run.bound.get("product"), run.bound, run.came)
            run.position = next((target for case, target in step.cases if case.holds(scope)), step.otherwise)
            continue
        elif isinstance(step, Jump):
            run.position = step.target
            continue
        elif isinstance(step, Exit):
            leave(turn, journey, run, step.reason)
            return
        elif _begin_wait(turn, run, step):
            return
        run.position += 1
    leave(turn, journey, run, "looped")


def _begin_wait(turn: Turn, run: Run, step: Wait | WaitUntil | WaitFor) -> bool:
    """Set the wait; False when it is over before it began."""
    if isinstance(step, WaitFor):
        if any(name in run.came for name in step.events if name in ("response", "reply")):
            return False
        for name in step.events:
            run.came.pop(name, None)
        run.waiting, run.due = "for", turn.at + step.up_to
        return step.up_to > 0
    if isinstance(step, WaitUntil):
        due = _moment(turn, run, step)
        if due <= turn.at:
            return False
        run.waiting, run.due = "until", due
        return True
    run.waiting, run.due = "wait", turn.at + step.duration
    return step.duration > 0


def _moment(turn: Turn, run: Run, step: WaitUntil) -> int:
    """When a prediction falls, for the category the run is about; over all she buys when it has none."""
    rhythms = turn.customer.rhythms
    product = run.bound.get("product")
    category = product.get("category") if isinstance(product, dict) else None
    due = next_due(rhythms.get(category) if isinstance(category, str) else rhythms.get(""))
    # A customer who never bought has no rhythm: nothing to wait for.
    return turn.at if due is None else due + step.offset


def time_is_up(turn: Turn, journey: Journey, run: Run) -> None:
    """The wait's timer fired. A moved prediction is looked up again and may set the timer anew."""
    step = journey.steps[run.position]
    if run.waiting == "until" and isinstance(step, WaitUntil):
        due = _moment(turn, run, step)
        if due > turn.at:
            run.due = due
            return
    held = run.waiting == "send"
    run.waiting, run.due = "", 0
    if not held:
        run.position += 1
    walk(turn, journey, run)


def wake(turn: Turn, journey: Journey, run: Run, event: Event) -> None:
    """Let an event act on a waiting run: end its wait, restart it, or move it with the prediction."""
    step = journey.steps[run.position]
    if run.waiting == "for" and isinstance(step, WaitFor):
        if event.type in step.events and event.type not in ("response", "reply"):
            run.came[event.type] = event.data or True
        if any(name in run.came for name in step.events):
            _go_on(turn, journey, run)
    elif run.waiting == "wait" and isinstance(step, Wait):
        if step.after_last and event.type == step.after_last:
            run.due = turn.at + step.duration
    elif run.waiting == "until" and isinstance(step, WaitUntil) and event.type in _MOVES_PREDICTIONS:
        due = _moment(turn, run, step)
        if due <= turn.at:
            _go_on(turn, journey, run)
        else:
            run.due = due


def _go_on(turn: Turn, journey: Journey, run: Run) -> None:
    run.waiting, run.due = "", 0
    run.position += 1
    walk(turn, journey, run)


def retry_held(turn: Turn, journey: Journey, run: Run) -> None:
    """A place under a cap became free: look again at a send it held."""
    run.waiting, run.due = "", 0
    walk(turn, journey, run)


def leave(
    turn: Turn,
    journey: Journey,
    run: Run,
    reason: str,
    *,
    withdraw: bool = False,
    converted: bool = False,
    value: float = 0.0,
) -> None:
    """End the run; `withdraw` takes back its sends that have not gone yet."""
    customer, result = turn.customer, turn.result
    customer.runs.remove(run)
    ended = customer.ended.setdefault(journey.slug, Ended())
    ended.times += 1
    ended.last = turn.at
    if withdraw:
        result.withdrawn.extend(_not_gone(turn, run))
    result.count(f"ended:{journey.slug}:{reason}")
    decision = _note(turn, journey, run, "ended")
    decision.reason, decision.converted, decision.value = reason, converted, value
    result.decisions.append(decision)


def _not_gone(turn: Turn, run: Run) -> list[str]:
    ranks = {sent.send_id: sent.rank for sent in turn.customer.open_sends}
    return [send_id for _, send_id in run.sends if ranks.get(send_id) == 0]


def _note(turn: Turn, journey: Journey, run: Run, kind: Any) -> Decision:
    return Decision(
        kind=kind,
        id=f"{run.id}-{kind}",
        at=turn.at,
        customer=turn.customer_id,
        journey=journey.slug,
        version=journey.version,
        run_id=run.id,
        purpose=journey.purpose,
        silent=run.silent,
    )
