"""Lift: no false alarms however often one looks, known effects are found, what was there before is taken out."""

from __future__ import annotations

from math import log1p

import numpy as np
import pytest

from orchestrator.learning.lift import LEAST_UNITS, Effect, SampleRatio


def run(seed: int, units: int, share: float, effect: float, *, look: bool) -> tuple[bool, Effect]:
    """Customers who buy for a lognormal sum, seldom; whether any look found an effect."""
    chance = np.random.default_rng(seed)
    treated = chance.random(units) < share
    level = chance.lognormal(0.0, 0.8, units)
    rate = 0.08 * level / np.exp(0.32)
    outcome = (chance.random(units) < rate + effect * treated) * chance.lognormal(3.0, 0.6, units)
    made, found = Effect(), False
    for unit in range(units):
        made.add(bool(treated[unit]), share, float(outcome[unit]), log1p(100 * level[unit]))
        if look and unit % 5 == 0:
            interval = made.interval()
            found = found or (interval is not None and interval.sure)
    return found, made


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_peeking_all_the_time_finds_nothing_where_nothing_is(share: float) -> None:
    alarms = sum(run(seed, 2_000, share, 0.0, look=True)[0] for seed in range(80))
    # Nominal 5 % over all looks: 4 of 80. Nine or more would come by chance once in forty.
    assert alarms <= 8


def test_a_known_effect_is_found_and_held_by_the_interval() -> None:
    truth = 0.05 * np.exp(3.0 + 0.18)
    inside = sure = 0
    for seed in range(20):
        interval = run(100 + seed, 6_000, 0.8, 0.05, look=False)[1].interval()
        assert interval is not None
        inside += interval.low <= truth <= interval.high
        sure += interval.sure and interval.estimate > 0
    assert inside >= 18
    assert sure >= 15


def test_what_was_bought_before_narrows_the_interval() -> None:
    chance = np.random.default_rng(7)
    plain, adjusted = Effect(), Effect()
    for _ in range(3_000):
        before = chance.normal()
        treated = bool(chance.random() < 0.5)
        outcome = 2.0 * before + chance.normal() + 0.3 * treated
        plain.add(treated, 0.5, outcome)
        adjusted.add(treated, 0.5, outcome, before)
    one, other = plain.interval(), adjusted.interval()
    assert one is not None
    assert other is not None
    assert other.low < 0.3 < other.high
    # Var(y) = 5 becomes 1.
    assert (other.high - other.low) < 0.5 * (one.high - one.low)


def test_nothing_is_said_of_few() -> None:
    made = Effect()
    for unit in range(LEAST_UNITS * 20):
        made.add(unit % 20 != 0, 0.95, float(unit % 3))
        if made.held < LEAST_UNITS:
            assert made.interval() is None
    assert made.interval() is not None
    # Many customers and hardly a purchase among the held out are few as well.
    rare = Effect()
    for unit in range(20_000):
        rare.add(unit % 10 != 0, 0.9, float(unit % 1_000 in (0, 7)) * (unit < 10_000))
    assert rare.interval() is None


def test_the_sample_ratio_alarms_for_a_wrong_plan_only() -> None:
    chance = np.random.default_rng(3)
    false = 0
    for _ in range(100):
        ratio = SampleRatio()
        for _ in range(1_000):
            ratio.add(bool(chance.random() < 0.9), 0.9)
            false += ratio.evidence() >= 1000
    assert false == 0
    wrong = SampleRatio()
    for _ in range(3_000):
        wrong.add(bool(chance.random() < 0.94), 0.9)
    assert wrong.alarm()
    assert SampleRatio().evidence() == 1.0
