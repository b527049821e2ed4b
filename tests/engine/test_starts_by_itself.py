"""Absences and schedules: armed by the customer's own events, looked at again when due, swept when they go live."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from worlds import T0, at, bought, event, known, program, simulation

from orchestrator.testing.simulation import Simulation

HEAD = "name: J\nowner: test\ntrigger: {trigger}\nreentry: {reentry}\n{more}\nsteps:\n  - send: hello\n"


def text(trigger: str, *, reentry: str = "always", more: str = "") -> str:
    return HEAD.format(trigger=trigger, reentry=reentry, more=more)


def sim_of(trigger: str, **given: str) -> Simulation:
    sim = simulation(text(trigger, **given))
    sim.publish(known())
    return sim


class TestMissingPurchase:
    def test_it_fires_when_the_time_has_passed_since_the_last_one(self) -> None:
        sim = sim_of("{missing: purchase, for: 60d}")
        sim.publish(bought("o1"))
        sim.publish(bought("o2", when=at(days=40)))
        (send,) = sim.advance(at(days=300))
        assert send.at == at(days=100)

    def test_once_for_each_absence(self) -> None:
        sim = sim_of("{missing: purchase, for: 60d}")
        sim.publish(bought("o1"))
        assert len(sim.advance(at(days=300))) == 1
        sim.publish(bought("o2", when=at(days=301)))
        assert len(sim.advance(at(days=900))) == 1

    def test_who_never_bought_misses_nothing(self) -> None:
        sim = sim_of("{missing: purchase, for: 60d}")
        sim.publish(event("view", product_id="p"))
        assert sim.advance(at(days=300)) == []
        assert sim.customer("ada").watches == {}

    def test_twice_the_usual_gap_is_her_own(self) -> None:
        """Who orders weekly is missed within weeks, who orders twice a year after most of a year."""
        due = {}
        for name, gap in (("weekly", 7), ("half_yearly", 180)):
            sim = simulation(text("{missing: purchase, for: 2x usual gap}"))
            sim.publish(known(name))
            for number in range(8):
                sim.publish(bought(f"o{number}", name, when=at(days=gap * number)))
            start = at(days=gap * 7)
            ada = sim.customer(name)
            assert len(ada.watches) == 1
            sends = sim.advance(start + timedelta(days=900))
            # The first of the gaps was missed at the start, by what all customers do.
            due[name] = (sends[-1].at - start).days
        assert 13 <= due["weekly"] <= 30
        assert 200 <= due["half_yearly"] <= 400

    def test_of_a_category(self) -> None:
        sim = sim_of("{missing: purchase, for: 30d, where: {product.category: coffee}}")
        sim.publish(bought("o1", category="coffee"))
        sim.publish(bought("o2", category="tea", when=at(days=20)))
        (send,) = sim.advance(at(days=100))
        assert send.at == at(days=30)

    def test_reentry_and_audience_hold_here_too(self) -> None:
        sim = sim_of(
            "{missing: purchase, for: 30d}", reentry="after 180d", more="audience: {customer.orders: at least 2}"
        )
        sim.publish(bought("o1"))
        assert sim.advance(at(days=31)) == []
        assert sim.counts["ignored:journey:audience"] == 1
        sim.publish(bought("o2", when=at(days=32)))
        assert len(sim.advance(at(days=70))) == 1
        sim.publish(bought("o3", when=at(days=71)))
        assert sim.advance(at(days=150)) == []
        assert sim.counts["ignored:journey:reentry"] == 1

    def test_any_event_may_be_missed(self) -> None:
        sim = sim_of("{missing: app_opened, for: 14d}")
        sim.publish(event("app_opened"))
        sim.publish(event("app_opened", when=at(days=3)))
        (send,) = sim.advance(at(days=90))
        assert send.at == at(days=17)


MAIL = "name: M\nowner: test\ntrigger: purchase\nreentry: per order.id\nsteps: [{send: bye, channel: email}]\n"
SILENT = "name: S\nowner: test\ntrigger: {missing: response, for: 60d, where: {channel: email, sent: at least 4}}\n"
SILENT += "reentry: after 365d\nsteps: [{send: hello, channel: [sms, push]}]\n"


class TestMissingResponse:
    def world(self, orders: int) -> Simulation:
        sim = simulation(MAIL, silent=SILENT)
        sim.publish(known())
        for number in range(orders):
            sim.publish(bought(f"o{number}", when=at(days=number)))
        return sim

    def test_four_unanswered_mails_in_sixty_days(self) -> None:
        sim = self.world(4)
        (send,) = sim.advance(at(days=300))
        assert (send.journey, send.at) == ("silent", at(days=60))

    def test_three_are_too_few(self) -> None:
        assert self.world(3).advance(at(days=300)) == []

    def test_an_answer_starts_the_count_anew(self) -> None:
        sim = self.world(4)
        last = [decision for decision in sim.decisions if decision.kind == "sent"][-1]
        sim.publish(event("message_clicked", send_id=last.id, when=at(days=5)))
        assert sim.advance(at(days=300)) == []

    def test_a_mail_that_never_arrived_is_not_unanswered(self) -> None:
        sim = self.world(4)
        last = [decision for decision in sim.decisions if decision.kind == "sent"][-1]
        sim.publish(event("message_bounced", send_id=last.id, when=at(days=5)))
        assert sim.advance(at(days=300)) == []


class TestSchedule:
    def test_every_monday_at_nine_of_her_own_clock(self) -> None:
        for zone in ("Asia/Tokyo", "America/New_York"):
            sim = simulation(text("{every: monday 09:00}"))
            sim.publish(known(time_zone=zone))
            sends = [send.at.astimezone(ZoneInfo(zone)) for send in sim.advance(at(days=29))]
            assert len(sends) == 4 + (zone != "Asia/Tokyo")
            assert {(send.weekday(), send.hour, send.minute) for send in sends} == {(0, 9, 0)}

    def test_a_day_apart_over_a_change_of_clocks(self) -> None:
        sim = simulation(text("{every: '02:30'}"))
        sim.publish(known(time_zone="Europe/Berlin", when=datetime(2026, 3, 27, tzinfo=UTC)))
        sends = [send.at for send in sim.advance(datetime(2026, 3, 31, 12, tzinfo=UTC))]
        local = [send.astimezone(ZoneInfo("Europe/Berlin")).strftime("%d %H:%M") for send in sends]
        assert local == ["27 02:30", "28 02:30", "29 03:00", "30 02:30", "31 02:30"]

    def test_another_zone_moves_it(self) -> None:
        sim = simulation(text("{every: '18:00'}"))
        sim.publish(known(time_zone="UTC"))
        sim.publish(event("customer_updated", time_zone="America/New_York", when=at(hours=1)))
        (send,) = sim.advance(at(hours=14))
        assert send.at == datetime(2026, 3, 2, 23, tzinfo=UTC)


class TestGoingLive:
    def world(self, customers: int = 20) -> Simulation:
        sim = Simulation(program(), seed=1)
        for number in range(customers):
            sim.publish(known(f"c{number:02}"))
            # All bought long ago, half of them again a few days before the journey goes live.
            sim.publish(bought(f"o{number}", f"c{number:02}", when=T0))
        for number in range(0, customers, 2):
            sim.publish(bought(f"late{number}", f"c{number:02}", when=at(days=95)))
        sim.advance(at(days=100))
        return sim

    def live(self, sim: Simulation, start: str) -> list[datetime]:
        sim.go_live(program(text("{missing: purchase, for: 60d}", more=start)))
        return [send.at for send in sim.advance(at(days=300)) if send.journey == "journey"]

    def test_new_only_takes_in_who_comes_to_fit_later(self) -> None:
        assert self.live(self.world(), "start: new_only") == [at(days=155)] * 10

    def test_existing_ones_come_in_at_the_stated_rate(self) -> None:
        sends = self.live(self.world(), "start: existing at 2/day")
        early = [send for send in sends if send < at(days=150)]
        assert len(sends) == 20
        assert len(early) == 10
        assert {(second - first) for first, second in itertools.pairwise(early)} == {timedelta(hours=12)}

    def test_who_buys_while_she_waits_for_her_turn_is_not_missed(self) -> None:
        sim = self.world()
        sim.go_live(program(text("{missing: purchase, for: 60d}", more="start: existing at 1/day")))
        sim.publish(bought("again", "c19", when=at(days=100, hours=1)))
        assert [send.at for send in sim.advance(at(days=140)) if send.customer == "c19"] == []

    def test_publishing_the_same_journey_again_takes_nobody_in_twice(self) -> None:
        sim = self.world()
        self.live(sim, "start: existing at 100/day")
        other = program(text("{missing: purchase, for: 60d}", more="start: existing at 100/day\npriority: 60"))
        sim.go_live(other)
        assert sim.advance(at(days=400)) == []

    def test_a_journey_that_is_gone_fires_no_more(self) -> None:
        sim = sim_of("{missing: purchase, for: 60d}")
        sim.publish(bought("o1"))
        sim.go_live(program())
        sim.advance(at(days=90))
        assert "entered:journey" not in sim.counts
        assert sim.customer("ada").watches == {}


STAGES = """stages:
  dormant: missing purchase for 100d
  loyal: {customer.orders: at least 3}
  regular: {customer.orders: at least 2}
  new: {customer.orders: at least 1}
  visitor: else
