"""Customers to try policies on, made without a look at how the learner thinks.

A customer's rates are logit-normal, correlated between channels, about the means of a true segment; three in ten of
the published labels are drawn at random. Some answer SMS only. Rates drift, tire with messages on their channel, and
follow the hour of the day. Mailbox scanners open and click by themselves. Answers come late, some lead to an order,
orders also come by themselves, and each message may cost the consent. Rates are not Beta, and opens depend on the
rate, so a funnel of two independent rates is wrong here too, though clicks do come after opens, as they do in life.

Truth is known here, so a policy is scored by the expected net value of what it sends at the moment it sends it: money
of a response, less cost, less the loss of the consent; the luck of the draw is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import exp, log

import numpy as np

CHANNELS = ("email", "push", "sms")
EMAIL, PUSH, SMS = range(3)
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
START_MS = 1_767_600_000_000
MARGIN = 0.3
COSTS = (0.001, 0.0, 0.04)
#: What an unsubscribe loses: email, push, SMS.
LOSSES = (3.0, 2.0, 3.0)


@dataclass(frozen=True)
class World:
    """The numbers of one world. Spreads are on the logit scale."""

    name: str = "default"
    customers: int = 1000
    decisions: int = 50
    seed: int = 11
    #: Mean click rates of email, push, SMS.
    levels: tuple[float, float, float] = (0.05, 0.07, 0.10)
    segments: int = 4
    segment_spread: float = 0.9
    personal_spread: float = 0.7
    correlation: float = 0.3
    wrong_labels: float = 0.3
    sms_only: float = 0.08
    scanners: float = 0.35
    #: Random walk of each rate per decision; pulled back to the customer's mean by a fiftieth of the way.
    drift: float = 0.05
    #: Share of customers whose channels change places half way.
    upheaval: float = 0.0
    tires: float = 0.08
    hours: float = 0.25
    purchase_after: float = 0.10
    order: float = 33.0
    organic_days: float = 60.0
    hazards: tuple[float, float, float] = (0.0015, 0.002, 0.003)
    days_between: float = 3.5
    nothing: bool = False


#: The worlds that are tried. Changed numbers are the point of each.
WORLDS = {
    "default": World(),
    "sparse": World(name="sparse", levels=(0.02, 0.03, 0.06), days_between=7.0),
    "drifting": World(name="drifting", drift=0.20),
    "upheaval": World(name="upheaval", upheaval=0.5),
    "homogeneous": World(name="homogeneous", personal_spread=0.25, sms_only=0.0),
    "blind_labels": World(name="blind_labels", wrong_labels=1.0),
    "nothing_allowed": World(name="nothing_allowed", nothing=True),
    "tiring": World(name="tiring", tires=0.35, days_between=1.5),
}


@dataclass
class Answer:
    """What comes back, `delay` ms after the send."""

    type: str
    delay: int
    data: dict[str, object] = field(default_factory=dict)


class Customers:
    """The people of a world. Random numbers hang on (customer, decision, channel): the same for every policy."""

    def __init__(self, world: World) -> None:
        self.world = world
        chance = np.random.Generator(np.random.PCG64(world.seed))
        count, steps = world.customers, world.decisions
        self.segment = chance.integers(0, world.segments, count)
        wrong = chance.random(count) < world.wrong_labels
        self.label = np.where(wrong, chance.integers(0, world.segments, count), self.segment)
        means = chance.normal(0, world.segment_spread, (world.segments, 3))
        common = chance.normal(0, 1, (count, 1))
        own = chance.normal(0, 1, (count, 3))
        personal = world.personal_spread * (world.correlation**0.5 * common + (1 - world.correlation) ** 0.5 * own)
        logits = means[self.segment] + personal
        only = chance.random(count) < world.sms_only
        logits[only] += np.array([-2.5, -2.5, 1.0])
        for channel, level in enumerate(world.levels):
            logits[:, channel] += _intercept(logits[:, channel], level)
        walk = np.zeros((steps, count, 3))
        for step in range(1, steps):
            walk[step] = 0.98 * walk[step - 1] + chance.normal(0, world.drift, (count, 3))
        rates = logits[None] + walk
        if world.upheaval:
            moved = chance.random(count) < world.upheaval
            rates[steps // 2 :, moved] = np.roll(rates[steps // 2 :, moved], 1, axis=2)
        #: Click rate by decision, customer and channel, rested and at a neutral hour.
        self.rates = 1 / (1 + np.exp(-rates))
        opens = 1 / (1 + np.exp(-(np.array([-0.7, -1.2]) + 0.6 * rates[:, :, :2] + 0.5 * np.array([2.9, 2.6]))))
        #: Chance of an open, never less than of a click.
        self.opens = np.maximum(opens, np.minimum(0.98, 1.15 * self.rates[:, :, :2]))
        self.scanned = chance.random(count) < world.scanners
        self.hour = chance.uniform(8, 21, count)
        self.convert = world.purchase_after * np.exp(chance.normal(0, 0.3, world.segments))[self.segment]
        jitter = chance.uniform(-0.35, 0.35, (steps, count)) * world.days_between
        days = (np.arange(1, steps + 1)[:, None]) * world.days_between + jitter
        hours = chance.integers(9, 20, (steps, count))
        #: When each decision falls (ms): a day, at an hour of the day.
        self.times = START_MS + np.floor(days).astype(np.int64) * DAY_MS + hours * HOUR_MS
        self.times += chance.integers(0, HOUR_MS, (steps, count))
        # A later decision never comes before an earlier one.
        self.times = np.maximum.accumulate(self.times + np.arange(steps)[:, None], axis=0)
        self._luck = chance.random((steps, count, 3, 8))
        self._normal = chance.normal(0, 1, (steps, count, 3, 3))
        gaps = chance.exponential(world.organic_days * DAY_MS, (count, 64)).astype(np.int64)
        self.organic = START_MS + np.cumsum(gaps, axis=1)
        self.organic_total = world.order * np.exp(chance.normal(-0.18, 0.6, (count, 64)))
        #: Times of the sends on each channel, for tiring.
        self.sent: list[list[list[int]]] = [[[], [], []] for _ in range(count)]

    def value(self, customer: int) -> float:
        """Money one response brings, on average."""
        return float(self.convert[customer]) * self.world.order * MARGIN

    def rate(self, customer: int, decision: int, channel: int, at: int) -> float:
        """The true chance of a response now."""
        hour = (at // HOUR_MS) % 24
        fit = 1 + self.world.hours * np.cos(2 * np.pi * (hour - self.hour[customer]) / 24)
        return float(self.rates[decision, customer, channel] * fit * self._rested(customer, channel, at))

    def hazard(self, customer: int, channel: int, at: int) -> float:
        """The true chance that one message now costs the consent."""
        return min(0.5, self.world.hazards[channel] * exp(0.25 * self._pressure(customer, channel, at)))

    def net(self, customer: int, decision: int, channel: int, at: int) -> float:
        """Expected net value of a message now."""
        return (
            self.rate(customer, decision, channel, at) * self.value(customer)
            - COSTS[channel]
            - self.hazard(customer, channel, at) * LOSSES[channel]
        )

    def answers(self, customer: int, decision: int, channel: int, at: int) -> list[Answer]:
        """What the customer (and her mailbox) does with a message; remembers that it came."""
        luck, normal = self._luck[decision, customer, channel], self._normal[decision, customer, channel]
        rate = self.rate(customer, decision, channel, at)
        lost = luck[2] < self.hazard(customer, channel, at)
        self.sent[customer][channel].append(at)
        made: list[Answer] = []
        if channel == EMAIL and self.scanned[customer]:
            made.append(Answer("message_opened", 2_000 + int(luck[3] * 60_000), {"machine": True}))
            if luck[4] < 0.3:
                made.append(Answer("message_clicked", 5_000 + int(luck[4] * 60_000), {"machine": True}))
        delay = int(exp(log((4.0, 1.0, 0.5)[channel] * HOUR_MS) + 1.2 * normal[0]))
        delay = max(5_000, min(delay, 6 * DAY_MS))
        if channel == SMS:
            responded = luck[0] < rate
        else:
            seen = max(float(self.opens[decision, customer, channel]), rate)
            opened = luck[1] < seen
            responded = opened and luck[0] < rate / seen
            if opened:
                made.append(Answer("message_opened", delay))
        if responded:
            if channel == SMS and luck[5] < 0.4:
                made.append(Answer("reply", delay + 1_000, {"channel": "sms", "text": "yes please"}))
            else:
                made.append(Answer("message_clicked", delay + 1_000))
            if luck[6] < self.convert[customer]:
                total = self.world.order * exp(0.6 * normal[2] - 0.18)
                made.append(
                    Answer("purchase", delay + 600_000 + int(luck[7] * 6 * HOUR_MS), {"total": round(total, 2)})
                )
        if lost:
            made.append(Answer("message_unsubscribed", delay + 30_000))
        return made

    def _pressure(self, customer: int, channel: int, at: int) -> float:
        times = self.sent[customer][channel][-12:]
        return sum(2.0 ** ((time - at) / (3.5 * DAY_MS)) for time in times)

    def _rested(self, customer: int, channel: int, at: int) -> float:
        return exp(-self.world.tires * self._pressure(customer, channel, at))


def _intercept(logits: np.ndarray, level: float) -> float:
    """The shift that gives the mean rate."""
    low, high = -12.0, 12.0
    for _ in range(60):
        middle = (low + high) / 2
        if float(np.mean(1 / (1 + np.exp(-(logits + middle))))) < level:
            low = middle
        else:
            high = middle
    return low


def world_of(name: str, *, seed: int, customers: int, decisions: int = 50) -> World:
    """A named world with another seed and size."""
    return replace(WORLDS[name], seed=seed, customers=customers, decisions=decisions)
