"""What is learned, from what, and what is not: through whole companies in virtual time."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from small_company import CHANNELS, announce, at, company, nudge, publish

from orchestrator.engine.decision import Decision
from orchestrator.errors import OrchestratorError
from orchestrator.language.journeys import compile_program
from orchestrator.learning.choice import Situation
from orchestrator.learning.pooled import VALUE
from orchestrator.testing.simulation import Send, Simulation


def live(
    sim: Simulation, customers: int, decisions: int, answers: dict[str, float], *, first: str = "c", label: str = ""
) -> list[Send]:
    """Everybody is nudged every third day; channel k is clicked every 1/answers[k]-th time."""
    sends = []
    due: Counter[str] = Counter()
    for number in range(customers):
        announce(sim, f"{first}{number}", at(), *([label] if label else []))
    for decision in range(decisions):
        for number in range(customers):
            send = nudge(sim, f"{first}{number}", at(days=3 * decision, minutes=number))
            if send is None:
                continue
            sends.append(send)
            due[send.channel] += 1
            rate = answers.get(send.channel, 0.0)
            if rate and int(due[send.channel] * rate) > int((due[send.channel] - 1) * rate):
                publish(
                    sim,
                    "message_clicked",
                    send.customer,
                    at(days=3 * decision, hours=2, minutes=number),
                    send_id=send.send_id,
                )
    return sends


def last(sim: Simulation) -> Decision:
    """The last choice made."""
    return next(d for d in reversed(sim.decisions) if d.candidates)


def believed(sim: Simulation, customer: str, channel: str) -> float:
    """The rate expected of a channel at the customer's last decision."""
    decision = next(d for d in reversed(sim.decisions) if d.customer == customer and d.candidates)
    weighed = next(w for w in decision.candidates if w.channel == channel)
    return weighed.a / (weighed.a + weighed.b)


def test_a_customer_who_answers_sms_gets_sms() -> None:
    sim = company()
    sends = live(sim, 1, 40, {"sms": 0.5})
    assert Counter(one.channel for one in sends[20:]).most_common(1)[0][0] == "sms"
    assert any(one.propensity > 0.9 for one in sends[20:])


def test_a_newcomer_starts_from_what_others_taught() -> None:
    sim = company()
    live(sim, 60, 8, {"push": 0.3})
    announce(sim, "new", at(days=40))
    nudge(sim, "new", at(days=41))
    shares = {w.channel: w.share for w in last(sim).candidates}
    assert shares["push"] > 0.9
    assert last(sim).priors not in ("", "start")


def test_labels_tell_newcomers_apart() -> None:
    sim = company()
    live(sim, 60, 8, {"push": 0.25, "sms": 0.02}, first="a", label="app")
    live_later = company(priors=sim.snapshot(), seed=2)
    live(live_later, 60, 8, {"sms": 0.25, "push": 0.02}, first="b", label="shop")
    for label, best in (("app", "push"), ("shop", "sms")):
        announce(live_later, f"new-{label}", at(days=40), label)
        nudge(live_later, f"new-{label}", at(days=41))
        shares = {w.channel: w.share for w in last(live_later).candidates}
        assert max(shares, key=shares.__getitem__) == best


def test_warm_priors_are_used_from_the_first_decision() -> None:
    taught = company()
    live(taught, 60, 8, {"email": 0.3})
    sim = company(priors=taught.snapshot())
    announce(sim)
    nudge(sim, "ada", at(hours=1))
    assert next(w for w in last(sim).candidates if w.channel == "email").share > 0.9


def test_scanners_do_not_change_choices() -> None:
    """A mailbox that opens and clicks everything at once leaves no trace but the loss of open evidence."""

    def choices(machines: int) -> list[tuple[str, float]]:
        sim = company()
        announce(sim)
        publish(sim, "message_opened", "ada", at(), send_id="none", machine=True)
        made = []
        for decision in range(30):
            send = nudge(sim, "ada", at(days=3 * decision))
            assert send is not None
            made.append((send.channel, send.propensity))
            if send.channel == "email":
                for number in range(max(1, machines)):
                    kind = "message_clicked" if number % 2 else "message_opened"
                    when = at(days=3 * decision, seconds=number + 1)
                    publish(sim, kind, "ada", when, send_id=send.send_id, machine=True)
        return made

    assert choices(1) == choices(2) == choices(9)


def test_the_first_machine_open_drops_what_opens_had_taught() -> None:
    sim = company("{send: hello, channel: email}")
    announce(sim)
    for decision in range(6):
        send = nudge(sim, "ada", at(days=3 * decision))
        assert send is not None
        publish(sim, "message_opened", "ada", at(days=3 * decision, hours=1), send_id=send.send_id)
    cell = sim.customer("ada").responses["email"]
    assert cell.o == pytest.approx(cell.n, abs=0.1)
    assert cell.o > 5
    publish(sim, "message_opened", "ada", at(days=20), send_id=send.send_id, machine=True)
    assert not cell.sees_opens()
    publish(sim, "message_opened", "ada", at(days=20, hours=1), send_id=send.send_id)
    assert not cell.sees_opens()


