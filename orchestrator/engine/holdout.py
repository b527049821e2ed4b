"""Who is held out: sticky, by chance alone, from one journey or from all marketing. Runs of them go silently."""

from __future__ import annotations

from orchestrator.engine.context import Turn
from orchestrator.language.program import Journey
from orchestrator.learning.chance import uniform


def held_out_of_all(turn: Turn, journey: Journey) -> bool:
    """Whether the customer is in the organisation's holdout. Service messages have none."""
    share = holdout_of_all(turn, journey)
    return bool(share) and uniform(turn.context.seed, "holdout", "", turn.customer_id) < share


def held_out(turn: Turn, journey: Journey) -> bool:
    """Whether the customer is held out of this journey, by its own holdout or the organisation's."""
    if held_out_of_all(turn, journey):
        return True
    share = journey.holdout
    return bool(share) and uniform(turn.context.seed, "holdout", journey.slug, turn.customer_id) < share


def holdout_of_all(turn: Turn, journey: Journey) -> float:
    """The organisation's share, as far as the journey is marketing."""
    return turn.context.program.policy.holdout if journey.purpose == "marketing" else 0.0


def chance_of_holdout(turn: Turn, journey: Journey) -> float:
    """The probability with which a customer is held out of the journey, by either."""
    return 1.0 - (1.0 - holdout_of_all(turn, journey)) * (1.0 - journey.holdout)
