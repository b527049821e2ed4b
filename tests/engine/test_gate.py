"""The only road to a provider: consent, address, caps and quiet hours, over all journeys."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import POLICY, T0, at, bought, event, known, simulation

SEND = "name: S\nowner: test\ntrigger: purchase\nreentry: always\nsteps:\n  - send: hello\n"


def test_without_consent_nothing_goes() -> None:
    sim = simulation(SEND)
    sim.publish(known(consents={}))
    assert sim.publish(bought("o1")) == []
    (skipped,) = [d for d in sim.decisions if d.kind == "skipped"]
    assert skipped.excluded == {"email": "no_consent", "push": "no_consent", "sms": "no_consent"}


def test_a_channel_without_address_is_not_a_candidate() -> None:
    sim = simulation(SEND)
    sim.publish(known(addresses={"phone": "+15005550006"}))
    (send,) = sim.publish(bought("o1"))
    assert send.channel == "sms"
    assert send.propensity == 1


@pytest.mark.parametrize("word", ["STOP", "stop please", "Unsubscribe.", "opt out"])
def test_stop_closes_the_channel_it_came_by(word: str) -> None:
    sim = simulation(SEND)
    sim.publish(known(addresses={"phone": "+15005550006"}))
    (send,) = sim.publish(bought("o1"))
    sim.publish(event("reply", channel="sms", text=word, in_reply_to=send.send_id, when=at(hours=1)))
    assert sim.publish(bought("o2", when=at(days=1))) == []
    sim.publish(event("reply", channel="sms", text="START", when=at(days=2)))
    assert len(sim.publish(bought("o3", when=at(days=3)))) == 1


def test_a_sentence_with_stop_in_it_is_an_answer() -> None:
    sim = simulation(SEND)
    sim.publish(known())
    (send,) = sim.publish(bought("o1"))
    sim.publish(
        event(
            "reply", channel=send.channel, text="I never stop drinking it", in_reply_to=send.send_id, when=at(hours=1)
        )
    )
    assert sim.customer("ada").responses[send.channel].s == pytest.approx(1)


def test_an_unsubscribe_closes_its_channel_for_marketing() -> None:
    sim = simulation(SEND)
    sim.publish(known())
    (send,) = sim.publish(bought("o1"))
    sim.publish(event("message_unsubscribed", send_id=send.send_id, when=at(hours=1)))
    later = [sim.publish(bought(f"o{n}", when=at(days=n)))[0].channel for n in range(2, 30)]
    assert send.channel not in later


def test_a_hard_bounce_removes_the_address_and_frees_the_cap() -> None:
    sim = simulation(SEND, policy=POLICY + "cap: 1 per 7d\n")
    sim.publish(known())
    (send,) = sim.publish(bought("o1"))
    sim.publish(event("message_bounced", send_id=send.send_id, permanent=True, when=at(hours=1)))
    (second,) = sim.publish(bought("o2", when=at(hours=2)))
    assert second.channel != send.channel


def test_a_capped_send_is_held_until_a_place_is_free_and_goes_then() -> None:
    sim = simulation(SEND, policy=POLICY + "cap: 1 per 1d\n")
    sim.publish(known())
    assert len(sim.publish(bought("o1"))) == 1
    assert sim.publish(bought("o2", when=at(hours=5))) == []
    (held,) = [d for d in sim.decisions if d.kind == "held"]
    assert held.reason == "cap"
    (send,) = sim.advance(at(days=2))
    assert send.at == at(days=1)


def test_a_send_held_past_its_expiry_is_skipped_with_a_reason() -> None:
    journey = SEND.replace("  - send: hello\n", "  - {send: hello, expires: 12h}\n")
    sim = simulation(journey, policy=POLICY + "cap: 1 per 7d\n")
    sim.publish(known())
    sim.publish(bought("o1"))
    sim.publish(bought("o2", when=at(hours=5)))
    assert sim.advance(at(days=30)) == []
    assert [d.reason for d in sim.decisions if d.kind == "skipped"] == ["expired"]


def test_a_failed_send_frees_the_place_it_held_under_the_cap() -> None:
    sim = simulation(SEND, policy=POLICY + "cap: 1 per 1d\n")
    sim.publish(known())
    (send,) = sim.publish(bought("o1"))
    sim.publish(bought("o2", when=at(hours=1)))
    (second,) = sim.publish(event("message_failed", send_id=send.send_id, when=at(hours=2)))
    assert second.at == at(hours=2)


def test_quiet_hours_hold_until_the_customers_own_morning() -> None:
    sim = simulation(SEND + "", policy=POLICY + "quiet_hours: 21:00-09:00\n")
    sim.publish(known(time_zone="America/New_York"))
    # 10:00 UTC is 05:00 in New York.
    assert sim.publish(bought("o1")) == []
    (send,) = sim.advance(at(days=1))
    assert send.at == datetime(2026, 3, 2, 14, 0, tzinfo=UTC)


times = st.lists(st.integers(0, 60 * 24 * 20), min_size=1, max_size=40)


@given(times, st.integers(1, 4), st.integers(1, 72), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_window_ever_holds_more_than_the_cap(minutes: list[int], count: int, hours: int, failing: bool) -> None:
    """Three journeys race for one customer; whatever fails and is released, no rolling window exceeds the cap."""
    more = {f"j{n}": SEND for n in range(2)}
    sim = simulation(SEND, policy=POLICY + f"cap: {count} per {hours}h\n", **more)
    sim.publish(known())
    sends = []
    for number, minute in enumerate(sorted(minutes)):
        now = at(minutes=minute)
        made = sim.publish(bought(f"o{number}", when=now))
        if failing and made and number % 3 == 0:
            failed = made.pop()
            made += sim.publish(event("message_failed", send_id=failed.send_id, when=now))
        sends += made
    sends += sim.advance(at(days=60))
    window = timedelta(hours=hours)
    for send in sends:
        inside = [other for other in sends if send.at - window < other.at <= send.at]
        assert len(inside) <= count
    finals = Counter(d.kind for d in sim.decisions if d.kind in ("sent", "skipped"))
    # Each run decides its one send, and a send that failed is decided once more for another channel.
    entered = sum(sim.counts[f"entered:{name}"] for name in ("journey", "j0", "j1"))
    anew = sum(by for name, by in sim.counts.items() if name.startswith("sent_anew:"))
    assert finals["sent"] + finals["skipped"] == entered + anew


@given(
    st.integers(0, 60 * 24 * 400),
    st.sampled_from(
        ["Europe/Paris", "America/New_York", "Pacific/Auckland", "Asia/Kolkata", "UTC", "Australia/Lord_Howe"]
    ),
)
@settings(max_examples=120, deadline=None)
def test_nothing_is_sent_in_quiet_hours_in_any_zone(minute: int, zone: str) -> None:
    from zoneinfo import ZoneInfo

    sim = simulation(SEND, policy=POLICY + "quiet_hours: 21:30-08:15\n")
    now = T0 + timedelta(minutes=minute)
    sim.publish(known(when=now, time_zone=zone))
    sends = [*sim.publish(bought("o1", when=now)), *sim.advance(now + timedelta(days=3))]
    (send,) = sends
    local = send.at.astimezone(ZoneInfo(zone))
    clock = local.hour * 60 + local.minute
    assert 8 * 60 + 15 <= clock < 21 * 60 + 30


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["stop", "start", "unsubscribe", "consent", "buy"]),
            st.sampled_from(["email", "sms", "push"]),
        ),
        max_size=40,
    )
)
@settings(max_examples=80, deadline=None)
def test_no_send_ever_follows_a_no(actions: list[tuple[str, str]]) -> None:
    sim = simulation(SEND)
    sim.publish(known())
    allowed = {"email", "sms", "push"}
    for number, (action, channel) in enumerate(actions):
        now = at(hours=number + 1)
        if action == "stop":
            sim.publish(event("reply", channel=channel, text="stop", when=now))
            allowed.discard(channel)
        elif action == "unsubscribe":
            sim.publish(event("message_unsubscribed", channel=channel, send_id="x", when=now))
            allowed.discard(channel)
        elif action == "start":
            sim.publish(event("reply", channel=channel, text="start", when=now))
            allowed.add(channel)
        elif action == "consent":
            sim.publish(event("customer_updated", when=now, consents={channel: {"marketing": True}}))
            allowed.add(channel)
        else:
            sends = sim.publish(bought(f"o{number}", when=now))
            assert {send.channel for send in sends} <= allowed
            assert bool(sends) == bool(allowed)


LATE = "name: L\nowner: test\npriority: {priority}\ntrigger: purchase\nreentry: always\n"
LATE += "steps:\n  - {{send: hello, at: '18:30'}}\n"


@pytest.mark.parametrize(("priority", "first"), [(90, "late"), (10, "journey")])
def test_a_message_yields_to_a_more_important_one_that_is_held(priority: int, first: str) -> None:
    """One place is left under the cap and a more important journey has a message due this evening."""
    sim = simulation(
        SEND.replace("purchase", "view"), policy=POLICY + "cap: 1 per 7d\n", late=LATE.format(priority=priority)
    )
    sim.publish(known())
    sends = sim.publish(bought("o1"))
    sends += sim.publish(event("view", product_id="p", when=at(hours=1)))
    sends += sim.advance(at(days=1))
    assert [send.journey for send in sends] == [first]
    held = [d.reason for d in sim.decisions if d.kind == "held" and d.journey == "journey"]
    assert held == (["priority"] if first == "late" else [])


def test_it_goes_when_the_more_important_one_does_not_need_the_place() -> None:
    late = LATE.format(priority=90).replace("reentry", "exit_when: [cart_add]\nreentry")
    sim = simulation(SEND.replace("purchase", "view"), policy=POLICY + "cap: 1 per 7d\n", late=late)
    sim.publish(known())
    sim.publish(bought("o1"))
    assert sim.publish(event("view", product_id="p", when=at(hours=1))) == []
    sim.publish(event("cart_add", when=at(hours=2)))
    assert [send.journey for send in sim.advance(at(days=1))] == ["journey"]
