"""What went wrong in other products' engines, each as a test of ours. Those about clocks are in test_moments.py, the
sticky split in test_steps.py, and what concerns the log and the commit in tests/runtime and tests/e2e."""

from __future__ import annotations

from worlds import at, bought, event, known, program, simulation

HEAD = "name: J\nowner: test\ntrigger: purchase\nreentry: {reentry}\nsteps:\n"


def text(steps: str, reentry: str = "always") -> str:
    return HEAD.format(reentry=reentry) + steps


def test_a_wake_up_is_never_dropped_because_something_else_goes_on() -> None:
    """Elsewhere a wake-up that meets a held lock is lost. Here two waits of one customer due at once both go on."""
    sim = simulation(text("  - wait: 1d\n  - send: hello\n", "per order.id"))
    sim.publish(known())
    sim.publish(bought("o1"))
    sim.publish(bought("o2"))
    assert len(sim.advance(at(days=1))) == 2


def test_deleting_a_step_strands_nobody() -> None:
    """Elsewhere deleting a step deletes the rows of those who wait at it. A run stays on the version it entered."""
    sim = simulation(text("  - wait: 5d\n  - send: hello\n"))
    sim.publish(known())
    sim.publish(bought("o1"))
    sim.go_live(program(text("  - send: bye\n")))
    assert [send.message for send in sim.advance(at(days=5))] == ["hello"]
    assert [send.message for send in sim.publish(bought("o2", when=at(days=6)))] == ["bye"]


def test_one_failure_of_a_provider_ejects_nobody() -> None:
    """Elsewhere one transient error ends the journey for the customer."""
    sim = simulation(text("  - {send: hello, channel: sms}\n  - wait: 1d\n  - send: bye\n"))
    sim.publish(known())
    (send,) = sim.publish(bought("o1"))
    sim.publish(event("message_failed", send_id=send.send_id, when=at(minutes=1)))
    assert [send.message for send in sim.advance(at(days=2))] == ["bye"]


def test_a_redelivered_event_enters_nobody_twice() -> None:
    """Elsewhere a publish that fails half way is delivered again and starts a second run."""
    sim = simulation(text("  - send: hello\n"))
    sim.publish(known())
    again = {**bought("o1"), "id": "e1"}
    assert [len(sim.publish(again)) for _ in range(3)] == [1, 0, 0]


def test_reentry_cannot_spin() -> None:
    """Elsewhere a customer who still fits at the exit enters again at once, and again."""
    stages = "stages: {buyer: {customer.orders: at least 1}, visitor: else}\n"
    sim = simulation(text("  - send: hello\n").replace("purchase", "stage_changed"), **{"_stages": stages})
    sim.publish(known())
    sim.publish(bought("o1"))
    sim.advance(at(days=100))
    assert sim.counts["entered:journey"] == 2  # visitor, then buyer


def test_a_loop_ends_where_it_says_and_the_run_goes_on() -> None:
    """Elsewhere a walk of more steps than the journey has silently ends."""
    loop = "  - repeat: {while: customer.orders > 0, at_most: 40, steps: [{wait: 1d}]}\n  - send: hello\n"
    sim = simulation(text(loop))
    sim.publish(known())
    sim.publish(bought("o1"))
    (send,) = sim.advance(at(days=60))
    assert send.at == at(days=40)