def test_a_human_open_raises_what_is_expected_of_email() -> None:
    def expected(opens: bool) -> float:
        sim = company("{send: hello, channel: [email, sms]}")
        announce(sim)
        for decision in range(12):
            send = nudge(sim, "ada", at(days=3 * decision))
            if opens and send is not None and send.channel == "email":
                publish(sim, "message_opened", "ada", at(days=3 * decision, hours=1), send_id=send.send_id)
        return believed(sim, "ada", "email")

    assert expected(True) > expected(False) * 1.2


def test_answers_on_their_way_are_not_silence() -> None:
    """Ten minutes after a send nothing can be said of it; a week later it can."""

    def rate(after: timedelta) -> float:
        sim = company("{send: hello, channel: [email, sms]}")
        announce(sim)
        first = nudge(sim, "ada", at())
        assert first is not None
        nudge(sim, "ada", at() + after)
        return believed(sim, "ada", first.channel)

    assert rate(timedelta(minutes=1)) > rate(timedelta(days=6)) * 1.05


@pytest.mark.parametrize(("window", "credited"), [("7d", 1), ("1d", 0)])
def test_each_channel_has_its_own_window(window: str, credited: int) -> None:
    sim = company_with_window(window)
    announce(sim)
    send = nudge(sim, "ada", at())
    assert send is not None
    publish(sim, "message_clicked", "ada", at(days=3), send_id=send.send_id)
    assert sim.customer("ada").responses["sms"].s == pytest.approx(credited)


def company_with_window(window: str) -> Simulation:
    return Simulation(
        compile_program(
            {
                "_policy.yaml": f"channels:\n  sms: {{cost: 0.01, credit_window: {window}}}\n",
                "nudge.yaml": "name: N\nowner: t\ntrigger: nudge\nsteps:\n  - {send: hello, channel: sms}\n",
                "messages/hello.md": "---\nsms: Hello\n---\n",
            }
        ),
        seed=1,
    )


def test_purchases_feed_the_value_of_a_response_and_not_the_rate() -> None:
    def after(purchase: bool) -> tuple[float, float]:
        sim = company("{send: hello, channel: [email, push]}")
        customers = [f"c{number}" for number in range(40)]
        for customer in customers:
            announce(sim, customer)
        sends = [nudge(sim, customer, at(minutes=1)) for customer in customers]
        for send in sends:
            assert send is not None
            publish(sim, "message_clicked", send.customer, at(hours=2), send_id=send.send_id)
        for number, customer in enumerate(customers):
            if purchase:
                publish(sim, "purchase", customer, at(hours=3), order_id=f"o{number}", total=80)
        announce(sim, "new", at(days=2))
        nudge(sim, "new", at(days=2))
        weighed = last(sim).candidates[0]
        return weighed.a / (weighed.a + weighed.b), weighed.value

    (rate, value), (same, worth) = after(False), after(True)
    assert rate == pytest.approx(same)
    assert value == pytest.approx(1)
    assert worth > 10


def test_a_purchase_a_day_after_the_response_is_not_credited() -> None:
    sim = company()
    announce(sim)
    send = nudge(sim, "ada", at())
    assert send is not None
    publish(sim, "message_clicked", "ada", at(hours=1), send_id=send.send_id)
    publish(sim, "purchase", "ada", at(hours=26), order_id="o", total=80)
    assert all(vector[VALUE] == 0 for key, vector in sim.snapshot().sums.items() if key.startswith("cell"))


def test_a_channel_that_loses_consents_is_avoided() -> None:
    sim = company(policy="")
    for number in range(300):
        customer = f"c{number}"
        announce(sim, customer)
        send = nudge(sim, customer, at(minutes=number))
        assert send is not None
        publish(sim, "message_clicked", customer, at(hours=8), send_id=send.send_id)
        if send.channel == "push":
            publish(sim, "message_unsubscribed", customer, at(hours=9), send_id=send.send_id)
    announce(sim, "new", at(days=2))
    nudge(sim, "new", at(days=2))
    weighed = {w.channel: w for w in last(sim).candidates}
    assert weighed["push"].loss > 5 * weighed["email"].loss


def test_nothing_is_sent_when_no_channel_is_worth_it() -> None:
    dear = "nothing: allowed\nresponse_value: 0.01\n"
    sim = company("{send: hello, channel: sms}", policy=dear)
    live(sim, 20, 10, {})
    kept = [d for d in sim.decisions if d.reason == "not_worth"]
    assert len(kept) > 150
    assert all(d.kind == "skipped" and d.propensity == d.nothing > 0.5 for d in kept)
    assert any("worth" in sentence for sentence in kept[0].reasons())
    always = company("{send: hello, channel: sms}", policy="response_value: 0.01\n")
    assert len(live(always, 20, 10, {})) == 200


