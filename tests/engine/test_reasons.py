"""What a decision says of itself to a marketer."""

from __future__ import annotations

from worlds import POLICY, at, event, known, program

from orchestrator.testing.simulation import Simulation

JOURNEY = "name: N\nowner: test\ntrigger: nudge\nreentry: always\nsteps:\n  - {send: hello, channel: [sms, email]}\n"


def test_what_she_answered_lately_and_what_held_it() -> None:
    sim = Simulation(program(JOURNEY, policy=POLICY + "cap: 1 per 5d\n"), seed=1)
    sim.publish(known(addresses={"email": "ada@example.com", "phone": "+15005550006"}))
    for day in range(0, 60, 6):
        for send in sim.publish(event("nudge", when=at(days=day))):
            if send.channel == "sms":
                sim.publish(event("message_clicked", send_id=send.send_id, when=at(days=day, hours=1)))
    last = [one for one in sim.decisions if one.kind == "sent"][-1]
    used = [one.channel for one in sim.decisions if one.kind == "sent"][:-1]
    said = "; ".join(last.reasons())
    for channel in ("sms", "email"):
        number = min(9, used.count(channel))
        assert number >= 1
        answered = number if channel == "sms" else 0
        one = "she answered the last one" if answered else "she did not answer the last one"
        assert f"{channel}: {one if number == 1 else f'she answered {answered} of her last {number}'}" in said
    sim.publish(event("nudge", when=at(days=55)))
    assert "the cap is reached" in [one for one in sim.decisions if one.kind == "held"][-1].reasons()
    first = next(one for one in sim.decisions if one.kind == "sent")
    assert "never used for her" in "; ".join(first.reasons())
    # The answers themselves are records too.
    assert sum(one.kind == "answered" for one in sim.decisions) == used.count("sms") + (last.channel == "sms")
