"""The life of a run: enter, walk the steps, wait, wake, leave. Walking stops at the first step that must wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.contracts.records import Event
from orchestrator.engine.context import Turn
from orchestrator.engine.decision import Decision
from orchestrator.engine.facts import TEXT, plain, resolve, resolved, run_scope
from orchestrator.engine.holdout import held_out
from orchestrator.engine.local_time import iso
from orchestrator.engine.matching import first_match
from orchestrator.engine.moments import wait_end
from orchestrator.engine.profile import id_hash
from orchestrator.engine.rollout import lets_in, over
from orchestrator.engine.scope import Scope, event_value, order_of
from orchestrator.engine.sending import do_send
from orchestrator.engine.state import COUNTED, KEYS, PAST_RUNS, PLANNED, RUNS, Ended, Run
from orchestrator.language.fields import ALIASES
from orchestrator.language.program import (
    MISSING,
    Branch,
    Emit,
    EventMatch,
    Exit,
    Journey,
    Jump,
    Repeat,
    Send,
    Set,
    Split,
    Trigger,
    Wait,
    WaitFor,
    WaitUntil,
)
from orchestrator.learning.chance import digest, uniform

#: Steps walked in one go; a program cannot loop without a wait, so this is never reached but by a defect.
_WALK_LIMIT = 10_000
_MOVES_PREDICTIONS = frozenset({"purchase", "order_cancelled", "order_refunded"})


def enter(turn: Turn, journey: Journey, event: Event, line: Mapping[str, Any]) -> None:
    """Start a run by an event, unless re-entry rule, rollout or audience say no. Refusals are counted."""
    scope = Scope(turn.customer, turn.at, event, line)
    key = ""
    if journey.reentry.mode == "per":
        value = scope.get(journey.reentry.key)
        if not isinstance(value, str | int | float):
            turn.result.count(f"ignored:{journey.slug}:no_key")
            return
        key = str(value)[:TEXT]
    names = ("key", key) if key else (event.source, event.id)
    _enter(turn, journey, scope, key, names, lambda: _bound(journey, event, line))


def enter_by_itself(turn: Turn, journey: Journey, origin: str) -> None:
    """Start a run that no event starts; `origin` says what it was and when, so that it starts once."""
    _enter(turn, journey, Scope(turn.customer, turn.at), "", ("", origin), dict)


def _enter(
    turn: Turn,
    journey: Journey,
    scope: Scope,
    key: str,
    names: tuple[str, str],
    bound: Callable[[], dict[str, Any]],
) -> None:
    customer = turn.customer
    live = customer.live_run(journey.slug, key)
    why = _refusal(turn, journey, scope, key, live)
    if why:
        turn.result.count(f"ignored:{journey.slug}:{why}")
        return
    if live is not None:
        leave(turn, journey, live, "restarted", withdraw=True)
    run = Run(
        id=digest(turn.context.seed, "run", journey.slug, turn.customer_id, *names, size=10).hex(),
        journey=journey.slug,
        version=journey.version,
        entered=turn.at,
        bound=bound(),
        silent=held_out(turn, journey),
        key=key,
    )
    customer.runs.append(run)
    turn.result.count(f"entered:{journey.slug}")
    turn.result.decisions.append(_note(turn, journey, run, "entered"))
    walk(turn, journey, run)


def _refusal(turn: Turn, journey: Journey, scope: Scope, key: str, live: Run | None) -> str:
    """Why a customer may not enter, in a word; "" when she may."""
    customer, reentry = turn.customer, journey.reentry
    if live is not None and reentry.mode != "restart":
        return "inside"
    if len(customer.runs) >= RUNS:
        return "too_many_runs"
    ended = customer.ended.get(journey.slug)
    if ended is not None and live is None:
        if reentry.mode == "never" or (reentry.mode == "after" and turn.at < ended.last + reentry.after):
            return "reentry"
        if reentry.mode == "per" and id_hash("key", key) in ended.keys:
            return "reentry"
    if journey.rollout is not None:
        if over(turn, journey):
            return "rollout_over"
        if not lets_in(turn, journey, scope):
            return "rollout"
    if journey.audience is not None and not journey.audience.holds(scope):
        return "audience"
    return ""


def counted_often_enough(turn: Turn, journey: Journey, event: Event, line: Mapping[str, Any]) -> bool:
    """Count one event of a `times … within …` trigger; True when the count is reached, which starts it anew."""
    trigger = journey.trigger
    if not isinstance(trigger, Trigger) or trigger.times <= 1:
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
    counted[key] = sorted(times)[-trigger.times :]
    while len(counted) > COUNTED:
        del counted[min(counted, key=lambda name: (counted[name][-1], name))]
    return False


def _bound(journey: Journey, event: Event, line: Mapping[str, Any]) -> dict[str, Any]:
    """What of the event the run keeps: the product that fitted, the order, and the event itself where steps read it."""
    bound: dict[str, Any] = {}
    if line:
        bound["product"] = plain(line)
    if "order_id" in event.data:
        order = order_of(event.data)
        bound["order"] = plain(order)
    for root in (event.type, ALIASES.get(event.type, "")):
        if root in journey.reads:
            bound[root] = {**plain(event.data), "id": event_value(event, ("id",))}
    return bound


def walk(turn: Turn, journey: Journey, run: Run) -> None:
    """Carry out steps from the run's position until one waits or the run ends."""
    steps = journey.steps
    for _ in range(_WALK_LIMIT):
        if run.position >= len(steps):
            leave(turn, journey, run, "finished")
            return
        step = steps[run.position]
        if isinstance(step, Send):
            if over(turn, journey):
                leave(turn, journey, run, "rollout_over")
                return
            if not do_send(turn, journey, run, step):
                return
        elif isinstance(step, Branch):
            scope = run_scope(turn, run)
            run.position = next((target for case, target in step.cases if case.holds(scope)), step.otherwise)
            continue
        elif isinstance(step, Jump):
            run.position = step.target
            continue
        elif isinstance(step, Split):
            run.position = _arm(turn, journey, run, step)
            continue
        elif isinstance(step, Repeat):
            run.position = _round(turn, run, step)
            continue
        elif isinstance(step, Set):
            _set(turn, run, step)
        elif isinstance(step, Emit):
            _emit(turn, journey, run, step)
        elif isinstance(step, Exit):
            leave(turn, journey, run, step.reason)
            return
        elif _begin_wait(turn, run, step):
            return
        run.position += 1
    leave(turn, journey, run, "looped")