def test_the_silence_of_a_channel_without_callbacks_teaches_nothing() -> None:
    sim = company("{send: hello, channel: email}")
    announce(sim)
    nudge(sim, "ada", at())
    sim.health(stale=["email"])
    send = nudge(sim, "ada", at(days=3))
    assert send is not None
    assert sim.customer("ada").responses["email"].n == pytest.approx(1, abs=0.1)
    publish(sim, "message_clicked", "ada", at(days=3, hours=1), send_id=send.send_id)
    cell = sim.customer("ada").responses["email"]
    assert cell.s == 0, "an answer that happened to come through would make the channel look better than it is"
    sim.health()
    nudge(sim, "ada", at(days=6))
    assert cell.n == pytest.approx(2, abs=0.2)


def test_a_message_is_not_repeated_within_its_time() -> None:
    sim = company("{send: [hello, second, third], channel: email}")
    announce(sim)
    made = [nudge(sim, "ada", at(days=day)) for day in (0, 2, 4, 6, 31)]
    shown = [one.message if one else "" for one in made]
    assert sorted(shown[:3]) == ["hello", "second", "third"]
    assert shown[3] == ""
    assert next(d for d in sim.decisions if d.kind == "skipped").reason == "seen"
    assert shown[4] == shown[0]
    free = company("{send: [hello, second], channel: email}", policy="repeat_after: 0d\n")
    announce(free)
    assert all(nudge(free, "ada", at(days=day)) for day in range(5))


def test_the_better_message_wins_and_each_is_tried() -> None:
    sim = company("{send: [hello, second, third], channel: email}", policy="repeat_after: 0d\n")
    rates = {"hello": 0.05, "second": 0.30, "third": 0.05}
    due: Counter[str] = Counter()
    for number in range(900):
        customer = f"c{number}"
        announce(sim, customer, at(hours=number))
        send = nudge(sim, customer, at(hours=number))
        assert send is not None
        due[send.message] += 1
        if int(due[send.message] * rates[send.message]) > int((due[send.message] - 1) * rates[send.message]):
            publish(sim, "message_clicked", customer, at(hours=number, minutes=20), send_id=send.send_id)
    assert min(due.values()) >= 10
    assert due["second"] > 600
    choice = last(sim)
    assert choice.propensity == pytest.approx(choice.channel_propensity * choice.message_propensity)
    assert {one.message for one in choice.texts} == set(rates)
    assert sum(one.share for one in choice.texts) == pytest.approx(1)


def test_a_message_never_shown_is_tried() -> None:
    old = company("{send: [hello, second], channel: email}", policy="repeat_after: 0d\n")
    live(old, 100, 5, {"email": 0.06})
    sim = company("{send: [hello, second, third], channel: email}", policy="repeat_after: 0d\n", priors=old.snapshot())
    sends = live(sim, 100, 1, {})
    assert sum(one.message == "third" for one in sends) >= 10


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_fixed_policy_sends_on_its_channel(channel: str) -> None:
    sim = company(policy=f"choice: fixed:{channel}\n")
    assert {one.channel for one in live(sim, 3, 3, {})} == {channel}
    assert last(sim).policy == f"fixed:{channel}"


def test_round_robin_takes_turns() -> None:
    sends = live(company(choice="round_robin"), 1, 6, {})
    assert [one.channel for one in sends[:3]] == [one.channel for one in sends[3:]]
    assert {one.channel for one in sends} == set(CHANNELS)


def test_best_fixed_follows_the_crowd_and_ratio_the_customer() -> None:
    assert Counter(one.channel for one in live(company(choice="best_fixed"), 40, 20, {"push": 0.3})[400:])["push"] > 390
    sim = company(choice="ratio")
    assert Counter(one.channel for one in live(sim, 1, 40, {"sms": 0.5})[20:])["sms"] >= 15


def test_a_policy_may_come_from_outside() -> None:
    seen: list[Situation] = []

    def last_one(_argument: str) -> Any:
        def policy(situation: Situation) -> list[float]:
            seen.append(situation)
            return [0.0] * (len(situation.candidates) - 1) + [1.0]

        return policy

    sim = company(choice="last", policies={"last": last_one})
    assert {one.channel for one in live(sim, 2, 2, {})} == {"sms"}
    assert seen[0].customer == "c0"


def test_a_policy_that_is_not_installed_is_named() -> None:
    with pytest.raises(OrchestratorError, match="'absent' is not a policy of choice"):
        company(choice="absent")


def test_a_journey_may_ask_how_much_a_customer_was_written_to() -> None:
    sim = company("{send: hello, if: {customer.pressure: under 1.5}}")
    announce(sim)
    assert [nudge(sim, "ada", at(hours=hour)) is not None for hour in (1, 2, 3, 4)] == [True, True, False, False]
    assert nudge(sim, "ada", at(days=9)) is not None