"""
SEGMENTS = """segments:
  big_spender: {customer.revenue: over 50}
  tea_lover: "bought('tea', '30d')"
"""


class TestStages:
    def moves(self, sim: Simulation) -> list[tuple[str | None, str]]:
        return [(one.data.get("from"), one.data["to"]) for one in sim.emitted if one.type == "stage_changed"]

    def test_each_change_is_an_event_once(self) -> None:
        sim = simulation(text("stage_changed"), **{"_stages": STAGES})
        sim.publish(known())
        for number in range(4):
            sim.publish(bought(f"o{number}", when=at(days=number)))
        sim.advance(at(days=300))
        moves = [(None, "visitor"), ("visitor", "new"), ("new", "regular"), ("regular", "loyal"), ("loyal", "dormant")]
        assert self.moves(sim) == moves
        sim.publish(bought("o9", when=at(days=301)))
        assert self.moves(sim)[-1] == ("dormant", "loyal")

    def test_time_alone_moves_her_when_it_is_due(self) -> None:
        sim = simulation(text("{event: stage_changed, where: {stage.to: dormant}}"), **{"_stages": STAGES})
        sim.publish(known())
        sim.publish(bought("o1"))
        (send,) = sim.advance(at(days=300))
        assert send.at == at(days=100)

    def test_conditions_read_it_in_the_same_step(self) -> None:
        sim = simulation(text("purchase", more="audience: {customer.stage: new}"), **{"_stages": STAGES})
        sim.publish(known())
        assert len(sim.publish(bought("o1"))) == 1
        assert sim.publish(bought("o2", when=at(days=1))) == []

    def test_who_was_known_before_the_file_is_placed_without_an_event(self) -> None:
        sim = Simulation(program(), seed=1)
        sim.publish(known())
        sim.publish(bought("o1"))
        sim.go_live(program(text("stage_changed"), **{"_stages": STAGES}))
        assert sim.customer("ada").stage == "new"
        assert self.moves(sim) == []
        sim.publish(bought("o2", when=at(days=1)))
        assert self.moves(sim) == [("new", "regular")]

    def test_an_event_that_comes_before_the_sweep_places_her_quietly_too(self) -> None:
        sim = simulation(text("stage_changed"), **{"_stages": STAGES})
        sim.publish(known())
        ada = sim.customer("ada")
        ada.stage = ""  # as a document from before the file
        before = len(self.moves(sim))
        sim.publish(bought("o1"))
        assert ada.stage == "new"
        assert len(self.moves(sim)) == before

    def test_a_field_that_a_journey_sets_counts_at_once(self) -> None:
        stages = "stages: {vip: {customer.vip: true}, other: else}\n"
        steps = "name: J\nowner: t\ntrigger: purchase\nsteps: [{set: {customer.vip: true}}]\n"
        sim = simulation(steps, **{"_stages": stages})
        sim.publish(bought("o1"))
        assert self.moves(sim)[-1] == ("other", "vip")


class TestSegments:
    def test_entering_and_leaving_are_events(self) -> None:
        sim = simulation(
            text("{event: segment_entered, where: {segment.name: big_spender}}"), **{"_segments": SEGMENTS}
        )
        sim.publish(known())
        sim.publish(bought("o1", category="tea", total=30))
        assert len(sim.publish(bought("o2", total=30, when=at(days=1)))) == 1
        sim.advance(at(days=90))
        told = [(one.type, one.data["name"]) for one in sim.emitted]
        assert told == [
            ("segment_entered", "tea_lover"),
            ("segment_entered", "big_spender"),
            ("segment_left", "tea_lover"),
        ]

    def test_conditions_read_them_beside_the_publishers_labels(self) -> None:
        sim = simulation(text("view", more="audience: {customer.segments: big_spender}"), **{"_segments": SEGMENTS})
        sim.publish(known(segments=["eu"]))
        sim.publish(bought("o1", total=60))
        assert len(sim.publish(event("view", product_id="p", when=at(days=1)))) == 1


class TestRollout:
    def entered(self, rollout: str, customers: int = 300) -> set[str]:
        sim = simulation(text("purchase", more=f"rollout: {rollout}"))
        for number in range(customers):
            sim.publish(known(f"c{number}", attributes={"kind": "consumer" if number % 2 else "business"}))
            sim.publish(bought(f"o{number}", f"c{number}"))
        return {decision.customer for decision in sim.decisions if decision.kind == "entered"}

    def test_raising_the_share_drops_nobody(self) -> None:
        few, more = self.entered("{share: 20%}"), self.entered("{share: 50%}")
        assert few < more
        assert 40 <= len(few) <= 80
        assert 120 <= len(more) <= 180

    def test_only_some(self) -> None:
        assert len(self.entered("{only: {customer.kind: consumer}}", 20)) == 10

    def test_channels(self) -> None:
        sim = simulation(text("purchase", more="rollout: {channels: [sms]}"))
        sim.publish(known())
        (send,) = sim.publish(bought("o1"))
        assert send.channel == "sms"

    def test_until_its_last_day(self) -> None:
        sim = simulation(
            text("purchase", more="rollout: {until: 2026-03-03}").replace("- send", "- wait: 1d\n  - send")
        )
        sim.publish(known())
        sim.publish(bought("o1"))
        assert len(sim.advance(at(days=1))) == 1
        sim.publish(bought("o2", when=at(days=1, hours=1)))
        assert sim.advance(at(days=9)) == []
        assert sim.counts["ended:journey:rollout_over"] == 1
        sim.publish(bought("o3", when=at(days=10)))
        assert sim.counts["ignored:journey:rollout_over"] == 1

    @pytest.mark.parametrize("failing", [False, True])
    def test_the_budget_is_never_passed(self, failing: bool) -> None:
        more = "rollout: {budget: 0.52 EUR, channels: [sms]}"
        sim = simulation(text("purchase", more=more))
        for number in range(40):
            sim.publish(known(f"c{number}"))
            sends = sim.publish(bought(f"o{number}", f"c{number}"))
            if failing and sends:
                sim.publish(event("message_failed", f"c{number}", send_id=sends[0].send_id))
        sent = sum(decision.kind == "sent" for decision in sim.decisions)
        assert sent == 10
