"""What all buyers of a category teach about its rhythm: sums that add up over partitions, and the prior they give.

Each customer's share in a category's sums follows from her decayed (n, s, q) of log gaps (`learning.rhythm`), so it is
taken away and added anew when they change; what is learned of amounts is added once, at each purchase. Every number is
an integer of millionths, exact in any order. From the sums, by moments:

    variance inside a customer    v = sum(q - s²/n) / sum(n - 1)
    between customers' means      w = (sum s²/n - (sum s)²/N - (K - 1) v) / (N - sum n²/N),  strength k0 = v / w
    mean of the means             m0 = sum(s / (n + 1)) / sum(n / (n + 1)), about what each mean deserves
    spread of the variances       R = sum((q - s²/n)²) / sum((n - 1)(n + 1)) / v²
                                  a0 = (2R - 1)/(R - 1), b0 = v (a0 - 1)

The first two are the one-way analysis of variance with unequal groups (Searle, Casella, McCulloch 1992, ch. 3); the
last is the second moment of an inverse gamma, as E[chi²(d)²] = d (d + 2). Each is shrunk to all categories together,
and those to the start values. Gaps still open are not in the sums: the fit describes customers who come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log

from orchestrator.learning.cells import UNIT
from orchestrator.learning.rhythm import START, Rhythm, RhythmPrior

#: Places of the vector: customers with a gap; weights and weighted means; gaps, their squares, sums of logs; s²/n;
#: inner squares and what they are compared with; amounts: surplus², surplus · residual, purchases, logs.
K, WEIGHT, MEAN, N, N2, S, B, W, W2, D2, XX, XR, BOUGHT, AMOUNT = range(14)
WIDTH = 14

#: What the values above weigh: in customers for means and their spread, in gaps for variances and their spread.
_MEAN_WEIGHT, _SPREAD_WEIGHT, _VARIANCE_WEIGHT, _SHAPE_WEIGHT = 5.0, 20.0, 20.0, 200.0
_SLOPE_WEIGHT = 20.0
_LEAST_STRENGTH, _MOST_STRETCH = 0.05, 1.0
_MOST_STRENGTH = 50.0
_LEAST_SHAPE, _MOST_SHAPE = 1.5, 50.0


def evidence(rhythm: Rhythm) -> list[int]:
    """The customer's share in the sums of the category, as it stands."""
    vector = [0] * WIDTH
    add_evidence(vector, rhythm, 1)
    return vector


def add_evidence(vector: list[int], rhythm: Rhythm, sign: int) -> None:
    """Add the customer's share to the sums in place (`sign` 1), or take it away (-1)."""
    n = rhythm.n
    if n < 0.5:
        return
    total, unit = rhythm.total, sign * UNIT
    between = total * total / n
    vector[K] += unit
    vector[WEIGHT] += sign * int(n / (n + 1.0) * UNIT)
    vector[MEAN] += sign * int(total / (n + 1.0) * UNIT)
    vector[N] += sign * int(n * UNIT)
    vector[N2] += sign * int(n * n * UNIT)
    vector[S] += sign * int(total * UNIT)
    vector[B] += sign * int(between * UNIT)
    if n > 1.0:
        within = max(0.0, rhythm.squares - between)
        vector[W] += sign * int(within * UNIT)
        vector[W2] += sign * int(within * within * UNIT)
        vector[D2] += sign * int((n - 1.0) * (n + 1.0) * UNIT)


def add_amount(vector: list[int], surplus: float, residual: float | None, amount: float) -> None:
    """Add one purchase: its log `amount`; and, when it ended a gap, how far the log gap lay from what was expected
    without stocking up (`residual`), and by how much she had stocked up before it (`surplus`)."""
    vector[BOUGHT] += UNIT
    if amount > 0.0 and amount != 1.0:
        vector[AMOUNT] += int(log(amount) * UNIT)
    if residual is not None:
        vector[XX] += int(surplus * surplus * UNIT)
        vector[XR] += int(surplus * residual * UNIT)


class RhythmPriors:
    """The priors of every category, fitted from one snapshot of the sums."""

    def __init__(self, sums: Mapping[str, Sequence[int]]) -> None:
        """`sums`: category → vector; "" is the customers' orders over all categories, apart from the rest."""
        self._sums = sums
        self._fitted: dict[str, RhythmPrior] = {}
        together = [0] * WIDTH
        for category, vector in sums.items():
            if category:
                for place, by in enumerate(vector):
                    together[place] += by
        #: For a category nobody bought twice yet.
        self.any_category = fit(together, START)

    def of(self, category: str) -> RhythmPrior:
        """The prior of a category; of any category when it is unknown; "" of orders as such."""
        prior = self._fitted.get(category)
        if prior is None:
            vector = self._sums.get(category)
            if vector is None:
                return self.any_category if category else START
            prior = self._fitted[category] = fit(vector, self.any_category if category else START)
        return prior


def fit_rhythm_priors(sums: Mapping[str, Sequence[int]]) -> dict[str, RhythmPrior]:
    """The fitted prior of every category in `sums`."""
    priors = RhythmPriors(sums)
    return {category: priors.of(category) for category in sums}


def fit(vector: Sequence[int], above: RhythmPrior) -> RhythmPrior:
    """The prior that the sums of one category speak for, shrunk to `above`."""
    sums = [place / UNIT for place in vector]
    customers, gaps = sums[K], sums[N]
    inner_above = above.scale / max(0.2, above.shape - 1.0)
    degrees = max(0.0, gaps - customers)
    inner = (sums[W] + _VARIANCE_WEIGHT * inner_above) / (degrees + _VARIANCE_WEIGHT)
    spread = inner_above / above.strength
    even = gaps - sums[N2] / gaps if gaps > 0.0 else 0.0
    if even > 0.0:
        found = max(0.0, (sums[B] - sums[S] ** 2 / gaps - (customers - 1.0) * inner) / even)
        spread = (customers * found + _SPREAD_WEIGHT * spread) / (customers + _SPREAD_WEIGHT)
    strength = min(_MOST_STRENGTH, max(_LEAST_STRENGTH, inner / spread)) if spread > 0.0 else _MOST_STRENGTH
    shape = _shape(sums, inner, degrees, above.shape)
    slope = (sums[XR] + _SLOPE_WEIGHT * above.slope) / (sums[XX] + _SLOPE_WEIGHT)
    return RhythmPrior(
        mean=(sums[MEAN] + _MEAN_WEIGHT * above.mean) / (sums[WEIGHT] + _MEAN_WEIGHT),
        strength=strength,
        shape=shape,
        scale=inner * (shape - 1.0),
        # To buy much does not make one come back sooner: such a slope is chance.
        slope=min(_MOST_STRETCH, max(0.0, slope)),
        amount=(sums[AMOUNT] + _MEAN_WEIGHT * above.amount) / (sums[BOUGHT] + _MEAN_WEIGHT),
    )


def _shape(sums: Sequence[float], inner: float, degrees: float, above: float) -> float:
    if sums[D2] <= 0.0 or inner <= 0.0:
        return above
    ratio = sums[W2] / sums[D2] / (inner * inner)
    found = (2.0 * ratio - 1.0) / (ratio - 1.0) if ratio > 1.02 else _MOST_SHAPE
    found = min(_MOST_SHAPE, max(_LEAST_SHAPE, found))
    return exp((degrees * log(found) + _SHAPE_WEIGHT * log(above)) / (degrees + _SHAPE_WEIGHT))
