"""Split, set, emit, repeat, exit; what a run is about; runs side by side."""

from __future__ import annotations

from collections import Counter

import pytest
from worlds import at, bought, event, known, simulation

from orchestrator.testing.simulation import Simulation

HEAD = "name: J\nowner: test\ntrigger: {trigger}\nreentry: {reentry}\n{more}\nsteps:\n"


def sim_of(
    steps: str, *, trigger: str = "purchase", reentry: str = "always", more: str = "", **files: str
) -> Simulation:
    sim = simulation(HEAD.format(trigger=trigger, reentry=reentry, more=more) + steps, **files)
    sim.publish(known())
    return sim


class TestSplit:
    STEPS = "  - name: test\n    split:\n      - {arm: a}\n      - {arm: b, then: [{send: hello}]}\n"

    def test_an_arm_is_for_good(self) -> None:
        """Re-entering customers keep their arm, and so do those who pass the split again after a change below it."""
        sim = sim_of(self.STEPS)
        for number in range(5):
            sim.publish(bought(f"o{number}", when=at(days=number)))
        assert len({decision.arms["test"] for decision in sim.decisions if decision.kind == "ended"}) == 1

    def test_arms_are_even_without_shares(self) -> None:
        sim = sim_of(self.STEPS)
        for number in range(400):
            sim.publish(known(f"c{number}"))
            sim.publish(bought(f"o{number}", f"c{number}"))
        assert 150 < sim.counts["arm:journey:test:a:entered"] < 250
        assert sim.counts["arm:journey:test:a:entered"] + sim.counts["arm:journey:test:b:entered"] == 400

    def test_shares_are_kept(self) -> None:
        sim = sim_of("  - split: [{arm: a, share: 10%}, {arm: b}, {arm: c, share: 60%}]\n")
        for number in range(600):
            sim.publish(bought(f"o{number}", f"c{number}"))
        arms = Counter(decision.arms["steps[0]"] for decision in sim.decisions if decision.kind == "ended")
        assert 35 < arms["a"] < 90
        assert 130 < arms["b"] < 230
        assert 310 < arms["c"] < 410

    def test_results_are_counted_on_the_goal(self) -> None:
        sim = sim_of(
            "  - send: hello\n" + self.STEPS.replace(", then: [{send: hello}]", "") + "  - wait: 3d\n",
            more="goal: {event: review, within: 9d}",
        )
        sim.publish(bought("o1"))
        sim.publish(event("review", when=at(days=1)))
        (arm,) = [name.split(":")[3] for name in sim.counts if name.startswith("arm:") and name.endswith(":entered")]
        assert sim.counts[f"arm:journey:test:{arm}:converted"] == 1


class TestSetAndEmit:
    def test_set_writes_values_and_references(self) -> None:
        steps = (
            "  - set: {customer.lifecycle: dormant, customer.last.category: product.category, customer.gone: null}\n"
        )
        sim = sim_of(steps)
        sim.publish(event("customer_updated", attributes={"gone": 3}))
        sim.publish(bought("o1", category="tea"))
        assert sim.customer("ada").attributes == {"lifecycle": "dormant", "last": {"category": "tea"}}

    def test_a_reference_to_nothing_writes_nothing(self) -> None:
        sim = sim_of("  - set: {customer.prefers: reply.choice}\n")
        sim.publish(bought("o1"))
        assert sim.customer("ada").attributes == {}

    def test_emit_goes_through_the_log_and_starts_other_journeys(self) -> None:
        case = "name: C\nowner: care\ntrigger: {event: support_case, where: {support_case.urgency: high}}\n"
        case += "reentry: per support_case.id\nsteps: [{send: bye}]\n"
        sim = sim_of(
            "  - {wait_for: store_visit, up_to: 3d}\n"
            "  - {emit: support_case, with: {urgency: high, store: store_visit.store}}\n",
            case=case,
        )
        sim.publish(bought("o1"))
        (send,) = sim.publish(event("store_visit", store="Leeds", when=at(hours=1)))
        assert (send.journey, send.message) == ("case", "bye")
        (emitted,) = sim.emitted
        assert emitted.data["store"] == "Leeds"
        assert emitted.data["journey"] == "journey"
        assert "emitted:journey:support_case" in sim.counts

    def test_an_event_past_its_time_is_worth_nothing(self) -> None:
        sim = sim_of("  - {emit: clerk_hint, expires: 30m}\n")
        sim.publish(bought("o1"))
        (hint,) = sim.emitted
        assert hint.data["expires_at"] == "2026-03-02T10:30:00Z"
        assert hint.expires == int(at(minutes=30).timestamp() * 1000)

    def test_a_holdout_writes_and_emits_nothing(self) -> None:
        sim = sim_of("  - {set: {customer.seen: true}}\n  - emit: support_case\n", more="holdout: 100%")
        sim.publish(bought("o1"))
        assert sim.emitted == []
        assert sim.customer("ada").attributes == {"seen": True}
        assert [d.reason for d in sim.decisions if d.kind == "withheld"] == ["holdout"]


