"""Which message: Thompson sampling over the messages of one step, per group of customers.

A message's response rate in a group has a Beta posterior: the group's own answers, added to what all customers say of
it, added to what the step's messages get together. No single customer sees a message often enough for a rate of her
own. The draw is the posterior itself, for its evidence comes from all customers; a message never shown has the widest
posterior and so is tried. The message is drawn from the shares, so its propensity is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from orchestrator.learning.chance import uniform
from orchestrator.learning.policies import ROWS, wins_of
from orchestrator.learning.priors import Priors

_START_MEAN, _START_SENDS = 0.06, 60.0
#: Pseudo-sends: the step's messages together against one of them, and one message against its group.
_WEIGHT_STEP = 20.0
_WEIGHT_GROUP = 200.0


@dataclass(frozen=True, slots=True)
class TextCandidate:
    """One message with its posterior Beta(a, b) in the customer's group and the probability it is picked with."""

    message: str
    a: float
    b: float
    share: float = 0.0


def choose_text(
    messages: Sequence[str],
    group: str,
    priors: Priors,
    *,
    exploration: float,
    seed: bytes,
    names: tuple[str, ...],
) -> tuple[TextCandidate, tuple[TextCandidate, ...]]:
    """The message drawn, and all with their shares. `messages` (at least one) are the ones that may be shown now."""
    if len(messages) == 1:
        only = TextCandidate(messages[0], 0.0, 0.0, 1.0)
        return only, (only,)
    known = [priors.text(group, message) for message in messages]
    sends, responses = sum(row[2] for row in known), sum(row[3] for row in known)
    mean = (responses + _START_MEAN * _START_SENDS) / (sends + _START_SENDS)
    posteriors = [_posterior(row, mean) for row in known]
    count = len(messages)
    table = []
    for a, b in posteriors:
        spread = sqrt(b / (a * (a + b + 1.0)))
        table.append((spread / 3.0, 1.0 - spread * spread / 9.0, a / (a + b), 0.0))
    wins = wins_of(table)
    shares = [(1.0 - exploration) * win / ROWS + exploration / count for win in wins]
    point, chosen = uniform(seed, "message", *names), count - 1
    for index, share in enumerate(shares):
        point -= share
        if point < 0.0:
            chosen = index
            break
    weighed = tuple(
        TextCandidate(message, a, b, share) for message, (a, b), share in zip(messages, posteriors, shares, strict=True)
    )
    return weighed[chosen], weighed


def _posterior(row: tuple[float, float, float, float], mean: float) -> tuple[float, float]:
    sends, responses, all_sends, all_responses = row
    overall = (all_responses + _WEIGHT_STEP * mean) / (all_sends + _WEIGHT_STEP)
    # What all customers say counts as evidence in the group, but no more than _WEIGHT_GROUP sends of it.
    weight = min(_WEIGHT_GROUP, all_sends - sends + _WEIGHT_STEP)
    return overall * weight + responses, (1.0 - overall) * weight + max(0.0, sends - responses)
