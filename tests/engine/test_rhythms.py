"""Rhythms through the whole step: amounts, what comes back, and what all customers teach the prior."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from worlds import POLICY, at, event, known, program, simulation

from orchestrator.engine.state import RHYTHMS
from orchestrator.learning import pooled, rhythm_priors
from orchestrator.learning.cells import DAY_MS
from orchestrator.learning.rhythm import gap_days, next_due
from orchestrator.testing.simulation import Simulation

REFILL = """
name: Refill
owner: test
trigger: purchase
reentry: always
goal: {event: purchase, within: 30d}
steps:
  - wait_until: 3d before next_due
  - send: hello
"""


def order(number: str, when: datetime, *lines: tuple[str, float], customer: str = "ada") -> dict[str, Any]:
    products = [{"product_id": name, "category": name, "price": 5.0, "quantity": pieces} for name, pieces in lines]
    return event("purchase", customer, when=when, order_id=number, total=10.0, products=products)


def test_a_refunded_order_is_no_point_of_the_rhythm() -> None:
    sim, same = simulation(), simulation()
    for day in (0, 10, 20):
        for one in (sim, same):
            one.publish(order(f"o{day}", at(days=day), ("coffee", 1), ("milk", 1)))
    sim.publish(order("o25", at(days=25), ("coffee", 1)))
    assert sim.customer("ada").rhythms["coffee"].count == 4
    sim.publish(event("order_refunded", when=at(days=26), order_id="o25"))
    mine, other = sim.customer("ada").rhythms["coffee"], same.customer("ada").rhythms["coffee"]
    assert next_due(mine) == pytest.approx(next_due(other), abs=60_000)
    assert mine.count == other.count
    assert sim.customer("ada").rhythms[""].count == 3


def test_a_refund_of_one_category_leaves_the_others() -> None:
    sim = simulation()
    sim.publish(order("o1", at(), ("coffee", 1), ("milk", 1)))
    line = {"product_id": "coffee", "category": "coffee", "price": 5.0, "quantity": 1}
    sim.publish(event("order_refunded", when=at(days=1), order_id="o1", total=5.0, products=[line]))
    rhythms = sim.customer("ada").rhythms
    assert (rhythms["coffee"].count, rhythms["milk"].count, rhythms[""].count) == (0, 1, 1)
    # Told again, nothing more is taken.
    sim.publish(event("order_refunded", when=at(days=2), order_id="o1", total=1.0))
    assert rhythms["milk"].count == 1
    sim.publish(event("order_cancelled", when=at(days=3), order_id="o1"))
    assert (rhythms["milk"].count, rhythms[""].count) == (0, 0)


def test_a_day_with_another_order_of_the_same_stays() -> None:
    sim = simulation()
    sim.publish(order("o1", at(), ("coffee", 1), ("milk", 1)))
    sim.publish(order("o2", at(hours=2), ("coffee", 1)))
    sim.publish(event("order_cancelled", when=at(days=1), order_id="o1"))
    rhythms = sim.customer("ada").rhythms
    assert (rhythms["coffee"].count, rhythms["milk"].count, rhythms[""].count) == (1, 0, 1)


def test_a_returned_purchase_moves_the_reminder() -> None:
    sim = Simulation(program(REFILL, policy=POLICY), seed=1)
    sim.publish(known())
    for day in (0, 30, 35):
        sim.publish(order(f"o{day}", at(days=day), ("coffee", 1)))
    first = sim.customer("ada").runs[0].due
    sim.publish(event("order_refunded", when=at(days=36), order_id="o35"))
    # Back to a month's rhythm, as if she had not tried in between.
    assert sim.customer("ada").runs[0].due > first + 5 * DAY_MS


def test_all_customers_teach_the_prior_and_the_sums_are_theirs() -> None:
    sim = simulation()
    number = 0
    for person in range(12):
        for turn in range(8):
            number += 1
            when = at(days=person + 7 * turn)
            sim.publish(order(f"o{number}", when, ("coffee", 1 + turn % 3), customer=f"c{person}"))
        sim.publish(event("order_cancelled", f"c{person}", when=at(days=200), order_id=f"o{number}"))
    vector = sim.snapshot().sums[pooled.rhythm_key("coffee")]
    people = [rhythm_priors.evidence(sim.customer(f"c{person}").rhythms["coffee"]) for person in range(12)]
    assert vector[: rhythm_priors.XX] == [sum(column) for column in zip(*people, strict=True)][: rhythm_priors.XX]
    # Everybody comes weekly: a newcomer is expected in about a week, not at the start value of five weeks.
    prior = rhythm_priors.RhythmPriors({"coffee": vector}).of("coffee")
    assert gap_days(None, 0.5, prior) < 16
    assert not any(key.startswith("rhythm") for key in pooled.from_fields({b"rhythm\x1fcoffee\x1f99": b"1"}))


def test_what_is_forgotten_leaves_the_sums() -> None:
    sim = simulation()
    for place in range(RHYTHMS + 3):
        for turn in range(2):
            sim.publish(order(f"o{place}-{turn}", at(days=10 * place + turn), (f"kind {place:02}", 1)))
    assert len(sim.customer("ada").rhythms) == RHYTHMS
    vector = sim.snapshot().sums[pooled.rhythm_key("kind 00")]
    assert vector[: rhythm_priors.XX] == [0] * rhythm_priors.XX
    assert sim.snapshot().sums[pooled.rhythm_key("kind 20")][rhythm_priors.K] > 0