LATER = """
  - send: hello
  - {wait_for: reply, up_to: 3d}
  - repeat:
      while: {reply.intent: later}
      at_most: 2
      steps:
        - wait: 7d
        - {send: hello, channel: same}
        - {wait_for: reply, up_to: 3d}
  - set: {customer.asked: true}
"""


class TestRepeat:
    def answers(self, *texts: str) -> Simulation:
        sim = sim_of(LATER)
        sends = sim.publish(bought("o1"))
        for number, text in enumerate(texts):
            when = at(days=8 * number, hours=1)
            sends += sim.advance(when)
            last = sends[-1]
            sim.publish(event("reply", channel=last.channel, text=text, in_reply_to=last.send_id, when=when))
        sim.advance(at(days=90))
        return sim

    def sent(self, sim: Simulation) -> int:
        return sum(decision.kind == "sent" for decision in sim.decisions)

    def test_it_goes_on_while_the_condition_holds(self) -> None:
        assert self.sent(self.answers("not now, next week please", "thanks")) == 2

    def test_it_ends_after_at_most_so_many_rounds(self) -> None:
        sim = self.answers("later", "later", "later", "later", "later")
        assert self.sent(sim) == 3
        assert sim.customer("ada").attributes["asked"] is True

    def test_it_is_passed_by_when_the_condition_never_held(self) -> None:
        assert self.sent(self.answers("great, thank you")) == 1


class TestSame:
    """An order cancelled elsewhere must not end this run."""

    @pytest.mark.parametrize(("order", "ends"), [("o1", True), ("o2", False)])
    def test_exit(self, order: str, ends: bool) -> None:
        sim = sim_of("  - wait: 5d\n", more="exit_when: [{event: order_cancelled, same: order.id}]")
        sim.publish(bought("o1"))
        sim.publish(event("order_cancelled", order_id=order, when=at(days=1)))
        assert ("ended:journey:order_cancelled" in sim.counts) is ends

    @pytest.mark.parametrize(("order", "ends"), [("o1", True), ("o2", False)])
    def test_wait_for(self, order: str, ends: bool) -> None:
        sim = sim_of(
            "  - {wait_for: order_delivered, up_to: 9d, same: order.id}\n  - {exit: here, if: order_delivered}\n"
        )
        sim.publish(bought("o1"))
        sim.publish(event("order_delivered", order_id=order, when=at(days=1)))
        assert ("ended:journey:here" in sim.counts) is ends

    @pytest.mark.parametrize(("category", "days"), [("tea", 4), ("coffee", 3)])
    def test_after_last(self, category: str, days: int) -> None:
        steps = "  - {wait: 3d, after_last: view, same: product.category}\n  - send: hello\n"
        sim = sim_of(steps, trigger="view")
        sim.publish(event("view", product_id="p", category="tea"))
        sim.publish(event("view", product_id="q", category=category, when=at(days=1)))
        (send,) = sim.advance(at(days=9))
        assert send.at == at(days=days)

    def test_goal(self) -> None:
        sim = sim_of("  - wait: 5d\n", trigger="review", more="goal: {event: refund, within: 9d, same: refund.id}")
        sim.publish(event("review", review_id="r1"))
        assert sim.customer("ada").runs