def _arm(turn: Turn, journey: Journey, run: Run, step: Split) -> int:
    """The target of the customer's arm: the same whenever she comes by, in this run and the next."""
    point = uniform(turn.context.seed, "split", journey.slug, step.name, turn.customer_id)
    chosen, target = step.arms[-1][0], step.arms[-1][2]
    for arm, share, goes_to in step.arms:
        point -= share
        if point < 0:
            chosen, target = arm, goes_to
            break
    if step.name not in run.arms:
        run.arms[step.name] = chosen
        turn.result.count(f"arm:{journey.slug}:{step.name}:{chosen}:{'holdout' if run.silent else 'entered'}")
    return target


def _round(turn: Turn, run: Run, step: Repeat) -> int:
    """Into the loop once more, or past it. A loop that is left begins anew when the run comes by again."""
    done = run.loops.get(step.path, 0)
    if done < step.at_most and step.condition.holds(run_scope(turn, run)):
        run.loops[step.path] = done + 1
        return run.position + 1
    run.loops.pop(step.path, None)
    return step.end


def _set(turn: Turn, run: Run, step: Set) -> None:
    """Write attributes. It is what we know of her, not what we do to her, so a holdout's runs write too."""
    scope = run_scope(turn, run)
    for name, value in step.values:
        found = resolve(scope, value)
        if found is MISSING:
            continue
        turn.profile_set = True
        fields: Any = turn.customer.attributes
        for part in name[:-1]:
            inner = fields.get(part)
            if not isinstance(inner, dict):
                inner = fields[part] = {}
            fields = inner
        if found is None:
            fields.pop(name[-1], None)
        else:
            fields[name[-1]] = found


def _emit(turn: Turn, journey: Journey, run: Run, step: Emit) -> None:
    """Publish an event through the log. A holdout emits nothing: a clerk or an ad is a contact as well."""
    passed = run.passed.get(step.path, 0)
    run.passed[step.path] = passed + 1
    decision = _note(turn, journey, run, "emitted")
    decision.id = digest(b"emit", run.id, step.path, str(passed), size=12).hex()
    decision.step, decision.message = step.path, step.event
    if run.silent:
        decision.kind, decision.reason = "withheld", "holdout"
        turn.result.count(f"withheld:{journey.slug}:{step.event}")
    else:
        data = {**resolved(turn, run, step.values), "journey": journey.slug, "run": run.id}
        expires = turn.at + step.expires if step.expires else 0
        if expires:
            data["expires_at"] = iso(expires)
        turn.result.emitted.append(
            Event(
                id=decision.id,
                type=step.event,
                time=turn.at,
                customer=turn.customer_id,
                source="orchestrator",
                data=data,
                received=turn.at,
                expires=expires,
            )
        )
        turn.result.count(f"emitted:{journey.slug}:{step.event}")
    turn.result.decisions.append(decision)


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
        due = wait_end(turn, run, step)
        if due <= turn.at:
            return False
        run.waiting, run.due = "until", due
        return True
    run.waiting, run.due = "wait", turn.at + step.duration
    return step.duration > 0


