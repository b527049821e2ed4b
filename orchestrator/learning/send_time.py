"""At which hour does this customer answer? A curve over the day for each, shrunk to everybody's.

The log odds that she opens or answers a message sent at the local hour h are

    eta(h) = m + a cos(2 pi h / 24) + b sin(2 pi h / 24)

with a Gaussian prior for (m, a, b) around the curve of all customers. Her evidence is counted in twelve bins of two
hours: messages sent, and those opened by a person or answered. The most likely curve is found by Newton's method
(penalised logistic regression, as in McCullagh, Nelder 1989, ch. 4; a circular regressor as in Fisher 1993, ch. 6).
One harmonic has one best hour; a customer with two gets the better of them, roughly.

The hour is then the best one allowed, the earliest of those nearly as good; one time in ten any allowed hour, with its
probability logged, so that the curve keeps learning and another rule can be valued.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, exp, pi, sin

import msgspec

from orchestrator.learning.cells import UNIT

BINS = 12
#: Counts are halved when a customer has so many messages: old habits fade, and a count stays one byte.
_MOST = 120
_STEPS = 8
#: How customers differ from the common curve: standard deviations of m, and of a and b.
_LEVEL_SPREAD, _WAVE_SPREAD = 0.9, 0.5
#: The common curve itself, before anything is known: messages about noon do a little better than at midnight.
_START = (-2.0, -0.1, 0.0)
_START_SPREAD = (1.0, 0.2, 0.2)
#: An hour this close to the best chance is as good, and sooner.
_NEARLY = 0.98
EXPLORATION = 0.1
#: Places of the pooled vector: messages by bin, then those engaged with.
WIDTH = 2 * BINS

Curve = tuple[float, float, float]


class Hours(msgspec.Struct, array_like=True, gc=False):
    """Messages to one customer by the local time they went, and those she opened or answered: bins of two hours."""

    sent: list[int] = []
    engaged: list[int] = []

    def add_sent(self, place: int) -> None:
        if not self.sent:
            self.sent, self.engaged = [0] * BINS, [0] * BINS
        elif sum(self.sent) >= _MOST:
            self.sent = [(count + 1) // 2 for count in self.sent]
            self.engaged = [count // 2 for count in self.engaged]
        self.sent[place] += 1

    def add_engaged(self, place: int) -> None:
        if self.sent and self.engaged[place] < self.sent[place]:
            self.engaged[place] += 1


def bin_of(minute: int) -> int:
    """The bin of a local minute of the day."""
    return minute // 120 % BINS


def common_curve(vector: Sequence[int] | None) -> Curve:
    """Everybody's curve from the pooled sums."""
    if vector is None:
        return _START
    sent = [count / UNIT for count in vector[:BINS]]
    engaged = [count / UNIT for count in vector[BINS:]]
    return _fit(sent, engaged, _START, _START_SPREAD)


def own_curve(hours: Hours | None, common: Curve = _START) -> Curve:
    """The customer's curve."""
    if hours is None or not hours.sent:
        return common
    return _fit(hours.sent, hours.engaged, common, (_LEVEL_SPREAD, _WAVE_SPREAD, _WAVE_SPREAD))


def chance_at(curve: Curve, minute: float) -> float:
    """The chance that a message sent at this local minute is opened or answered."""
    angle = 2.0 * pi * minute / 1440.0
    return _logistic(curve[0] + curve[1] * cos(angle) + curve[2] * sin(angle))


@dataclass(frozen=True, slots=True)
class Moment:
    """The chosen place among the allowed ones, and the probability with which it was chosen."""

    place: int
    chance: float


def choose_moment(curve: Curve, minutes: Sequence[int], point: float, exploration: float = EXPLORATION) -> Moment:
    """The place in `minutes` (local minutes of the allowed moments, in their order; at least one) to send at.

    `point`, in [0, 1), is the draw.
    """
    chances = [chance_at(curve, minute) for minute in minutes]
    enough = _NEARLY * max(chances)
    best = next(place for place, chance in enumerate(chances) if chance >= enough)
    count = len(minutes)
    place = min(count - 1, int(point / exploration * count)) if point < exploration else best
    return Moment(place, (1.0 - exploration if place == best else 0.0) + exploration / count)


@lru_cache(1)
def _waves() -> list[tuple[float, float]]:
    middles = [2.0 * pi * (place + 0.5) / BINS for place in range(BINS)]
    return [(cos(angle), sin(angle)) for angle in middles]


def _fit(sent: Sequence[float], engaged: Sequence[float], mean: Curve, spread: Curve) -> Curve:
    """Newton's method on the penalised log likelihood; it is concave, and steps that are too long are halved."""
    precision = [1.0 / (s * s) for s in spread]
    rows = [(n, s, c, d) for n, s, (c, d) in zip(sent, engaged, _waves(), strict=True) if n > 0]
    m, a, b = mean
    for _ in range(_STEPS):
        g = [-precision[0] * (m - mean[0]), -precision[1] * (a - mean[1]), -precision[2] * (b - mean[2])]
        h00, h11, h22 = precision
        h01 = h02 = h12 = 0.0
        for n, s, c, d in rows:
            p = _logistic(m + a * c + b * d)
            off, weight = s - n * p, n * p * (1.0 - p)
            g[0] += off
            g[1] += off * c
            g[2] += off * d
            h00 += weight
            h01 += weight * c
            h02 += weight * d
            h11 += weight * c * c
            h12 += weight * c * d
            h22 += weight * d * d
        steps = _solve(h00, h01, h02, h11, h12, h22, g)
        longest = max(abs(step) for step in steps)
        short = min(1.0, 2.0 / longest) if longest > 0.0 else 1.0
        m, a, b = m + short * steps[0], a + short * steps[1], b + short * steps[2]
        if longest < 1e-9:
            break
    return m, a, b


def _solve(h00: float, h01: float, h02: float, h11: float, h12: float, h22: float, g: list[float]) -> list[float]:
    """H x = g for a symmetric positive definite H of three rows."""
    f1, f2 = h01 / h00, h02 / h00
    e11, e12, e22 = h11 - f1 * h01, h12 - f1 * h02, h22 - f2 * h02
    g1, g2 = g[1] - f1 * g[0], g[2] - f2 * g[0]
    k = e12 / e11
    x2 = (g2 - k * g1) / (e22 - k * e12)
    x1 = (g1 - e12 * x2) / e11
    return [(g[0] - h01 * x1 - h02 * x2) / h00, x1, x2]


def _logistic(x: float) -> float:
    if x < 0.0:
        odds = exp(max(-700.0, x))
        return odds / (1.0 + odds)
    return 1.0 / (1.0 + exp(-min(700.0, x)))
