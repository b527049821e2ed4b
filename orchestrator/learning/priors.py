"""What is believed of a customer before her own answers: priors from the pooled sums, by streaming empirical Bayes.

There are three tables of rates for each channel: responses given sends, opens given sends, responses given opens. The
rate of a customer is taken to be Beta(m κ, (1-m) κ). The mean m is pooled, trials N and successes S, and shrunk step by
step: start value → channel over all → the label that tells most → the combination of labels.

How strong the prior is, κ, cannot be read off the spread of the customers' counts (the method of moments for the
beta-binomial): the policy sends more to who answered, which bends the counts so far that the customers look alike. What
no policy can bend is the next answer given the past. With a customer's past n trials and s successes let
x = (s - n m) / (κ₀ + n), κ₀ the reference; her next answer y has E[y - m] = (κ₀ + n) / (κ + n) · x. So the slope of
y - m on x, Σ x (y - m) / Σ x², a martingale estimate under any policy that looks only backwards, tells κ:

    κ = (κ₀ + n̄) / slope - n̄,   n̄ = Σ n x² / Σ x²

Its sums change in O(1): Σ x², Σ n x² and -Σ m x at a send, Σ x at an answer. Recent behaviour is what it is fitted to,
so customers who drift weaken their own past by it.

A prior says how unsure its own mean is. That doubt is shared by all customers of a group and shrinks with all their
answers, so exploring it is cheap: the policy draws from all of it, and from only a part of the doubt about one
customer.

Money of a response is pooled, never personal: purchases are too rare. It is shrunk channel by channel to the value over
all channels, by as many pseudo-responses as its spread asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.learning import cells
from orchestrator.learning.cells import UNIT
from orchestrator.learning.pooled import (
    ANSWER_WIDTH,
    CAME,
    CELL_WIDTH,
    DELAYS,
    EXPECTED,
    LOST,
    RESPONSES,
    SENDS,
    SEPARATOR,
    SLOPES,
    SQUARE_UNIT,
    SQUARES,
    VALUE,
    Snapshot,
    add,
    answer_key,
    labels_of,
    plain_label,
    text_key,
)
from orchestrator.learning.rhythm import RhythmPrior
from orchestrator.learning.rhythm_priors import RhythmPriors
from orchestrator.learning.send_time import common_curve

#: Start means of responses, opens, responses after an open; what is usual for triggered messages.
_START = {"email": (0.05, 0.30, 0.15), "sms": (0.08, 0.30, 0.25), "push": (0.05, 0.15, 0.35)}
_START_UNKNOWN = (0.05, 0.30, 0.15)
#: Pseudo-trials: start value against the channel, and the channel against a group.
_WEIGHT_START = 60.0
_WEIGHT_ABOVE = 30.0
#: The strength against which the slope is measured, and how unsure the slope is at the start (standard deviation).
REFERENCE_STRENGTH = 16.0
_SLOPE_SPREAD = 0.5
_LEAST_STRENGTH, _MOST_STRENGTH = 2.0, 200.0
#: How far values of a response differ between channels and groups, as a share of their mean.
_VALUE_SPREAD = 0.3
_LEAST_VALUE_WEIGHT, _MOST_VALUE_WEIGHT = 30.0, 3_000.0
#: One consent in 300 messages before anything is known; a group is shrunk with 600 messages.
_HAZARD_LOST, _HAZARD_SENDS, _HAZARD_WEIGHT = 1.0, 300.0, 600.0
#: Pseudo-responses of the start distribution of delays, spread evenly from a minute to two days.
_DELAY_WEIGHT = 24.0
_DELAY_STEPS = range(1, 13)
_PRESSURE_WEIGHT = 100.0

_TABLES = (
    (cells.K, cells.N, cells.S),
    (cells.OPEN_K, cells.OPEN_N, cells.OPEN_S),
    (cells.AFTER_K, cells.OPEN_S, cells.AFTER_S),
)
_NO_ONE: Sequence[int] = (0,) * CELL_WIDTH
_NO_ANSWERS: Sequence[int] = (0,) * ANSWER_WIDTH


@dataclass(frozen=True, slots=True)
class RatePrior:
    """Beta(mean · strength, (1 - mean) · strength); `variance` is that of the mean itself."""

    mean: float
    strength: float
    variance: float = 0.0

    @property
    def a(self) -> float:
        return self.mean * self.strength

    @property
    def b(self) -> float:
        return (1.0 - self.mean) * self.strength


def lean(prior: RatePrior, trials: float, successes: float) -> int:
    """How far a customer's own answers pull her rate from the prior mean, at the reference strength, in thousandths."""
    return round(1000.0 * (successes - trials * prior.mean) / (REFERENCE_STRENGTH + trials))


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of one channel for one group of customers."""

    response: RatePrior
    #: Opens given sends, and responses given opens, where human opens can be told.
    opens: RatePrior
    after_open: RatePrior
    #: Money one response brings, in the policy's currency.
    value: float
    #: Chance that one message costs the consent.
    hazard: float
    #: Relative variance of `value`.
    value_doubt: float = 0.0


class Priors:
    """A numbered snapshot of the shared beliefs. A decision uses the last one its partition's log carried.

    Equal snapshots give equal beliefs; what was computed once is kept.
    """

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        """Without a snapshot: the start values."""
        self.snapshot = snapshot or Snapshot(0, {})
        self.version = str(self.snapshot.number) if snapshot else "start"
        #: Sums of all customers (""), of each label and of each group, by channel.
        self._cells: dict[str, list[int]] = {}
        self._channels: set[str] = set()
        self._beliefs: dict[tuple[str, str, float], Belief] = {}
        self._told: dict[str, str] = {}
        self._arrived: dict[str, tuple[float, ...]] = {}
        self._rested: dict[str, tuple[float, ...]] = {}
        self._texts: dict[str, list[int]] = {}
        rhythms: dict[str, list[int]] = {}
        hours: list[int] | None = None
        for key, vector in self.snapshot.sums.items():
            kind, _, rest = key.partition(SEPARATOR)
            if kind == "rhythm":
                rhythms[rest] = vector
            elif kind == "hours":
                hours = vector
            elif kind == "text":
                add(self._texts, rest.rpartition(SEPARATOR)[2], vector)
            elif kind == "cell":
                group, _, channel = rest.partition(SEPARATOR)
                self._channels.add(channel)
                for name in dict.fromkeys(("", *labels_of(group), group)):
                    add(self._cells, f"{name}{SEPARATOR}{channel}", vector)
        self._rhythms = RhythmPriors(rhythms)
        #: Everybody's curve of answers over the day.
        self.hours = common_curve(hours)

    def _of(self, name: str, channel: str) -> Sequence[int]:
        return self._cells.get(f"{name}{SEPARATOR}{channel}", _NO_ONE)

    def rhythm(self, category: str) -> RhythmPrior:
        """How buyers of a category come back; "" for orders over all categories."""
        return self._rhythms.of(plain_label(category) if category else "")

    def belief(self, group: str, channel: str, start_value: float) -> Belief:
        """The belief for a customer's group; `start_value` is what a response is worth before anything is learned."""
        key = (group, channel, start_value)
        known = self._beliefs.get(key)
        if known is None:
            known = self._beliefs[key] = self._compute(group, channel, start_value)
        return known

    def _compute(self, group: str, channel: str, start_value: float) -> Belief:
        path = self._path(group)
        start = _START.get(channel, _START_UNKNOWN)
        rates = [self._rate(path, channel, table, start[table]) for table in range(3)]
        value, doubt = self._value(path, channel, start_value)
        return Belief(rates[0], rates[1], rates[2], value, self._hazard(path, channel), doubt)

    def _path(self, group: str) -> list[str]:
        """From all customers to the group: "", the label that tells most, the group."""
        labels = labels_of(group)
        if len(labels) <= 1:
            return ["", group] if group else [""]
        told = self._told.get(group)
        if told is None:
            told = self._told[group] = max(labels, key=lambda label: (self._telling(label), label))
        return ["", told, group]

    def _telling(self, label: str) -> float:
        """How far a label's rates, shrunk, lie from everybody's, in variances of one answer."""
        far = 0.0
        for channel in self._channels:
            start = _START.get(channel, _START_UNKNOWN)[0]
            everybody = _mean(self._of("", channel), _TABLES[0], start, _WEIGHT_START)
            own = _mean(self._of(label, channel), _TABLES[0], everybody, _WEIGHT_ABOVE)
            far += (own - everybody) ** 2 / (everybody * (1.0 - everybody))
        return far

    def _rate(self, path: Sequence[str], channel: str, table: int, mean: float) -> RatePrior:
        places = _TABLES[table]
        strength = self._strength(channel, table, mean)
        weight, variance = _WEIGHT_START, 0.0
        for name in path:
            vector = self._of(name, channel)
            mean = _mean(vector, places, mean, weight)
            count, trials = vector[places[0]] / UNIT, vector[places[1]] / UNIT
            # Trials of one customer repeat each other.
            alike = 1.0 + max(0.0, trials / count - 1.0) / (strength + 1.0) if count > 0.0 else 1.0
            variance = mean * (1.0 - mean) / (trials / alike + weight)
            weight = _WEIGHT_ABOVE
        return RatePrior(mean, strength, variance)

    def _strength(self, channel: str, table: int, start: float) -> float:
        """κ of a channel from the slope of its table, which is 1 at the reference until something is known."""
        squares, products, trials = (
            by / UNIT for by in self.snapshot.sums.get(answer_key(channel), _NO_ANSWERS)[SLOPES + 3 * table :][:3]
        )
        mean = _mean(self._of("", channel), _TABLES[table], start, _WEIGHT_START)
        weight = mean * (1.0 - mean) / _SLOPE_SPREAD**2
        slope = (products + weight) / (squares + weight)
        sends = (trials + weight) / (squares + weight)
        if slope <= 0.0:
            return _MOST_STRENGTH
        return min(_MOST_STRENGTH, max(_LEAST_STRENGTH, (REFERENCE_STRENGTH + sends) / slope - sends))

    def _value(self, path: Sequence[str], channel: str, start_value: float) -> tuple[float, float]:
        everything = [0] * CELL_WIDTH
        for name in self._channels:
            for place, by in enumerate(self._of("", name)):
                everything[place] += by
        # Where no purchase ever followed a response, the response itself is what the messages are for.
        if not everything[VALUE]:
            return start_value, 0.0
        responses = everything[RESPONSES] / UNIT
        count = 0.0
        mean = (everything[VALUE] / UNIT + 30.0 * start_value) / (responses + 30.0)
        spread = everything[SQUARES] / SQUARE_UNIT / max(1.0, responses) / (mean * mean) - 1.0
        weight = min(_MOST_VALUE_WEIGHT, max(_LEAST_VALUE_WEIGHT, spread / _VALUE_SPREAD**2))
        for name in path:
            vector = self._of(name, channel)
            count = vector[RESPONSES] / UNIT
            mean = (vector[VALUE] / UNIT + weight * mean) / (count + weight)
        return mean, _VALUE_SPREAD**2 * weight / (weight + count)

    def _hazard(self, path: Sequence[str], channel: str) -> float:
        everybody = self._of("", channel)
        hazard = (everybody[LOST] / UNIT + _HAZARD_LOST) / (everybody[SENDS] / UNIT + _HAZARD_SENDS)
        for name in path[1:]:
            vector = self._of(name, channel)
            hazard = (vector[LOST] / UNIT + _HAZARD_WEIGHT * hazard) / (vector[SENDS] / UNIT + _HAZARD_WEIGHT)
        return min(1.0, hazard)

    def arrived(self, channel: str, age: int) -> float:
        """The share of a channel's responses that have come by `age` ms after the send."""
        steps = self._arrived.get(channel)
        if steps is None:
            counted = self.snapshot.sums.get(answer_key(channel), _NO_ANSWERS)[:DELAYS]
            even = _DELAY_WEIGHT / len(_DELAY_STEPS)
            each = [by / UNIT + (even if step in _DELAY_STEPS else 0.0) for step, by in enumerate(counted)]
            total, so_far, reached = sum(each), 0.0, [0.0]
            for by in each:
                so_far += by
                reached.append(so_far / total)
            steps = self._arrived[channel] = tuple(reached)
        minutes = age / 60_000
        if minutes <= 0.0:
            return 0.0
        step = int(minutes).bit_length()
        if step >= DELAYS - 1:
            return 1.0
        first = float(1 << (step - 1)) if step else 0.0
        return steps[step] + (steps[step + 1] - steps[step]) * (minutes - first) / (first or 1.0)

    def rested(self, channel: str, step: int) -> float:
        """How responses at this step of pressure compare with what was expected of them; 1 while nothing is known."""
        factors = self._rested.get(channel)
        if factors is None:
            vector = self.snapshot.sums.get(answer_key(channel), _NO_ANSWERS)
            expected = [by / UNIT for by in vector[EXPECTED:CAME]]
            came = [by / UNIT for by in vector[CAME:SLOPES]]
            level = sum(came) / sum(expected) if sum(came) > 0.0 and sum(expected) > 0.0 else 1.0
            factors = self._rested[channel] = tuple(
                min(2.0, max(0.2, (c / level + _PRESSURE_WEIGHT) / (e + _PRESSURE_WEIGHT)))
                for c, e in zip(came, expected, strict=True)
            )
        return factors[step]

    def text(self, group: str, message: str) -> tuple[float, float, float, float]:
        """(sends, responses) of a message in a group, then over all customers."""
        own = self.snapshot.sums.get(text_key(group, message), (0, 0))
        everybody = self._texts.get(message, (0, 0))
        return own[0] / UNIT, own[1] / UNIT, everybody[0] / UNIT, everybody[1] / UNIT


def _mean(vector: Sequence[int], places: tuple[int, int, int], above: float, weight: float) -> float:
    _, n, s = places
    return (vector[s] / UNIT + weight * above) / (vector[n] / UNIT + weight)