def time_is_up(turn: Turn, journey: Journey, run: Run) -> None:
    """The wait's timer fired. A moved prediction is looked up again and may set the timer anew."""
    step = journey.steps[run.position]
    if run.waiting == "until" and isinstance(step, WaitUntil) and step.anchor == "next_due":
        due = wait_end(turn, run, step)
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
        if event.type in step.events and event.type not in ("response", "reply") and _is_ours(turn, run, step, event):
            run.came[event.type] = plain(event.data) or True
        if any(name in run.came for name in step.events):
            _go_on(turn, journey, run)
    elif run.waiting == "wait" and isinstance(step, Wait):
        if step.after_last and event.type == step.after_last and _is_ours(turn, run, step, event):
            run.due = turn.at + step.duration
    elif run.waiting == "until" and isinstance(step, WaitUntil) and _moves(step, event):
        due = wait_end(turn, run, step)
        if due <= turn.at:
            _go_on(turn, journey, run)
        else:
            run.due = due


def _is_ours(turn: Turn, run: Run, step: Wait | WaitFor, event: Event) -> bool:
    """Whether the event is about the same things as the run, where the wait asks for it."""
    if not step.same:
        return True
    return first_match(EventMatch(event.type, None, step.same), turn.customer, event, turn.at, run.bound) is not None


def _moves(step: WaitUntil, event: Event) -> bool:
    """Whether an event may move the moment: a purchase the prediction, another time zone the wall clock."""
    if step.anchor == "next_due":
        return event.type in _MOVES_PREDICTIONS
    return event.type == "customer_updated"


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
    customer.runs = [one for one in customer.runs if one is not run]
    ended = customer.ended.setdefault(journey.slug, Ended())
    ended.times += 1
    ended.last = turn.at
    if run.key:
        ended.keys = [*ended.keys, id_hash("key", run.key)][-KEYS:]
    if withdraw:
        result.withdrawn.extend(_not_gone(turn, run))
        customer.resends = [one for one in customer.resends if one.id != run.id]
    if reason != "goal":
        _remember(turn, journey, run, reason, sends=not withdraw)
    result.count(f"ended:{journey.slug}:{reason}")
    decision = _note(turn, journey, run, "ended")
    decision.reason, decision.converted, decision.value, decision.arms = reason, converted, value, dict(run.arms)
    decision.event = _cause(turn)
    result.decisions.append(decision)


def _remember(turn: Turn, journey: Journey, run: Run, reason: str, *, sends: bool) -> None:
    """Keep what an ended run may still need: its goal within the window, its last send until that has gone out.

    Who said no counts on: nobody of the holdout can say no, and to lose such customers would flatter the messages.
    """
    until = run.first_send + journey.goal.within if journey.goal is not None and run.first_send else 0
    for sent in turn.customer.open_sends:
        if sends and sent.run_id == run.id and sent.rank == PLANNED:
            until = max(until, sent.until)
    past = [one for one in turn.customer.past if one.until > turn.at]
    if until > turn.at:
        run.outcome, run.until = ("finished" if reason == "finished" else "left"), until
        run.waiting, run.due, run.held = "", 0, None
        past.append(run)
    turn.customer.past = past[-PAST_RUNS:]


def count_arms(turn: Turn, run: Run) -> None:
    """A conversion counts for every arm the run was in."""
    if not run.silent:
        for split, arm in run.arms.items():
            turn.result.count(f"arm:{run.journey}:{split}:{arm}:converted")


def note_conversion(turn: Turn, journey: Journey, run: Run, value: float) -> None:
    """Record that a run which had ended before reached its goal in time."""
    decision = _note(turn, journey, run, "converted")
    decision.converted, decision.value, decision.arms = True, value, dict(run.arms)
    decision.event = _cause(turn)
    turn.result.decisions.append(decision)


def _cause(turn: Turn) -> str:
    return f"{turn.event.source}/{turn.event.id}" if turn.event is not None else ""


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
