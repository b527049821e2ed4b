"""At which hour does this customer answer? A curve over the day for each, shrunk to everybody's.

The log odds that she opens or answers a message sent at the local hour h are

    eta(h) = m + a cos(x) + b sin(x) + c cos(2x) + d sin(2x),   x = 2 pi h / 24

with a Gaussian prior for (m, a, b, c, d) around the curve of all customers: one hump a day, or two. Her evidence is
counted in twelve bins of two hours: messages sent, and those opened by a person or answered. The most likely curve is
found by Newton's method (penalised logistic regression, as in McCullagh, Nelder 1989, ch. 4; circular regressors as in
Fisher 1993, ch. 6).

The hour is then the best one allowed, the earliest of those nearly as good; one time in ten any allowed hour, with its
probability logged, so that the curve keeps learning and another rule can be valued.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, exp, pi, sin

import msgspec
import numpy as np

from orchestrator.learning.cells import UNIT

BINS = 12
#: Counts are halved when a customer has so many messages: old habits fade, and a count stays one byte.
_MOST = 120
_STEPS = 8
#: How customers differ from the common curve: standard deviations of m, of a and b, of c and d.
_SPREAD = (0.9, 0.5, 0.5, 0.4, 0.4)
#: The common curve itself, before anything is known: messages about noon do a little better than at midnight.
_START = (-2.0, -0.1, 0.0, 0.0, 0.0)
_START_SPREAD = (1.0, 0.2, 0.2, 0.2, 0.2)
#: An hour this close to the best chance is as good, and sooner.
_NEARLY = 0.98
EXPLORATION = 0.1
#: Places of the pooled vector: messages by bin, then those engaged with.
WIDTH = 2 * BINS

Curve = tuple[float, ...]


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
    return _fit(hours.sent, hours.engaged, common, _SPREAD)


def chance_at(curve: Curve, minute: float) -> float:
    """The chance that a message sent at this local minute is opened or answered."""
    angle = 2.0 * pi * minute / 1440.0
    m, a, b, c, d = curve
    odds = m + a * cos(angle) + b * sin(angle) + c * cos(2.0 * angle) + d * sin(2.0 * angle)
    return 1.0 / (1.0 + exp(min(700.0, -odds)))


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


_ANGLES = 2.0 * np.pi * (np.arange(BINS) + 0.5) / BINS
_WAVES = np.column_stack(
    [np.ones(BINS), np.cos(_ANGLES), np.sin(_ANGLES), np.cos(2.0 * _ANGLES), np.sin(2.0 * _ANGLES)]
)


def _fit(sent: Sequence[float], engaged: Sequence[float], mean: Curve, spread: Sequence[float]) -> Curve:
    """Newton's method on the penalised log likelihood, which is concave; a step that is too long is cut."""
    n, s = np.array(sent, dtype=float), np.array(engaged, dtype=float)
    middle = np.array(mean)
    precision = 1.0 / np.square(spread)
    curve = middle.copy()
    for _ in range(_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(_WAVES @ curve, -30.0, 30.0)))
        gradient = _WAVES.T @ (s - n * p) - precision * (curve - middle)
        curvature = (_WAVES.T * (n * p * (1.0 - p))) @ _WAVES + np.diag(precision)
        step = np.linalg.solve(curvature, gradient)
        longest = float(np.abs(step).max())
        curve += step * min(1.0, 2.0 / longest) if longest > 0.0 else step
        if longest < 1e-9:
            break
    return tuple(curve.tolist())
