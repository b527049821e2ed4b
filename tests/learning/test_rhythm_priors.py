"""Priors of categories from sums: they find what made the data, and add up exactly whatever the order."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from orchestrator.learning import rhythm_priors
from orchestrator.learning.cells import DAY_MS
from orchestrator.learning.rhythm import START, Rhythm, surplus, unexplained
from orchestrator.learning.rhythm_priors import RhythmPriors, fit_rhythm_priors


def buyers(
    count: int, mean: float, spread: float, inner: float, *, seed: int, slope: float = 0.0, orders: int = 9
) -> list[int]:
    """Sums of customers whose log gaps are normal, with means spread about `mean`, as the engine adds them."""
    chance = np.random.default_rng(seed)
    vector = [0] * rhythm_priors.WIDTH
    for _ in range(count):
        own = chance.normal(mean, spread)
        rhythm, at, stocked = Rhythm(), 20_000.0, 0.0
        for _ in range(orders):
            at += exp(own + slope * stocked + chance.normal(0, inner))
            amount = float(chance.choice([1, 1, 1, 4]))
            rhythm_priors.add_amount(vector, surplus(rhythm), unexplained(rhythm, round(at * DAY_MS)), amount)
            rhythm_priors.add_evidence(vector, rhythm, -1)
            rhythm.bought(round(at * DAY_MS), amount)
            rhythm_priors.add_evidence(vector, rhythm, 1)
            stocked = log(amount)
    return vector


def test_the_prior_finds_what_made_the_data() -> None:
    found = fit_rhythm_priors({"coffee": buyers(600, 3.4, 0.5, 0.4, seed=1)})["coffee"]
    assert found.mean == pytest.approx(3.4, abs=0.06)
    assert found.scale / (found.shape - 1) == pytest.approx(0.4**2, rel=0.12)
    assert found.scale / (found.shape - 1) / found.strength == pytest.approx(0.5**2, rel=0.25)
    # All have the same variance: the shape says so.
    assert found.shape > 10
    assert found.slope < 0.08


def test_stocking_up_is_learned() -> None:
    found = fit_rhythm_priors({"coffee": buyers(300, 3.0, 0.3, 0.3, seed=2, slope=0.7)})["coffee"]
    assert found.slope == pytest.approx(0.6, abs=0.15)


def test_few_customers_are_shrunk_to_all_categories_and_those_to_the_start() -> None:
    priors = RhythmPriors({"tea": buyers(500, 2.0, 0.3, 0.3, seed=3), "salt": buyers(2, 4.5, 0.1, 0.1, seed=4)})
    assert priors.of("tea").mean == pytest.approx(2.0, abs=0.1)
    assert 2.1 < priors.of("salt").mean < 4.0
    assert priors.of("never bought") == priors.any_category
    assert priors.of("") == START
    assert RhythmPriors({}).of("tea").mean == pytest.approx(START.mean)


def test_nobody_with_two_purchases_leaves_the_start() -> None:
    vector = [0] * rhythm_priors.WIDTH
    rhythm_priors.add_amount(vector, 0.0, None, 2.0)
    found = rhythm_priors.fit(vector, START)
    assert (found.mean, found.shape, found.slope) == pytest.approx((START.mean, START.shape, 0.0))
    assert found.strength == pytest.approx(START.strength)
    assert 0 < found.amount < log(2)
