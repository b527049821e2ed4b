"""What would another policy have brought? Its value from the log of the policy that ran.

For each logged choice let w = P(chosen) / p(chosen), the probability under the policy in question over the logged one,
r what came of it, and q what was believed to come of each candidate. Three estimates of the mean value of one choice:

    IPS    mean of w r                                   unbiased, wide              (Horvitz, Thompson 1952)
    SNIPS  sum of w r / sum of w                         a little biased, narrower   (Swaminathan, Joachims 2015)
    DR     mean of  sum over k of P(k) q(k) + w (r - q)  unbiased whatever q is      (Dudik, Langford, Li 2011)

Logged probabilities are exact (the channel is drawn from them), so nothing is modelled but q, which needs not be right.
Choices of one customer hang together, so errors are taken over customers (a sandwich over clusters). The error rests on
few answers of great weight: the interval is Student's, with as many degrees of freedom as such answers count
effectively, and is set right for their skewness, for an estimate that happens to lack them is too low and too sure at
once (the monotone cubic of Hall 1992, "On the removal of skewness by transformation").

Where the policies hardly overlap a few choices carry all the weight: below LEAST choices of effective size,
(sum w)² / sum w² (Kish 1965), no verdict is given. The mean of w must be about 1, else the log is not what it says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import copysign, sqrt

from orchestrator.learning import student

#: Effective choices below which no value is told.
LEAST = 200.0
#: How far the mean weight may lie from 1, beside three of its standard errors.
_WEIGHT_OFF = 0.05


def _unskewed(point: float, skew: float) -> float:
    """The quantile of a studentised mean that belongs to the normal one; `skew` is over the root of the number."""
    if abs(skew) < 1e-6:
        return point
    inner = 1.0 + skew * (point - skew / 6.0)
    return 3.0 / skew * (copysign(abs(inner) ** (1.0 / 3.0), inner) - 1.0)


@dataclass(frozen=True, slots=True)
class Choice:
    """One logged choice, as the policy in question would have weighed it."""

    customer: str
    #: Probability of what was done, under the policy that ran and the one in question.
    logged: float
    asked: float
    reward: float
    #: What was believed of what was done; and of what the policy in question would do, on average.
    believed: float
    believed_asked: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean value of one choice with the interval that holds it in `level` of all logs."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The value of a policy from a log. `refused` says in a sentence why there are no estimates, "" when there are."""

    choices: int
    customers: int
    effective: float
    mean_weight: float
    most_weight: float
    #: The policy that ran: the plain mean of what came.
    ran: Estimate | None
    ips: Estimate | None
    snips: Estimate | None
    dr: Estimate | None
    #: DR less what ran: whether to change.
    gain: Estimate | None
    refused: str = ""


def evaluate(choices: Iterable[Choice], level: float = 0.95) -> Verdict:
    """The verdict over logged choices."""
    rows = list(choices)
    n = len(rows)
    if not n:
        return Verdict(0, 0, 0.0, 0.0, 0.0, None, None, None, None, None, "The log holds no choice among channels.")
    groups: dict[str, int] = {}
    # Few answers, some of great weight: their effective number tells how well the error itself is known.
    missed = [row.asked / row.logged * abs(row.reward - row.believed) for row in rows]
    heavy = sum(one * one for one in missed)
    degrees = max(2.0, sum(missed) ** 2 / heavy - 1.0) if heavy > 0.0 else 1e6
    places = [groups.setdefault(row.customer, len(groups)) for row in rows]
    weights = [row.asked / row.logged for row in rows]
    total, squares = sum(weights), sum(w * w for w in weights)
    effective = total * total / squares if squares > 0.0 else 0.0

    def estimate(numbers: list[float], around: list[float] | None = None) -> Estimate:
        value = sum(numbers) / n if around is None else sum(numbers) / sum(around)
        parts = [0.0] * len(groups)
        for index, (place, number) in enumerate(zip(places, numbers, strict=True)):
            parts[place] += number - value if around is None else number - value * around[index]
        count = len(groups)
        small = count / (count - 1.0) if count > 1 else 1.0
        second = sum(part * part for part in parts)
        error = sqrt(small * second) / (n if around is None else sum(around))
        skew = sqrt(count) * sum(part**3 for part in parts) / second**1.5 if second > 0.0 else 0.0
        reach = student.quantile((1.0 + level) / 2.0, degrees)
        low, high = (_unskewed(point, skew / sqrt(count)) for point in (reach, -reach))
        return Estimate(value, value - low * error, value - high * error)

    mean_weight = total / n
    spread = estimate(weights)
    head = (n, len(groups), effective, mean_weight, max(weights))
    if effective < LEAST:
        return Verdict(
            *head, None, None, None, None, None,
            f"Only {effective:.0f} choices' worth of the log says something about this policy, {LEAST:.0f} are needed:"
            " it does too often what was hardly ever done. Let it run on a share of customers, or explore more.",
        )  # fmt: skip
    if abs(mean_weight - 1.0) > _WEIGHT_OFF + (spread.high - mean_weight) * 3.0 / 1.96:
        return Verdict(
            *head, None, None, None, None, None,
            f"The weights average {mean_weight:.2f} where they must average 1: the logged probabilities are not those"
            " of what was done, or the policy wants what was never possible in the log.",
        )  # fmt: skip
    direct = [r.believed_asked + w * (r.reward - r.believed) for r, w in zip(rows, weights, strict=True)]
    rewards = [row.reward for row in rows]
    weighted = [w * r for w, r in zip(weights, rewards, strict=True)]
    return Verdict(
        *head,
        ran=estimate(rewards),
        ips=estimate(weighted),
        snips=estimate(weighted, weights),
        dr=estimate(direct),
        gain=estimate([one - two for one, two in zip(direct, rewards, strict=True)]),
    )
