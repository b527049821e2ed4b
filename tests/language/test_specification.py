"""The stories the language was made to tell: they load without a finding and do what their lines say."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.language.journeys import check_program
from orchestrator.language.program import Program
from orchestrator.testing.simulation import Simulation

HERE = Path(__file__).parent
FOLDER = HERE / "specification"
T0 = datetime(2026, 3, 2, 10, tzinfo=UTC)
POLICY = "currency: EUR\nchannels: {email: {cost: 0.001}, sms: {cost: 0.05}, push: {cost: 0}}\nresponse_value: 1\n"
MESSAGE = "---\nsubject: Hello\nsms: Hello\npush: {title: Hello, body: Hello}\n---\nHello\n"
STORIES = sorted(path.stem for path in FOLDER.glob("[a-z]*.yaml"))


def program(*stories: str, **changes: str) -> Program:
    files = {"_policy.yaml": POLICY, "_stages.yaml": (FOLDER / "_stages.yaml").read_text()}
    for story in stories:
        text = (FOLDER / f"{story}.yaml").read_text()
        for before, after in changes.items():
            text = re.sub(rf"^{before}: .*$", f"{before}: {after}", text, flags=re.MULTILINE)
        files[f"{story}.yaml"] = text
        for sent in re.findall(r"send: (\[[^\]]*\]|\w+)", text):
            files |= {f"messages/{name}.md": MESSAGE for name in re.findall(r"\w+", sent)}
    compiled, findings = check_program(files)
    assert findings == ()
    assert compiled is not None
    return compiled


def at(**later: float) -> datetime:
    return T0 + timedelta(**later)


class Ada:
    """One reachable customer in a simulation of one story; holdouts and rollouts left out unless asked for."""

    def __init__(self, story: str, *, attributes: dict[str, Any] | None = None, **changes: str) -> None:
        changes = {"holdout": "0%", "rollout": "{channels: [email, sms, push]}", "quiet_hours": "03:00-03:30"} | changes
        self.sim = Simulation(program(story, **changes), seed=1)
        self.sends: list[Any] = []
        self.orders = 0
        self.event(
            "customer_updated",
            addresses={"email": "a@example.com", "phone": "+15005550006", "push": "t"},
            consents={channel: {"marketing": True} for channel in ("email", "sms", "push")},
            attributes=attributes or {},
        )

    def event(self, kind: str, when: datetime = T0, **data: Any) -> None:
        self.sends += self.sim.publish({"type": kind, "customer": "ada", "time": when, "data": data})

    def buys(self, when: datetime, category: str = "coffee", **data: Any) -> None:
        self.orders += 1
        line = {"product_id": category, "category": category, "name": category, "price": 9.5, "quantity": 1}
        self.event("purchase", when, order_id=f"o{self.orders}", total=9.5, products=[line], **data)

    def replies(self, text: str, when: datetime) -> None:
        self.until(when)
        last = self.sends[-1]
        self.event("reply", when, channel=last.channel, text=text, in_reply_to=last.send_id)

    def until(self, when: datetime) -> None:
        self.sends += self.sim.advance(when)

    def got(self) -> list[str]:
        return [send.message for send in self.sends]

    def ended(self) -> list[str]:
        return [decision.reason for decision in self.sim.decisions if decision.kind == "ended"]


@pytest.mark.parametrize("story", STORIES)
def test_they_load_without_a_finding(story: str) -> None:
    assert program(story).journeys[story].steps


class TestCoffeeRefill:
    def ada(self) -> Ada:
        ada = Ada("coffee_refill", attributes={"country": "PL"})
        for number in range(4):
            ada.buys(at(days=20 * number))
        return ada

    def test_a_reminder_before_she_runs_out_and_a_last_call_elsewhere(self) -> None:
        ada = self.ada()
        ada.until(at(days=120))
        assert ada.got() == ["refill_reminder", "refill_last_call"]
        assert ada.sends[0].at > at(days=70)
        assert ada.sends[1].at == ada.sends[0].at + timedelta(days=3)
        assert ada.sends[0].channel != ada.sends[1].channel

    def test_remind_me_next_week(self) -> None:
        ada = self.ada()
        ada.until(at(days=80))
        first = ada.sends[0].at
        ada.replies("remind me next week", max(first + timedelta(hours=1), at(days=80)))
        ada.until(at(days=120))
        assert ada.got() == ["refill_reminder", "refill_reminder"]
        assert ada.sends[1].channel == ada.sends[0].channel

    def test_a_purchase_ends_one_run_and_starts_the_next(self) -> None:
        ada = self.ada()
        assert ada.ended() == ["goal", "goal"]
        assert len(ada.sim.customer("ada").runs) == 1

    def test_tea_is_no_coffee_and_france_not_in_the_audience(self) -> None:
        ada = self.ada()
        ada.buys(at(days=61), "tea")
        assert len(ada.sim.customer("ada").runs) == 1
        other = Ada("coffee_refill", attributes={"country": "FR"})
        for number in range(4):
            other.buys(at(days=number))
        assert other.sim.customer("ada").runs == []

    def test_quiet_hours_and_rollout_channels_as_written(self) -> None:
        ada = Ada(
            "coffee_refill", attributes={"country": "PL"}, rollout="{channels: [email]}", quiet_hours="09:00-21:00"
        )
        for number in range(4):
            ada.buys(at(days=20 * number))
        ada.until(at(days=120))
        assert {send.channel for send in ada.sends} == {"email"}
        assert not any(9 <= send.at.hour < 21 for send in ada.sends)


class TestLookedThreeTimes:
    def views(self, ada: Ada, *days: float, category: str = "sofa") -> None:
        for day in days:
            ada.event("view", at(days=day), product_id="p", category=category, price=80)

    def test_three_looks_at_one_category_within_a_week(self) -> None:
        ada = Ada("looked_three_times")
        self.views(ada, 0, 1)
        self.views(ada, 1.1, category="lamp")
        ada.until(at(days=2))
        assert ada.got() == []
        self.views(ada, 3)
        ada.until(at(days=4))
        assert ada.got() in (["still_thinking"], ["top_three_for_you"])
        assert ada.sends[0].at == at(days=3, hours=2)

    def test_the_wait_counts_from_her_last_look(self) -> None:
        ada = Ada("looked_three_times")
        self.views(ada, 0, 1, 2, 2.05)
        ada.until(at(days=3))
        assert ada.sends[0].at == at(days=2.05, hours=2)

    def test_who_puts_it_in_the_basket_is_engaged(self) -> None:
        ada = Ada("looked_three_times")
        self.views(ada, 0, 1, 2)
        ada.event("cart_add", at(days=2.5), product_id="p")
        assert ada.ended() == ["engaged"]

    def test_without_news_about_the_product_there_is_no_second_message(self) -> None:
        ada = Ada("looked_three_times")
        self.views(ada, 0, 1, 2)
        ada.until(at(days=9))
        assert len(ada.sends) == 1

    def test_nobody_who_bought_of_the_category_of_late(self) -> None:
        ada = Ada("looked_three_times")
        ada.buys(at(days=0), "sofa")
        self.views(ada, 1, 2, 3)
        assert ada.sim.counts["ignored:looked_three_times:audience"] == 1


class TestHowWasIt:
    def asked(self, order: int = 1) -> Ada:
        ada = Ada("how_was_it", attributes={"wants_reviews": True})
        for _ in range(order):
            ada.buys(T0)
        ada.until(at(days=10))
        assert ada.got() == ["how_was_it"] * order
        return ada

    def test_unhappy_is_a_case(self) -> None:
        ada = self.asked()
        ada.replies("2 stars, the lid is broken", at(days=11))
        assert ada.got()[1:] == ["sorry_we_are_on_it"]
        (case,) = [one for one in ada.sim.emitted if one.type == "support_case"]
        assert case.data["urgency"] == "high"

    def test_no_thanks_is_kept_to(self) -> None:
        ada = self.asked()
        ada.replies("no thanks, don't ask me", at(days=11))
        assert ada.got()[1:] == []
        assert ada.sim.customer("ada").attributes["wants_reviews"] is False
        ada.buys(at(days=20))
        assert ada.sim.customer("ada").runs == []

    def test_any_other_answer_gets_the_link(self) -> None:
        ada = self.asked()
        ada.replies("arrived on Tuesday", at(days=11))
        assert ada.got()[1:] == ["thanks_review_link"]

    def test_silence_gets_a_short_one_elsewhere(self) -> None:
        ada = self.asked()
        ada.until(at(days=16))
        assert ada.got()[1:] == ["how_was_it_short"]
        assert ada.sends[0].channel != ada.sends[1].channel

    def test_two_orders_are_two_runs(self) -> None:
        self.asked(2)

    def test_whom_we_know_nothing_about_is_not_asked(self) -> None:
        ada = Ada("how_was_it")
        ada.buys(T0)
        assert ada.sim.counts["ignored:how_was_it:audience"] == 1


class TestWeMissYou:
    def test_it_goes_through_to_the_end(self) -> None:
        ada = Ada("we_miss_you", attributes={"open_complaint": False})
        for number in range(4):
            ada.buys(at(days=15 * number))
        ada.until(at(days=300))
        assert ada.got()[:2] == ["we_miss_you", "we_miss_you"]
        (ended,) = [one for one in ada.sim.decisions if one.kind == "ended"]
        assert ended.arms["incentive test"] in ("no_offer", "free_shipping", "ten_percent")
        codes = {"no_offer": [], "free_shipping": ["SHIPFREE"], "ten_percent": ["COMEBACK10"]}
        assert [send.facts["code"] for send in ada.sends[2:]] == codes[ended.arms["incentive test"]]
        assert ada.sim.customer("ada").attributes["lifecycle"] == "dormant"
        assert ada.sim.customer("ada").stage == "dormant"


class TestTheOthers:
    def test_first_order_to_regular(self) -> None:
        ada = Ada("first_order")
        ada.buys(T0)
        ada.until(at(days=6))
        assert ada.got() in (["how_to_use_it"], ["care_advice"])
        ada.buys(at(days=7))
        assert ada.ended() == ["goal"]

    def test_bought_in_the_shop(self) -> None:
        ada = Ada("bought_in_the_shop")
        ada.buys(T0, place="store")
        ada.buys(T0, place="web")
        ada.until(at(days=4))
        assert ada.got() == ["care_card"]
        ada.event("store_visit", at(days=5), store="Leeds")
        (hint,) = [one for one in ada.sim.emitted if one.type == "clerk_hint"]
        assert hint.data["store"] == "Leeds"
        assert hint.expires == int((at(days=5) + timedelta(minutes=30)).timestamp() * 1000)

    def test_our_mail_does_not_reach_her(self) -> None:
        ada = Ada("mail_does_not_reach_her")
        ada.sim.customer("ada").sent_on("email", int(T0.timestamp() * 1000))
        for _ in range(3):
            ada.sim.customer("ada").sent_on("email", int(at(days=3).timestamp() * 1000))
        ada.event("view", at(days=4), product_id="p")
        ada.until(at(days=61))
        assert ada.got() == ["which_way_suits_you"]
        ada.replies("sms please", at(days=62))
        assert ada.sim.customer("ada").attributes["prefers"] == "sms"

    def test_you_reviewed_it(self) -> None:
        ada = Ada("you_reviewed_it")
        ada.event("review", review_id="r1", rating=1)
        ada.event("review", review_id="r2", rating=5)
        ada.until(at(days=20))
        assert ada.got() in (["advice_for_it"], ["goes_with_it"])
        assert ada.ended() == ["finished", "still_open"]
        assert ada.sim.customer("ada").attributes["open_complaint"] is True


def test_the_stories_fit_together() -> None:
    whole = program(*STORIES)
    assert set(whole.journeys) == set(STORIES)
