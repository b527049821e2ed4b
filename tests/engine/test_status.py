"""Draining lets runs go on; stopping ends them. And a bare event name asks what came during a wait."""

from __future__ import annotations

from worlds import at, bought, event, known, program, simulation

JOURNEY = """
name: S
owner: test
status: {status}
trigger: purchase
reentry: always
steps:
  - wait: 1d
  - send: hello
"""
CART = """
name: C
owner: test
trigger: cart_add
reentry: always
steps:
  - {wait_for: cart_add, up_to: 1d}
  - {send: hello, if: not cart_add}
  - {send: bye, if: cart_add.product_id}
"""


def test_draining_lets_nobody_in_and_those_inside_go_on() -> None:
    sim = simulation(JOURNEY.format(status="live"))
    sim.publish(known())
    sim.publish(bought("o1"))
    sim.go_live(program(JOURNEY.format(status="draining")))
    assert len(sim.advance(at(days=2))) == 1
    sim.publish(bought("o2", when=at(days=3)))
    assert sim.advance(at(days=9)) == []
    assert sim.counts["entered:journey"] == 1


def test_stopping_ends_runs_and_sends_nothing_more() -> None:
    sim = simulation(JOURNEY.format(status="live"))
    sim.publish(known())
    sim.publish(bought("o1"))
    sim.go_live(program(JOURNEY.format(status="stopped")))
    assert sim.advance(at(days=9)) == []
    assert sim.counts["ended:journey:stopped"] == 1
    assert not sim.customer("ada").runs


def test_the_event_that_started_a_run_is_not_one_that_came_during_its_wait() -> None:
    sim = simulation(CART)
    sim.publish(known())
    sim.publish(event("cart_add", product_id="p"))
    # Nothing more was added: the first message goes. Its own trigger's fields can still be read.
    assert [send.message for send in sim.advance(at(days=2))] == ["hello", "bye"]
