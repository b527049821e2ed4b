"""Limits of a proof of concept: who may enter, what it may cost, when it is over."""

from __future__ import annotations

from functools import lru_cache

from orchestrator.contracts.messages import OutboxRow
from orchestrator.engine.context import Context, Turn
from orchestrator.engine.guards import channel_policy
from orchestrator.engine.local_time import end_of_day, zone
from orchestrator.engine.scope import Scope
from orchestrator.language.program import Journey, Rollout
from orchestrator.learning.chance import uniform


def over(turn: Turn, journey: Journey) -> str:
    """Why the rollout is over for this partition: `until`, `budget` or "" while it goes on."""
    rollout = journey.rollout
    if rollout is None:
        return ""
    context = turn.context
    if rollout.until and turn.at >= _end(rollout.until, context.program.policy.time_zone):
        return "until"
    if rollout.budget is not None:
        spent = context.spent.get(journey.slug, 0.0) + turn.result.spent.get(journey.slug, 0.0)
        if spent + _dearest(context, rollout) > rollout.budget / context.partitions:
            return "budget"
    return ""


@lru_cache(maxsize=256)
def _end(day: str, time_zone: str) -> int:
    return end_of_day(day, zone(time_zone, "UTC"))


def _dearest(context: Context, rollout: Rollout) -> float:
    """The price of one more message at most: the budget is a limit, not an average."""
    policy = context.program.policy
    return max((channel_policy(policy, name).cost for name in rollout.channels or policy.channels), default=0.0)


def lets_in(turn: Turn, journey: Journey, scope: Scope) -> bool:
    """Whether the customer belongs to the rollout. The share is sticky and grows: raising it drops nobody."""
    rollout = journey.rollout
    if rollout is None:
        return True
    if rollout.share < 1 and uniform(turn.context.seed, "rollout", journey.slug, turn.customer_id) >= rollout.share:
        return False
    return rollout.only is None or rollout.only.holds(scope)


def charge(turn: Turn, row: OutboxRow) -> None:
    """Count what a message costs, for journeys with a budget."""
    journey = turn.context.by_version.get(row.version)
    if journey is None or journey.rollout is None or journey.rollout.budget is None:
        return
    spent = turn.result.spent
    cost = channel_policy(turn.context.program.policy, row.channel).cost
    spent[journey.slug] = spent.get(journey.slug, 0.0) + cost