class TestReentry:
    def test_per_value_runs_side_by_side_and_once_each(self) -> None:
        sim = sim_of("  - wait: 2d\n  - send: hello\n", reentry="per order.id")
        for number in range(3):
            sim.publish(bought(f"o{number}", when=at(hours=number)))
        assert len(sim.customer("ada").runs) == 3
        assert len({run.id for run in sim.customer("ada").runs}) == 3
        assert len(sim.advance(at(days=9))) == 3
        sim.publish({**event("purchase", order_id="o1", when=at(days=10)), "id": "again"})
        assert sim.counts["entered:journey"] == 3

    def test_a_value_that_is_not_there_starts_nothing(self) -> None:
        sim = sim_of("  - send: hello\n", trigger="view", reentry="per view.session")
        sim.publish(event("view", product_id="p"))
        assert sim.counts["ignored:journey:no_key"] == 1

    def test_the_id_of_what_an_event_is_about(self) -> None:
        sim = sim_of("  - wait: 2d\n", trigger="review", reentry="per review.id")
        sim.publish(event("review", review_id="r1"))
        sim.publish(event("review", review_id="r1", when=at(hours=1)))
        sim.publish(event("review", review_id="r2", when=at(hours=2)))
        sim.publish(event("review", when=at(hours=3)))
        assert sim.counts["entered:journey"] == 3

    def test_a_value_that_had_its_run_starts_no_other(self) -> None:
        sim = sim_of("  - send: hello\n", trigger="review", reentry="per review.id")
        for number, review in enumerate(("r1", "r1", "r2")):
            sim.publish(event("review", review_id=review, when=at(days=number)))
        assert (sim.counts["entered:journey"], sim.counts["ignored:journey:reentry"]) == (2, 1)

    def test_restart_begins_anew_and_takes_back_nothing_that_went(self) -> None:
        sim = sim_of("  - wait: 2d\n  - send: hello\n", reentry="restart")
        sim.publish(bought("o1"))
        sim.publish(bought("o2", when=at(days=1)))
        assert sim.counts["ended:journey:restarted"] == 1
        (send,) = sim.advance(at(days=9))
        assert send.at == at(days=3)

    def test_runs_side_by_side_are_bounded(self) -> None:
        sim = sim_of("  - wait: 9d\n", reentry="per order.id")
        for number in range(80):
            sim.publish(bought(f"o{number}"))
        assert sim.counts["entered:journey"] == 64
        assert sim.counts["ignored:journey:too_many_runs"] == 16


def test_a_run_knows_the_event_that_started_it() -> None:
    steps = "  - branch:\n      - if: {review.rating: at most 2}\n        then: [{exit: sad}]\n"
    steps += "      - else: [{exit: glad}]\n"
    sim = sim_of(steps, trigger="review", reentry="per review.id")
    sim.publish(event("review", review_id="a", rating=1))
    sim.publish(event("review", review_id="b", rating=5))
    assert (sim.counts["ended:journey:sad"], sim.counts["ended:journey:glad"]) == (1, 1)


def test_times_counts_to_a_hundred() -> None:
    sim = sim_of("  - send: hello\n", trigger="{event: view, times: 60, within: 7d}")
    for number in range(60):
        sim.publish(event("view", product_id="p", when=at(minutes=number)))
    assert sim.counts["entered:journey"] == 1


