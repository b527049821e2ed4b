"""A customer's own rhythm: how long between two purchases of a category.

The logarithm of a gap in days is normal; mean and variance are the customer's own and unknown, with a
Normal-inverse-gamma prior that all customers of the category share (`learning.rhythm_priors`). With n gaps that sum to
s, squares to q (each counting half after a year):

    k = k0 + n,  m = (k0 m0 + s) / k,  a = a0 + n/2,
    b = b0 + (q - s²/n)/2 + k0 n (s/n - m0)² / (2k)
    ln gap ~ Student t with 2a degrees, location m, scale² = b (k + 1) / (a k)

(conjugate update: Murphy 2007, "Conjugate Bayesian analysis of the Gaussian distribution"). So buyers of one, two and
fifty orders all get a date, and an interval that says how sure it is. The gap that is open now is censored: what
remains of it is asked of the part of the distribution beyond the days already gone.

Stocking up: the location moves by slope · ln(bought last / bought usually). The slope belongs to the category and is
learned from all its buyers. A purchase that came back is taken out again, as if it had never been: the two gaps around
it become one.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import median

import msgspec

from orchestrator.learning import student
from orchestrator.learning.cells import DAY_MS

#: Old gaps count half after a year.
_HALF_LIFE_DAYS = 365.0
_MINUTE_MS = 60_000
_DAY_MINUTES = 1440
#: Gaps shorter than this are taken for as long: two mornings are not a rhythm of hours.
_LEAST_GAP_DAYS = 0.5
#: Purchases remembered one by one, so that one that comes back can be taken out. Older ones live on in the sums.
POINTS = 6
#: Amounts are remembered as eighths of a natural logarithm: one byte each.
_AMOUNT_UNIT = 8.0
_LEAST_AMOUNT, _MOST_AMOUNT = -32, 127
#: What is bought usually counts the category's mean like this many purchases.
_AMOUNT_WEIGHT = 1.0
#: A larger purchase lengthens the wait at most to this many times, e ** 1.5.
_MOST_STRETCH = 1.5


@dataclass(frozen=True, slots=True)
class RhythmPrior:
    """What buyers of a category share: Normal-inverse-gamma of the log gap (days), and what they buy at a time."""

    mean: float = 3.67
    strength: float = 0.89
    shape: float = 2.09
    scale: float = 1.38
    #: How the log gap follows the log of the amount bought, against what this customer buys usually.
    slope: float = 0.0
    #: Mean log amount of one purchase.
    amount: float = 0.0


#: A gift shop's fit on a year of real purchases: the spread is wide, so a customer's own gaps soon win.
START = RhythmPrior()


class Rhythm(msgspec.Struct, array_like=True, gc=False):
    """Purchases of one category by one customer: decayed number of gaps, sums of log gaps; the last ones by time."""

    n: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    #: The last purchase (ms).
    last: int = 0
    #: Times bought, on distinct days.
    count: int = 0
    #: The last purchases, oldest first: minutes since 1970, and the logarithm of each amount.
    times: list[int] = []
    amounts: list[int] = []

    def bought(self, at: int, amount: float = 1.0) -> None:
        """A purchase of `amount` pieces at `at` (ms). Several on one day are one.

        One that is told late is put in its place; one older than all that is remembered only counts.
        """
        minute = at // _MINUTE_MS
        times = self.times
        place = bisect_left(times, minute)
        for near in (place - 1, place):
            if 0 <= near < len(times) and times[near] // _DAY_MINUTES == minute // _DAY_MINUTES:
                self.amounts[near] = _coded(exp(self.amounts[near] / _AMOUNT_UNIT) + amount)
                self.last = max(self.last, at)
                return
        self.count += 1
        if place == 0 and len(times) == POINTS:
            return
        self._insert(place, minute, _coded(amount))
        self.last = max(self.last, at)

    def returned(self, at: int) -> bool:
        """Take the purchase of the day of `at` (ms) out again. False when it is not remembered by itself any more."""
        day = at // _MINUTE_MS // _DAY_MINUTES
        for place, minute in enumerate(self.times):
            if minute // _DAY_MINUTES == day:
                self._remove(place)
                self.count -= 1
                self.last = self.times[-1] * _MINUTE_MS if self.times else 0
                return True
        return False

    def _insert(self, place: int, minute: int, amount: int) -> None:
        times = self.times
        if place < len(times):
            if place:
                self._gap(times[place - 1], times[place], -1.0)
                self._gap(times[place - 1], minute, 1.0)
            self._gap(minute, times[place], 1.0)
        elif times:
            keep = 2.0 ** (-_days(times[-1], minute) / _HALF_LIFE_DAYS)
            self._scale(keep)
            self._add(_log_gap(times[-1], minute), 1.0)
        times.insert(place, minute)
        self.amounts.insert(place, amount)
        if len(times) > POINTS:
            del times[0], self.amounts[0]

    def _remove(self, place: int) -> None:
        times = self.times
        if place:
            self._gap(times[place - 1], times[place], -1.0)
        if place < len(times) - 1:
            self._gap(times[place], times[place + 1], -1.0)
            if place:
                self._gap(times[place - 1], times[place + 1], 1.0)
        elif place:
            # The sums are as of the last purchase, which is now the one before.
            self._scale(2.0 ** (_days(times[place - 1], times[place]) / _HALF_LIFE_DAYS))
        del times[place], self.amounts[place]
        if self.n < 0.01:
            self.n = self.total = self.squares = 0.0

    def _gap(self, first: int, second: int, sign: float) -> None:
        self._add(_log_gap(first, second), sign * 2.0 ** (-_days(second, self.times[-1]) / _HALF_LIFE_DAYS))

    def _add(self, y: float, weight: float) -> None:
        self.n += weight
        self.total += weight * y
        self.squares += weight * y * y

    def _scale(self, by: float) -> None:
        self.n *= by
        self.total *= by
        self.squares *= by


@dataclass(frozen=True, slots=True)
class Gap:
    """The next gap in days: ln gap ~ Student t with `degrees`, around `location`, times `scale`."""

    location: float
    scale: float
    degrees: float

    def quantile(self, chance: float, elapsed: float = 0.0) -> float:
        """The days not exceeded with probability `chance`, given that `elapsed` days have passed already."""
        if elapsed > 0.0:
            chance = 1.0 - (1.0 - chance) * self.open_after(elapsed)
        if chance == 0.5:
            return exp(self.location)
        if chance >= 1.0:
            return elapsed
        return max(elapsed, exp(min(500.0, self.location + self.scale * student.quantile(chance, self.degrees))))

    def open_after(self, days: float) -> float:
        """The probability that the gap is longer than `days`."""
        if days <= 0.0:
            return 1.0
        return student.cdf((self.location - log(days)) / self.scale, self.degrees)


def next_gap(rhythm: Rhythm | None, prior: RhythmPrior = START) -> Gap:
    """What is believed of the gap after the last purchase. Without any purchase: what the category says."""
    n = total = squares = stretch = 0.0
    if rhythm is not None:
        n, total, squares = rhythm.n, rhythm.total, rhythm.squares
        stretch = prior.slope * surplus(rhythm, prior)
    strength = prior.strength + n
    shape, scale = prior.shape + n / 2.0, prior.scale
    if n > 0.0:
        average = total / n
        scale += max(0.0, squares - total * average) / 2.0
        scale += prior.strength * n * (average - prior.mean) ** 2 / (2.0 * strength)
    location = (prior.strength * prior.mean + total) / strength
    location += min(_MOST_STRETCH, max(-_MOST_STRETCH, stretch))
    return Gap(location, sqrt(scale * (strength + 1.0) / (shape * strength)), 2.0 * shape)


def unexplained(rhythm: Rhythm, at: int, prior: RhythmPrior = START) -> float | None:
    """How far the log of the gap that a purchase at `at` (ms) ends lies from what her own gaps let expect, the amount
    she bought last left aside. None when it ends no gap, or when she has no gap yet to compare with."""
    if rhythm.n < 0.5 or at // DAY_MS <= rhythm.last // DAY_MS:
        return None
    expected = (prior.strength * prior.mean + rhythm.total) / (prior.strength + rhythm.n)
    return log(max((at - rhythm.last) / DAY_MS, _LEAST_GAP_DAYS)) - expected


def gap_days(
    rhythm: Rhythm | None, quantile: float = 0.5, prior: RhythmPrior = START, *, elapsed: float = 0.0
) -> float:
    """The gap in days that is not exceeded with probability `quantile`, given that `elapsed` days have passed."""
    return next_gap(rhythm, prior).quantile(quantile, elapsed)


def gap_interval(rhythm: Rhythm | None, prior: RhythmPrior = START, level: float = 0.8) -> tuple[float, float]:
    """The days between which the next gap lies with probability `level`, as much below as above."""
    gap = next_gap(rhythm, prior)
    return gap.quantile((1.0 - level) / 2.0), gap.quantile((1.0 + level) / 2.0)


def next_due(rhythm: Rhythm | None, prior: RhythmPrior = START) -> int | None:
    """When the customer is likely to need it again (ms): as likely before as after. None when nothing was bought."""
    if rhythm is None or not rhythm.last:
        return None
    return rhythm.last + round(next_gap(rhythm, prior).quantile(0.5) * DAY_MS)


def usual_gap(rhythm: Rhythm | None, prior: RhythmPrior = START) -> float:
    """The customer's median gap in days, blended with the category's: what `2x usual gap` is a multiple of.

    The median is over the purchases remembered one by one; it counts as much as her gaps against the prior's strength.
    """
    if rhythm is None or len(rhythm.times) < 2:
        return exp(prior.mean)
    own = median(_log_gap(first, second) for first, second in zip(rhythm.times, rhythm.times[1:], strict=False))
    return exp((prior.strength * prior.mean + rhythm.n * own) / (prior.strength + rhythm.n))


def surplus(rhythm: Rhythm, prior: RhythmPrior = START) -> float:
    """Log of the last amount against what is usual for the customer: above 0 when she stocked up."""
    amounts = rhythm.amounts
    if not amounts:
        return 0.0
    known = len(amounts) - 1
    usual = (sum(amounts[:-1]) / _AMOUNT_UNIT + _AMOUNT_WEIGHT * prior.amount) / (known + _AMOUNT_WEIGHT)
    return amounts[-1] / _AMOUNT_UNIT - usual


def _coded(amount: float) -> int:
    if not amount > 0.0:
        amount = 1.0
    return min(_MOST_AMOUNT, max(_LEAST_AMOUNT, round(log(amount) * _AMOUNT_UNIT)))


def _days(first: int, second: int) -> float:
    return (second - first) / _DAY_MINUTES


def _log_gap(first: int, second: int) -> float:
    return log(max((second - first) / _DAY_MINUTES, _LEAST_GAP_DAYS))
