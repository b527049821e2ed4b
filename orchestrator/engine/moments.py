"""When: the moment a `wait_until` waits for, and the hour at which a `send` may go."""

from __future__ import annotations

from orchestrator.engine.context import Turn
from orchestrator.engine.decision import Decision
from orchestrator.engine.facts import run_scope
from orchestrator.engine.hours import best_moment
from orchestrator.engine.local_time import moment_in, next_clock
from orchestrator.engine.state import Run
from orchestrator.engine.zones import zone_of
from orchestrator.language.program import Clock, Journey, Send, WaitUntil
from orchestrator.learning.rhythm import next_due


def wait_end(turn: Turn, run: Run, step: WaitUntil) -> int:
    """When the wait is over (ms). A prediction or date that is not known leaves nothing to wait for: now."""
    tz = zone_of(turn.customer, turn.context.program.policy)
    if step.anchor == "clock":
        return next_clock(turn.at, step.clock or Clock(0), tz)
    if step.anchor == "name":
        moment = moment_in(run_scope(turn, run).get(step.name), tz)
        return turn.at if moment is None else moment + step.offset
    rhythms = turn.customer.rhythms
    product = run.bound.get("product")
    category = product.get("category") if isinstance(product, dict) else None
    # The category the run is about; over all she buys when it has none.
    name = category if isinstance(category, str) else ""
    due = next_due(rhythms.get(name), turn.context.priors.rhythm(name))
    return turn.at if due is None else due + step.offset


def moment_of(turn: Turn, journey: Journey, send: Send, decision: Decision, first: int, deadline: int) -> int:
    """The earliest moment the author's `at` allows, where caps and quiet hours allow none before `first`. `09:00` at
    nine is now."""
    if send.at == "clock":
        tz = zone_of(turn.customer, turn.context.program.policy)
        return next_clock(turn.at - 1, Clock(send.minute), tz)
    if send.at == "best":
        return best_moment(turn, journey, decision, first, deadline)
    return turn.at
