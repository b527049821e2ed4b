"""Does it help? The difference between who was treated and who was held out, valid at every look.

A unit is a customer; chance, not behaviour, put her into the holdout, with a known probability. Each unit becomes one
number whose mean is the effect (augmented inverse probability weighting, Robins, Rotnitzky, Zhao 1994):

    f1 - f0 + A / p (y - f1) - (1 - A) / (1 - p) (y - f0)

A says whether she was treated, p was the probability of it, y is what came of it, and f1, f0 are what was expected of
her in either arm, from her purchases before: a line through the units *before* her, so it cannot know her outcome. That
is CUPED (Deng, Xu, Kohavi, Walker 2013) done in passing: it takes out of y what was there already, and biases nothing.

The interval may be looked at as often as one likes and acted upon at any moment: an asymptotic confidence sequence
(Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, "Time-uniform central limit theory and asymptotic confidence
sequences", Annals of Statistics 52(6), theorem 2.2). With n units, standard deviation s, and r set by the size at which
it is to be tightest:

    mean ± s sqrt(2 (n r² + 1) / (n² r²) log(sqrt(n r² + 1) / alpha))

"Asymptotic" is a promise about large n, and a holdout is small: while few of it have bought, s is too small by chance
and the first looks would cry wolf. So nothing is said before LEAST_EVENTS outcomes of either arm are other than
nothing, and s² is at least what it would be if the smaller arm varied like the larger one, mixed in as LENT units.

The sample ratio is watched by a sequential test (Lindon, Malek 2022, "Anytime-valid inference for multinomial count
data"): the Bayes factor of any other ratio against the planned one is a martingale while the plan holds, so it passes
1 / alpha with probability alpha at most, ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, lgamma, log, sqrt

#: The number of units for which the interval is narrowest.
TIGHTEST = 5_000
#: Before so many units of either arm, and so many of them with an outcome, nothing is said: see above.
LEAST_UNITS = 30
LEAST_EVENTS = 15
LENT = 200.0
#: Units of an arm before its line is trusted; until then its mean, before that nothing.
_LINE_UNITS = 20
#: The other ratios that the sample-ratio test thinks of: a Beta around the plan, worth this many units.
_RATIO_WEIGHT = 200.0


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the interval that holds the truth at all times with probability `level`."""

    estimate: float
    low: float
    high: float
    level: float

    @property
    def sure(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0.0 or self.high < 0.0


@dataclass(slots=True)
class _Line:
    """Least squares of one arm, one unit at a time."""

    n: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    #: Units whose outcome was not nothing; squares of what had not been expected.
    events: int = 0
    missed: float = 0.0

    def at(self, x: float) -> float:
        """What is expected at x."""
        if self.n == 0:
            return 0.0
        if self.n < _LINE_UNITS or self.xx <= 0.0:
            return self.y
        # One more unit at the mean's spread steadies the slope.
        return self.y + self.xy / (self.xx * (1.0 + 1.0 / self.n)) * (x - self.x)

    def add(self, x: float, y: float, expected: float) -> None:
        self.n += 1
        self.events += y != 0.0
        self.missed += (y - expected) ** 2
        off = x - self.x
        self.x += off / self.n
        self.y += (y - self.y) / self.n
        self.xx += off * (x - self.x)
        self.xy += off * (y - self.y)


@dataclass(slots=True)
class Effect:
    """The mean effect over units that come one by one, in the order in which they were exposed."""

    treated: int = 0
    held: int = 0
    _mean: float = 0.0
    _squares: float = 0.0
    _lines: tuple[_Line, _Line] = field(default_factory=lambda: (_Line(), _Line()))
    #: Sums of one over the chance of being held out, and of being treated.
    _inverse: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def add(self, treated: bool, chance: float, outcome: float, before: float = 0.0) -> None:
        """One unit: its arm, the `chance` (0 to 1, both excluded) of being treated, its outcome; `before`: what was
        known of it before, for instance the logarithm of what it had spent."""
        held_line, treated_line = self._lines
        f0, f1 = held_line.at(before), treated_line.at(before)
        number = f1 - f0
        if treated:
            self.treated += 1
            number += (outcome - f1) / chance
            treated_line.add(before, outcome, f1)
        else:
            self.held += 1
            number -= (outcome - f0) / (1.0 - chance)
            held_line.add(before, outcome, f0)
        self._inverse[0] += 1.0 / (1.0 - chance)
        self._inverse[1] += 1.0 / chance
        off = number - self._mean
        self._mean += off / (self.treated + self.held)
        self._squares += off * (number - self._mean)

    def interval(self, level: float = 0.95) -> Interval | None:
        """The effect per unit; None while too few units are in."""
        n = self.treated + self.held
        if min(self.treated, self.held) < LEAST_UNITS or min(line.events for line in self._lines) < LEAST_EVENTS:
            return None
        half = sqrt(max(self._squares / n, self._spread(n))) * _width(n, 1.0 - level)
        return Interval(self._mean, self._mean - half, self._mean + half, level)

    def _spread(self, n: int) -> float:
        """The variance of a unit's number, when the smaller arm is thought to vary like the larger one until it has
        shown enough."""
        held, treated = (line.missed / line.n for line in self._lines)
        if self.held < self.treated:
            held = (held * self.held + LENT * treated) / (self.held + LENT)
        else:
            treated = (treated * self.treated + LENT * held) / (self.treated + LENT)
        return (held * self._inverse[0] + treated * self._inverse[1]) / n


def _width(n: int, alpha: float) -> float:
    square = (-2.0 * log(alpha) + log(-2.0 * log(alpha)) + 1.0) / TIGHTEST
    return sqrt(2.0 * (n * square + 1.0) / (n * n * square) * log(sqrt(n * square + 1.0) / alpha))


@dataclass(slots=True)
class SampleRatio:
    """Counts of both arms for every planned chance of treatment that was in force."""

    counts: dict[float, list[int]] = field(default_factory=dict)

    def add(self, treated: bool, chance: float) -> None:
        self.counts.setdefault(chance, [0, 0])[int(treated)] += 1

    def evidence(self) -> float:
        """How many times likelier the counts are under some other ratio than under the planned one."""
        total = 0.0
        for chance, (held, treated) in self.counts.items():
            a, b = _RATIO_WEIGHT * chance, _RATIO_WEIGHT * (1.0 - chance)
            total += _log_beta(a + treated, b + held) - _log_beta(a, b)
            total -= treated * log(chance) + held * log(1.0 - chance)
        return exp(min(700.0, total))

    def alarm(self, alpha: float = 0.001) -> bool:
        """Whether the arms cannot have come about as planned. False alarms: `alpha` at most, over all looks."""
        return self.evidence() >= 1.0 / alpha


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
