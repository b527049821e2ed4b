"""One event, one customer: what follows, and in which order."""

from __future__ import annotations

import pytest
from worlds import T0, at, bought, event, known, simulation

FOLLOW = """
name: Follow up
owner: test
trigger: purchase
reentry: {reentry}
{more}
steps:
{steps}
"""


def journey(steps: str, *, reentry: str = "always", more: str = "") -> str:
    return FOLLOW.format(reentry=reentry, more=more, steps=steps)


WAIT_SEND = "  - wait: 2h\n  - send: hello\n"


def test_a_purchase_is_followed_up_two_hours_later() -> None:
    sim = simulation(journey(WAIT_SEND))
    sim.publish(known())
    assert sim.publish(bought("o1")) == []
    assert sim.advance(at(hours=1.99)) == []
    (send,) = sim.advance(at(hours=2))
    assert (send.customer, send.journey, send.message, send.at) == ("ada", "journey", "hello", at(hours=2))
    assert 0 < send.propensity <= 1
    assert send.reasons


def test_the_same_event_id_counts_once() -> None:
    sim = simulation(journey(WAIT_SEND))
    sim.publish(known())
    first = {**bought("o1"), "id": "e1"}
    sim.publish(first)
    sim.publish(first)
    assert sim.customer("ada").orders == 1
    assert sim.counts["duplicates"] == 1


def test_the_same_event_id_from_another_source_is_another_event() -> None:
    sim = simulation(journey(WAIT_SEND))
    sim.publish({**event("view", product_id="p"), "id": "e1", "source": "web"})
    sim.publish({**event("view", product_id="p"), "id": "e1", "source": "app"})
    assert "duplicates" not in sim.counts


def test_a_second_event_for_an_order_updates_it_and_triggers_nothing() -> None:
    sim = simulation(journey(WAIT_SEND, reentry="always"))
    sim.publish(known())
    sim.publish(bought("o1", total=20))
    sim.advance(at(days=1))
    sim.publish(bought("o1", total=35, when=at(days=1)))
    ada = sim.customer("ada")
    assert (ada.orders, ada.revenue) == (1, 35)
    assert sim.counts["entered:journey"] == 1


def test_a_cancelled_order_is_taken_out_and_its_late_copy_stays_out() -> None:
    sim = simulation(journey(WAIT_SEND))
    sim.publish(bought("o1", total=20))
    sim.publish(event("order_cancelled", order_id="o1", when=at(hours=1)))
    sim.publish({**bought("o1", total=20, when=at(hours=2)), "id": "again"})
    assert sim.customer("ada").orders == 0


def test_a_purchase_ends_one_run_by_its_goal_and_starts_the_next() -> None:
    goal = "goal: {event: purchase, within: 14d, value: order.revenue}"
    sim = simulation(journey("  - send: hello\n  - wait: 5d\n", more=goal))
    sim.publish(known())
    sim.publish(bought("o1"))
    sim.publish(bought("o2", when=at(days=1), total=50))
    kinds = [(d.kind, d.reason, d.converted, d.value) for d in sim.decisions]
    assert kinds == [
        ("entered", "", False, 0),
        ("sent", "", False, 0),
        ("ended", "goal", True, 50),
        ("entered", "", False, 0),
        ("sent", "", False, 0),
    ]


def test_a_goal_outside_its_window_ends_the_run_without_a_conversion() -> None:
    goal = "goal: {event: purchase, within: 1d}"
    sim = simulation(journey("  - send: hello\n  - wait: 5d\n", more=goal))
    sim.publish(known())
    sim.publish(bought("o1"))
    sim.publish(bought("o2", when=at(days=3)))
    ended = [d for d in sim.decisions if d.kind == "ended"]
    assert [(d.reason, d.converted) for d in ended] == [("goal", False)]


def test_the_goal_of_the_same_category_is_not_met_by_another() -> None:
    goal = "goal: {event: purchase, where: {product.category: same}, within: 14d}"
    sim = simulation(journey("  - wait: 5d\n", reentry="never", more=goal))
    sim.publish(bought("o1", category="coffee"))
    sim.publish(bought("o2", category="tea", when=at(days=1)))
    assert sim.customer("ada").runs
    sim.publish(bought("o3", category="coffee", when=at(days=2)))
    assert not sim.customer("ada").runs


@pytest.mark.parametrize(
    ("reentry", "gap_days", "entered"),
    [("never", 10, 1), ("always", 10, 2), ("after 5d", 10, 2), ("after 20d", 10, 1)],
)
def test_reentry(reentry: str, gap_days: int, entered: int) -> None:
    sim = simulation(journey("  - wait: 1h\n", reentry=reentry))
    sim.publish(bought("o1"))
    sim.publish(bought("o2", when=at(days=gap_days)))
    assert sim.counts["entered:journey"] == entered


def test_a_trigger_while_inside_is_ignored_and_counted() -> None:
    sim = simulation(journey("  - wait: 5d\n"))
    sim.publish(bought("o1"))
    sim.publish(bought("o2", when=at(days=1)))
    assert sim.counts["entered:journey"] == 1
    assert sim.counts["ignored:journey:inside"] == 1


def test_an_exit_event_leaves_without_success() -> None:
    sim = simulation(journey("  - wait: 5d\n  - send: hello\n", more="exit_when: [order_refunded]"))
    sim.publish(known())
    sim.publish(bought("o1"))
    sim.publish(event("order_refunded", order_id="o1", when=at(days=1)))
    assert sim.advance(at(days=9)) == []
    assert sim.counts["ended:journey:order_refunded"] == 1


def test_the_audience_is_checked_at_entry() -> None:
    sim = simulation(journey(WAIT_SEND, more="audience: {customer.orders: at least 2}"))
    sim.publish(known())
    sim.publish(bought("o1"))
    assert "entered:journey" not in sim.counts
    sim.publish(bought("o2", when=at(days=1)))
    assert sim.counts["entered:journey"] == 1


def test_a_holdout_decides_and_sends_nothing() -> None:
    sim = simulation(journey(WAIT_SEND, more="holdout: 50%"))
    for number in range(200):
        name = f"c{number}"
        sim.publish(known(name))
        sim.publish(bought(f"o{number}", name))
    sends = sim.advance(at(days=1))
    withheld = [d for d in sim.decisions if d.kind == "withheld"]
    assert len(sends) + len(withheld) == 200
    assert 70 <= len(withheld) <= 130
    assert all(d.reason == "holdout" and d.silent for d in withheld)
    assert not {d.customer for d in withheld} & {send.customer for send in sends}


def test_a_late_event_is_applied_now() -> None:
    """An event older than the clock cannot put a wait into the past."""
    sim = simulation(journey(WAIT_SEND))
    sim.publish(known())
    sim.advance(at(days=10))
    sim.publish(bought("o1", when=T0))
    assert sim.advance(at(days=10, hours=1)) == []
    (send,) = sim.advance(at(days=10, hours=2))
    assert send.at == at(days=10, hours=2)


def test_other_seeds_give_other_draws_and_the_same_seed_the_same() -> None:
    def channels(seed: int) -> list[str]:
        sim = simulation(journey("  - send: hello\n"), seed=seed)
        for number in range(60):
            sim.publish(known(f"c{number}"))
            sim.publish(bought(f"o{number}", f"c{number}"))
        return [d.channel for d in sim.decisions if d.kind == "sent"]

    assert channels(1) == channels(1)
    assert channels(1) != channels(2)
