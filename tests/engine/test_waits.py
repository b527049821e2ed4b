"""The truth table of waits: what ends them, when, and what they leave behind."""

from __future__ import annotations

from datetime import timedelta

import pytest
from worlds import T0, at, bought, event, known, simulation

HEAD = "name: W\nowner: test\ntrigger: purchase\nreentry: always\nsteps:\n"


def waiting(steps: str):  # type: ignore[no-untyped-def]
    sim = simulation(HEAD + steps)
    sim.publish(known())
    sim.publish(bought("o1"))
    return sim


def test_wait_restarts_at_each_event_it_names() -> None:
    sim = waiting("  - {wait: 2h, after_last: view}\n  - send: hello\n")
    sim.publish(event("view", product_id="p", when=at(hours=1)))
    assert sim.advance(at(hours=2.5)) == []
    assert len(sim.advance(at(hours=3))) == 1


@pytest.mark.parametrize(
    ("when", "sends"),
    [
        (at(hours=1), 0),  # after the wait began: the reply ends it, the branch sees it
        (at(days=3) - timedelta(milliseconds=1), 0),  # the last moment
        (at(days=3), 0),  # at the very time: published before the tick that fires, so it counts
        (at(days=3, minutes=1), 1),  # after: the limit came first
    ],
)
def test_the_first_of_event_and_limit_ends_a_wait_for(when, sends: int) -> None:  # type: ignore[no-untyped-def]
    sim = waiting("  - {wait_for: cart_add, up_to: 3d}\n  - {send: hello, if: not cart_add}\n")
    made = sim.publish(event("cart_add", when=when, product_id="p"))
    made += sim.advance(at(days=4))
    assert len(made) == sends


def test_a_reply_answers_this_runs_message_only() -> None:
    steps = "  - send: hello\n  - {wait_for: reply, up_to: 3d}\n  - {send: bye, if: not reply}\n"
    sim = simulation(HEAD + steps)
    sim.publish(known())
    (send,) = sim.publish(bought("o1"))
    sim.publish(event("reply", channel=send.channel, text="hm", in_reply_to="another", when=at(hours=1)))
    assert len(sim.advance(at(days=3))) == 1
    sim.publish(bought("o2", when=at(days=10)))
    again = sim.decisions[-1].id
    sim.publish(event("reply", channel="email", text="yes", in_reply_to=again, when=at(days=10, hours=1)))
    assert sim.advance(at(days=20)) == []


def test_a_machine_click_is_no_response() -> None:
    steps = "  - send: hello\n  - {wait_for: response, up_to: 1d}\n  - {send: bye, if: not response}\n"
    sim = simulation(HEAD + steps)
    sim.publish(known())
    (send,) = sim.publish(bought("o1"))
    sim.publish(event("message_clicked", send_id=send.send_id, machine=True, when=at(hours=1)))
    assert len(sim.advance(at(days=2))) == 1


def test_a_click_is_a_response() -> None:
    steps = "  - send: hello\n  - {wait_for: response, up_to: 1d}\n  - {send: bye, if: not response}\n"
    sim = simulation(HEAD + steps)
    sim.publish(known())
    (send,) = sim.publish(bought("o1"))
    sim.publish(event("message_clicked", send_id=send.send_id, when=at(hours=1)))
    assert sim.advance(at(days=2)) == []
    assert sim.customer("ada").responses[send.channel].s == pytest.approx(1)


def test_the_goal_ends_a_run_in_the_middle_of_a_wait() -> None:
    sim = simulation(
        HEAD.replace("steps", "goal: {event: review, within: 9d}\nsteps") + "  - wait: 5d\n  - send: hello\n"
    )
    sim.publish(known())
    sim.publish(bought("o1"))
    sim.publish(event("review", rating=5, when=at(days=1)))
    assert sim.advance(at(days=9)) == []


def test_wait_until_follows_her_own_rhythm_and_moves_with_it() -> None:
    """Orders every ten days: the reminder comes before the next tenth day, far from the shop's usual gap."""
    sim = simulation(
        HEAD.replace("steps", "goal: {event: purchase, within: 14d}\nsteps")
        + "  - wait_until: 2d before next_due\n  - send: hello\n"
    )
    sim.publish(known())
    for number in range(8):
        sends = sim.publish(bought(f"o{number}", when=at(days=10 * number)))
    sends = sim.advance(at(days=100))
    (send,) = sends
    # The last order was on day 70; ten days minus the two days of notice, less what the prior pulls.
    assert at(days=76) < send.at < at(days=81)


def test_a_prediction_in_the_past_continues_at_once() -> None:
    sim = simulation(HEAD + "  - wait_until: 900d before next_due\n  - send: hello\n")
    sim.publish(known())
    (send,) = sim.publish(bought("o1"))
    assert send.at == T0


def test_send_other_avoids_what_was_ignored_and_same_repeats_it() -> None:
    steps = "  - send: hello\n  - wait: 1d\n  - {send: bye, channel: other}\n"
    steps += "  - wait: 1d\n  - {send: hello, channel: same}\n"
    sim = simulation(HEAD + steps)
    sim.publish(known())
    sends = [*sim.publish(bought("o1")), *sim.advance(at(days=9))]
    assert len(sends) == 3
    assert sends[1].channel != sends[0].channel
    assert sends[2].channel == sends[1].channel


def test_an_event_before_the_wait_does_not_end_it() -> None:
    sim = simulation(HEAD + "  - wait: 1d\n  - {wait_for: cart_add, up_to: 1d}\n  - {exit: came, if: cart_add}\n")
    sim.publish(bought("o1"))
    sim.publish(event("cart_add", when=at(hours=1)))
    sim.advance(at(days=3))
    assert sim.counts["ended:journey:finished"] == 1


def test_an_answer_before_the_wait_counts() -> None:
    sim = simulation(
        HEAD
        + "  - send: hello\n  - wait: 1d\n  - {wait_for: response, up_to: 1d}\n  - {exit: answered, if: response}\n"
    )
    sim.publish(known())
    (send,) = sim.publish(bought("o1"))
    sim.publish(event("message_clicked", send_id=send.send_id, when=at(hours=1)))
    sim.advance(at(days=1))
    assert sim.counts["ended:journey:answered"] == 1


def test_one_event_wakes_one_run_and_starts_another() -> None:
    sim = simulation(HEAD.replace("always", "per order.id") + "  - {wait_for: purchase, up_to: 9d}\n  - send: hello\n")
    sim.publish(known())
    sim.publish(bought("o1"))
    assert len(sim.publish(bought("o2", when=at(days=1)))) == 1
    assert (sim.counts["entered:journey"], sim.counts["ended:journey:finished"]) == (2, 1)


def test_a_goal_that_is_also_waited_for_is_the_goal() -> None:
    head = HEAD.replace("steps", "goal: {event: review, within: 9d}\nsteps")
    sim = simulation(head + "  - send: hello\n  - {wait_for: review, up_to: 9d}\n  - send: bye\n")
    sim.publish(known())
    sim.publish(bought("o1"))
    assert sim.publish(event("review", when=at(days=1))) == []
    assert sim.counts["ended:journey:goal"] == 1