class TestGoalAfterTheEnd:
    GOAL = "goal: {event: purchase, where: {product.category: same}, within: 7d, value: order.revenue}"

    def test_it_counts_within_its_window(self) -> None:
        sim = sim_of("  - send: hello\n", trigger="view", reentry="never", more=self.GOAL)
        sim.publish(event("view", product_id="p", category="tea"))
        assert not sim.customer("ada").runs
        sim.publish(bought("o1", category="tea", total=30, when=at(days=3)))
        sim.publish(bought("o2", category="tea", total=30, when=at(days=4)))
        assert [(d.converted, d.value) for d in sim.decisions if d.kind == "converted"] == [(True, 30)]
        assert sim.counts["goal:journey:treated:converted"] == 1

    @pytest.mark.parametrize(("category", "days"), [("coffee", 3), ("tea", 8)])
    def test_not_another_category_and_not_too_late(self, category: str, days: int) -> None:
        sim = sim_of("  - send: hello\n", trigger="view", reentry="never", more=self.GOAL)
        sim.publish(event("view", product_id="p", category="tea"))
        sim.publish(bought("o1", category=category, when=at(days=days)))
        assert "goal:journey:treated:converted" not in sim.counts

    def test_a_holdout_has_the_same_clock(self) -> None:
        sim = sim_of("  - send: hello\n", trigger="view", reentry="never", more=self.GOAL + "\nholdout: 100%")
        sim.publish(event("view", product_id="p", category="tea"))
        sim.publish(bought("o1", category="tea", when=at(days=3)))
        assert sim.counts["goal:journey:holdout:converted"] == 1


class TestSentAnew:
    def failing(self, steps: str, policy_more: str = "") -> Simulation:
        from worlds import POLICY

        sim = simulation(
            HEAD.format(trigger="purchase", reentry="always", more="") + steps, policy=POLICY + policy_more
        )
        sim.publish(known())
        return sim

    def test_a_failed_channel_is_chosen_anew_even_after_the_run_ended(self) -> None:
        sim = self.failing("  - send: hello\n")
        tried = sim.publish(bought("o1"))
        for hour in (1, 2):
            tried += sim.publish(event("message_failed", send_id=tried[-1].send_id, when=at(hours=hour)))
        assert {send.channel for send in tried} == {"email", "sms", "push"}
        assert len({send.send_id for send in tried}) == 3
        assert sim.publish(event("message_failed", send_id=tried[-1].send_id, when=at(hours=3))) == []
        assert sim.customer("ada").resends == []

    def test_until_it_expires(self) -> None:
        sim = self.failing("  - {send: hello, expires: 2h}\n")
        (send,) = sim.publish(bought("o1"))
        assert sim.publish(event("message_failed", send_id=send.send_id, when=at(hours=3))) == []

    def test_a_named_channel_is_what_the_author_wants(self) -> None:
        sim = self.failing("  - {send: hello, channel: sms}\n")
        (send,) = sim.publish(bought("o1"))
        assert sim.publish(event("message_failed", send_id=send.send_id, when=at(hours=1))) == []

    def test_a_run_that_was_left_sends_nothing_anew(self) -> None:
        sim = self.failing("  - send: hello\n  - {exit: enough}\n")
        (send,) = sim.publish(bought("o1"))
        assert sim.publish(event("message_failed", send_id=send.send_id, when=at(hours=1))) == []

    def test_quiet_hours_hold_it_and_it_goes_in_the_morning(self) -> None:
        sim = self.failing("  - send: hello\n", "quiet_hours: 21:00-09:00\n")
        (send,) = sim.publish(bought("o1"))
        assert sim.publish(event("message_failed", send_id=send.send_id, when=at(hours=12))) == []
        (again,) = sim.advance(at(days=2))
        assert again.at == at(hours=23)
        assert again.channel != send.channel

    def test_the_answer_to_it_is_the_runs_answer(self) -> None:
        sim = self.failing("  - send: hello\n  - {wait_for: response, up_to: 3d}\n  - {exit: answered, if: response}\n")
        (send,) = sim.publish(bought("o1"))
        (again,) = sim.publish(event("message_failed", send_id=send.send_id, when=at(hours=1)))
        sim.publish(event("message_clicked", send_id=again.send_id, when=at(hours=2)))
        assert sim.counts["ended:journey:answered"] == 1
