"""`at: best` in the whole step: her hour, inside quiet hours, cap and expiry, and logged."""

from __future__ import annotations

from datetime import datetime

from worlds import POLICY, T0, at, event, known, program

from orchestrator.testing.simulation import Send, Simulation

BEST = """
name: Best
owner: test
trigger: nudge
reentry: always
steps:
  - {send: hello, at: best, expires: 30h}
"""


def evenings(policy: str = POLICY, journey: str = BEST, messages: int = 60) -> Simulation:
    """Ada opened what was sent in the evening and nothing else."""
    sim = Simulation(program(journey, policy=policy), seed=1)
    sim.publish(known())
    hours = sim.customer("ada").hours
    for turn in range(messages):
        hours.add_sent(turn % 12)
        if turn % 12 in (9, 10):
            hours.add_engaged(turn % 12)
    return sim


def hour_of(sends: list[Send]) -> datetime:
    (send,) = sends
    return send.at


def nudged(sim: Simulation, until: datetime, when: datetime = T0) -> list[Send]:
    return sim.publish(event("nudge", when=when)) + sim.advance(until)


def test_a_message_waits_for_her_hour() -> None:
    sim = evenings()
    sent = hour_of(nudged(sim, at(days=2)))
    assert sent.day == T0.day
    assert 18 <= sent.hour <= 21
    held = next(one for one in sim.decisions if one.kind == "held")
    assert held.reason == "hour"
    assert 0.9 < held.hour_chance < 1
    # Her own clock counts.
    far = evenings()
    far.publish(event("customer_updated", time_zone="America/New_York"))
    assert hour_of(nudged(far, at(days=2))).hour in (23, 0, 1)


def test_not_in_quiet_hours_nor_after_its_time() -> None:
    quiet = hour_of(nudged(evenings(POLICY + "quiet_hours: 17:00-08:00\n"), at(days=2)))
    assert quiet.hour in (8, 16) or 8 <= quiet.hour < 17
    short = BEST.replace("expires: 30h", "expires: 3h")
    assert hour_of(nudged(evenings(journey=short), at(days=2))) <= at(hours=3)


def test_a_cap_moves_the_window_in_which_the_hour_is_sought() -> None:
    sim = evenings(POLICY + "cap: 1 per 1d\n")
    first = hour_of(nudged(sim, at(days=1)))
    second = hour_of(nudged(sim, at(days=3), at(days=1)))
    assert (second - first).total_seconds() >= 86_400
    assert 18 <= second.hour <= 21


def test_any_hour_now_and_then() -> None:
    chances = set()
    for person in range(60):
        sim = Simulation(program(BEST, policy=POLICY), seed=person)
        sim.publish(known())
        nudged(sim, at(days=2))
        made = [one for one in sim.decisions if one.hour_chance]
        chances.add(round(made[0].hour_chance, 4))
    # The best one, or one of the others with its small probability.
    assert len(chances) == 2
    assert min(chances) < 0.006


def test_hours_are_learned_from_what_comes_back() -> None:
    sim = Simulation(program(BEST.replace("at: best, ", ""), policy=POLICY), seed=1)
    sim.publish(known())
    (send,) = sim.publish(event("nudge"))
    hours = sim.customer("ada").hours
    assert hours.sent[5] == 1
    sim.publish(event("message_clicked", send_id=send.send_id, when=at(hours=9)))
    sim.publish(event("message_opened", send_id=send.send_id, when=at(hours=10)))
    assert sum(hours.engaged) == hours.engaged[5] == 1
    assert sum(sim.snapshot().sums["hours"]) == 2_000_000
