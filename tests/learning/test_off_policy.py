"""Off-policy values: intervals hold the truth at their rate, and nothing is said where the log cannot tell."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.learning.off_policy import LEAST, Choice, evaluate


def log(seed: int, customers: int = 400, each: int = 5, *, off: float = 0.0) -> tuple[list[Choice], float]:
    """A log of two channels with customers who differ, and the true value of the policy in question on it."""
    chance = np.random.default_rng(seed)
    rows, truth = [], 0.0
    for customer in range(customers):
        level = chance.normal(0, 0.5)
        for _ in range(each):
            rates = 1 / (1 + np.exp(-np.array([-2.0, -1.5]) - level - chance.normal(0, 0.3, 2)))
            believed = np.clip(rates + chance.normal(0.05, 0.05, 2), 0.001, 1)
            p = float(np.clip(0.5 + 3 * (believed[0] - believed[1]), 0.1, 0.9))
            logged, asked = np.array([p, 1 - p]), np.array([0.2, 0.8])
            chosen = int(chance.random() > p)
            truth += float(asked @ rates)
            rows.append(
                Choice(
                    str(customer),
                    float(logged[chosen]) * (1 + off),
                    float(asked[chosen]),
                    float(chance.random() < rates[chosen]),
                    float(believed[chosen]),
                    float(asked @ believed),
                )
            )
    return rows, truth / len(rows)


def test_intervals_hold_the_truth_at_their_rate() -> None:
    held = {"ips": 0, "snips": 0, "dr": 0}
    widths = dict.fromkeys(held, 0.0)
    for seed in range(150):
        rows, truth = log(seed)
        verdict = evaluate(rows)
        for name in held:
            estimate = getattr(verdict, name)
            held[name] += estimate.low <= truth <= estimate.high
            widths[name] += estimate.high - estimate.low
    # 95 % of 150 is 142.5; fewer than 134 would come by chance once in a thousand.
    assert all(number >= 134 for number in held.values()), held
    assert widths["dr"] < widths["ips"]


def test_the_policy_that_ran_is_its_own_mean() -> None:
    rows, _ = log(1)
    same = [Choice(r.customer, r.logged, r.logged, r.reward, r.believed, r.believed) for r in rows]
    verdict = evaluate(same)
    assert verdict.ips == verdict.ran
    assert verdict.mean_weight == 1
    assert verdict.gain is not None
    assert verdict.gain.value == pytest.approx(0)


def test_too_little_overlap_is_refused() -> None:
    rows = [Choice(str(i), 0.97, 0.0, 0.0, 0.1, 0.1) for i in range(4_000)]
    rows += [Choice(f"x{i}", 0.03, 1.0, 1.0, 0.1, 0.1) for i in range(int(LEAST) - 1)]
    verdict = evaluate(rows)
    assert verdict.effective == pytest.approx(LEAST - 1)
    assert verdict.dr is None
    assert "199" in verdict.refused
    assert evaluate([]).refused


def test_wrong_propensities_are_noticed() -> None:
    rows, _ = log(2, 2_000, off=0.4)
    assert "average 0.7" in evaluate(rows).refused
