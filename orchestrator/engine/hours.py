"""Hours of the day: what is learned of them, and the best one for a send that asks for it."""

from __future__ import annotations

from orchestrator.engine.context import Turn
from orchestrator.engine.decision import Decision
from orchestrator.engine.local_time import is_quiet, local
from orchestrator.engine.state import OpenSend
from orchestrator.engine.zones import zone_of
from orchestrator.language.program import Journey
from orchestrator.learning import pooled, send_time
from orchestrator.learning.cells import UNIT
from orchestrator.learning.chance import uniform

_HOUR_MS = 3_600_000
#: A best hour is looked for within so many hours from the first moment at which the message may go.
_AHEAD = 24


def count_sent(turn: Turn, at: int) -> None:
    """A message goes at this moment."""
    place = _bin(turn, at)
    turn.customer.hours.add_sent(place)
    pooled.open_vector(turn.result.sums, pooled.HOURS, send_time.WIDTH)[place] += UNIT


def count_engaged(turn: Turn, sent: OpenSend) -> None:
    """The first time a person opened or answered the message."""
    place = _bin(turn, sent.at)
    turn.customer.hours.add_engaged(place)
    pooled.open_vector(turn.result.sums, pooled.HOURS, send_time.WIDTH)[send_time.BINS + place] += UNIT


def best_moment(turn: Turn, journey: Journey, decision: Decision, first: int, deadline: int) -> int:
    """The moment (ms) from `first` on, before `deadline`, at which she is likeliest to answer: outside quiet hours, at
    once or at the start of a later hour. The record gets the probability with which it was chosen."""
    moments = _allowed(turn, journey, first, deadline)
    if len(moments) <= 1:
        decision.hour_chance = 1.0
        return moments[0] if moments else first
    context = turn.context
    curve = send_time.own_curve(turn.customer.hours, context.priors.hours)
    tz = zone_of(turn.customer, context.program.policy)
    walls = [local(moment, tz) for moment in moments]
    chosen = send_time.choose_moment(
        curve,
        [wall.hour * 60 + wall.minute for wall in walls],
        uniform(context.seed, "hour", journey.slug, turn.customer_id, decision.id),
    )
    decision.hour_chance = chosen.chance
    return moments[chosen.place]


def _allowed(turn: Turn, journey: Journey, first: int, deadline: int) -> list[int]:
    policy = turn.context.program.policy
    tz = zone_of(turn.customer, policy)
    hours = [one for one in (policy.quiet_hours, journey.quiet_hours) if one is not None]
    wall = local(first, tz)
    until_next = _HOUR_MS - (wall.minute * 60_000 + wall.second * 1_000 + wall.microsecond // 1_000)
    later = [first + until_next + ahead * _HOUR_MS for ahead in range(_AHEAD - 1)]
    return [
        moment
        for moment in (first, *later)
        if moment < deadline and not any(is_quiet(moment, quiet, tz) for quiet in hours)
    ]


def _bin(turn: Turn, at: int) -> int:
    wall = local(at, zone_of(turn.customer, turn.context.program.policy))
    return send_time.bin_of(wall.hour * 60 + wall.minute)
