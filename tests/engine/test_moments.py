"""`wait_until` dates and clocks, `send at`, by the customer's own zone; every defect of time seen in other products."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from worlds import POLICY, T0, at, bought, event, known, simulation

from orchestrator.engine.local_time import end_of_day, instant, is_quiet, moment_in, next_clock, quiet_until
from orchestrator.engine.zones import provenance_of, zone_of
from orchestrator.language.program import Clock, QuietHours

HEAD = "name: J\nowner: test\ntrigger: purchase\nreentry: always\nsteps:\n"


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def sent(steps: str, *, zone: str = "UTC", when: datetime = T0, **data: object) -> datetime | None:
    sim = simulation(HEAD + steps)
    sim.publish(known(time_zone=zone, when=when))
    purchase = bought("o1", when=when)
    purchase["data"].update(data)
    sends = [*sim.publish(purchase), *sim.advance(when + timedelta(days=60))]
    return sends[0].at if sends else None


class TestClocks:
    def test_auckland_asked_on_friday_waits_for_monday_there(self) -> None:
        """Another product checks the weekday of the UTC instant and sends on Saturday."""
        friday_noon = datetime(2026, 3, 6, 12, tzinfo=ZoneInfo("Pacific/Auckland"))
        found = sent("  - wait_until: monday 09:00\n  - send: hello\n", zone="Pacific/Auckland", when=friday_noon)
        assert found == datetime(2026, 3, 9, 9, tzinfo=ZoneInfo("Pacific/Auckland"))

    def test_auckland_asked_on_saturday_does_not_skip_monday(self) -> None:
        saturday = datetime(2026, 3, 7, 12, tzinfo=ZoneInfo("Pacific/Auckland"))
        found = sent("  - wait_until: monday 09:00\n  - send: hello\n", zone="Pacific/Auckland", when=saturday)
        assert found == datetime(2026, 3, 9, 9, tzinfo=ZoneInfo("Pacific/Auckland"))

    def test_thursday_in_tokyo_is_thursday_there(self) -> None:
        asked = datetime(2023, 12, 19, 23, tzinfo=UTC)
        found = sent("  - wait_until: thursday 05:00\n  - send: hello\n", zone="Asia/Tokyo", when=asked)
        assert found is not None
        assert found.astimezone(ZoneInfo("Asia/Tokyo")).strftime("%a %H:%M") == "Thu 05:00"

    def test_nine_stays_nine_over_a_change_of_clocks(self) -> None:
        """Another product takes today's offset for the day after the change and sends at ten."""
        before = datetime(2026, 3, 7, 12, tzinfo=ZoneInfo("America/New_York"))
        found = sent("  - wait_until: monday 09:00\n  - send: hello\n", zone="America/New_York", when=before)
        assert found is not None
        assert found.astimezone(ZoneInfo("America/New_York")).hour == 9

    def test_nine_at_nine_is_tomorrow_for_a_wait_and_now_for_a_send(self) -> None:
        nine = datetime(2026, 3, 3, 9, tzinfo=UTC)
        assert sent("  - wait_until: 09:00\n  - send: hello\n", when=nine) == nine + timedelta(days=1)
        assert sent("  - {send: hello, at: 09:00}\n", when=nine) == nine

    def test_a_move_to_another_zone_moves_the_clock(self) -> None:
        sim = simulation(HEAD + "  - wait_until: 18:00\n  - send: hello\n")
        sim.publish(known(time_zone="UTC"))
        sim.publish(bought("o1"))
        sim.publish(event("customer_updated", time_zone="America/New_York", when=at(hours=1)))
        (send,) = sim.advance(at(days=2))
        assert send.at.astimezone(ZoneInfo("America/New_York")).hour == 18


class TestDates:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("2026-03-20", datetime(2026, 3, 18, tzinfo=ZoneInfo("Europe/Warsaw"))),
            ("2026-03-20T15:00:00", datetime(2026, 3, 18, 15, tzinfo=ZoneInfo("Europe/Warsaw"))),
            ("2026-03-20T15:00:00Z", datetime(2026, 3, 18, 15, tzinfo=UTC)),
            ("2026-03-01", T0),  # past: at once
            ("soon", T0),  # no date: nothing to wait for
            (7, T0),
            (None, T0),
        ],
    )
    def test_two_days_before_the_delivery(self, value: object, expected: datetime) -> None:
        """Another product reads no date from the event and goes on at once."""
        steps = "  - wait_until: 2d before order.delivery_date\n  - send: hello\n"
        assert sent(steps, zone="Europe/Warsaw", delivery_date=value) == expected


class TestSendAt:
    def test_at_a_time_of_her_day(self) -> None:
        steps = "  - {send: hello, at: '18:30'}\n"
        assert sent(steps, zone="Asia/Kolkata") == datetime(2026, 3, 2, 18, 30, tzinfo=ZoneInfo("Asia/Kolkata"))

    def test_it_is_held_with_a_reason_and_the_step_is_not_over(self) -> None:
        sim = simulation(HEAD + "  - {send: hello, at: '18:30'}\n  - wait: 1h\n  - send: bye\n")
        sim.publish(known())
        sim.publish(bought("o1"))
        assert [d.reason for d in sim.decisions if d.kind == "held"] == ["hour"]
        assert [send.at for send in sim.advance(at(days=2))] == [at(hours=8.5), at(hours=9.5)]

    def test_it_expires_before_its_hour(self) -> None:
        assert sent("  - {send: hello, at: '18:30', expires: 3h}\n") is None

    def test_best_without_a_learned_hour_is_now(self) -> None:
        assert sent("  - {send: hello, at: best}\n") == T0

    def test_a_later_hold_by_quiet_hours_ends_with_them(self) -> None:
        sim = simulation(HEAD + "  - {send: hello, at: '22:00'}\n", policy=POLICY + "quiet_hours: 21:00-09:00\n")
        sim.publish(known())
        sim.publish(bought("o1"))
        (send,) = sim.advance(at(days=2))
        assert send.at == datetime(2026, 3, 3, 9, tzinfo=UTC)


class TestQuietHours:
    def test_overnight_at_23_waits_until_the_morning_only(self) -> None:
        """One product waits 23 hours here; another takes the complement of the window."""
        night = QuietHours(22 * 60, 6 * 60)
        asked = ms(datetime(2026, 3, 2, 23, tzinfo=UTC))
        assert quiet_until(asked, night, ZoneInfo("UTC")) == ms(datetime(2026, 3, 3, 6, tzinfo=UTC))
        assert is_quiet(asked, night, ZoneInfo("UTC"))
        assert not is_quiet(ms(datetime(2026, 3, 2, 12, tzinfo=UTC)), night, ZoneInfo("UTC"))

    def test_outside_it_nothing_waits(self) -> None:
        """Another product lets a weekday without hours wait for midnight."""
        noon = ms(datetime(2026, 3, 4, 12, tzinfo=UTC))
        assert quiet_until(noon, QuietHours(21 * 60, 9 * 60), ZoneInfo("UTC")) == noon

    def test_the_customers_clock_not_the_servers(self) -> None:
        for zone in ("Asia/Tokyo", "America/Los_Angeles"):
            found = sent("  - {send: hello, at: '09:00'}\n", zone=zone)
            assert found is not None
            assert found.astimezone(ZoneInfo(zone)).hour == 9


def transitions(tz: ZoneInfo, first: int, last: int) -> list[int]:
    """Instants (ms) at which a zone's offset changes, found by halving: no use of the code under test."""
    found = []
    low = datetime(first, 1, 1, tzinfo=UTC)
    while low.year < last:
        high = low + timedelta(days=7)
        if low.astimezone(tz).utcoffset() != high.astimezone(tz).utcoffset():
            a, b = low, high
            while b - a > timedelta(seconds=1):
                middle = a + (b - a) / 2
                middle = middle.replace(microsecond=0)
                if middle <= a:
                    break
                if middle.astimezone(tz).utcoffset() == low.astimezone(tz).utcoffset():
                    a = middle
                else:
                    b = middle
            found.append(ms(b))
        low = high
    return found


def rules() -> dict[tuple[int, ...], tuple[str, list[int]]]:
    """One zone for each different calendar of changes; zones that never change differ only by their offset."""
    kinds: dict[tuple[int, ...], tuple[str, list[int]]] = {}
    for name in sorted(available_timezones()):
        tz = ZoneInfo(name)
        changes = transitions(tz, 2020, 2036)
        offset = datetime(2026, 1, 1, tzinfo=UTC).astimezone(tz).utcoffset() or timedelta()
        kinds.setdefault((round(offset.total_seconds()), *changes), (name, changes))
    return kinds


@pytest.mark.timeout(90)
def test_every_zone_through_every_change_of_clocks() -> None:
    """Around each change from 2020 to 2035: quiet hours end outside themselves and soon, clocks show their time (or the
    end of the gap that swallowed it), come once a day, and never lie in the past."""
    night, split = QuietHours(21 * 60, 9 * 60), QuietHours(1 * 60 + 30, 2 * 60 + 45)
    walked = 0
    for name, changes in rules().values():
        tz = ZoneInfo(name)
        for change in changes or [ms(datetime(2026, 3, 29, 1, tzinfo=UTC))]:
            for minutes in (-1500, -61, -1, 0, 1, 29, 59, 61, 200):
                asked = change + minutes * 60_000
                for hours in (night, split):
                    free = quiet_until(asked, hours, tz)
                    assert asked <= free <= asked + 26 * 3_600_000, (name, asked, hours)
                    assert not is_quiet(free, hours, tz), (name, asked, hours)
                    assert free == asked or is_quiet(free - 60_000, hours, tz) or is_quiet(free - 1, hours, tz)
            for minute in (0, 90, 150, 9 * 60):
                _walk_clock(name, tz, change, minute)
            walked += 1
    assert walked > 900


def _walk_clock(name: str, tz: ZoneInfo, change: int, minute: int) -> None:
    at_, days = change - 36 * 3_600_000, []
    for _ in range(4):
        found = next_clock(at_, Clock(minute), tz)
        wall = datetime.fromtimestamp(found / 1000, tz)
        shown = wall.hour * 60 + wall.minute
        before = datetime.fromtimestamp((found - 1) / 1000, tz)
        in_gap = (wall.replace(tzinfo=None) - before.replace(tzinfo=None)) > timedelta(minutes=1)
        assert at_ < found <= at_ + 50 * 3_600_000, (name, at_)
        assert shown == minute or in_gap, (name, wall, minute)
        days.append((before if in_gap and shown < minute else wall).date())
        at_ = found
    assert len(set(days)) == 4, (name, days, minute)
    assert all(later - earlier == timedelta(days=1) for earlier, later in itertools.pairwise(days)), (
        name,
        days,
    )


def test_what_comes_twice_is_taken_once_at_its_first_coming() -> None:
    tz = ZoneInfo("Europe/Berlin")
    first = ms(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    assert next_clock(first - 3_600_000, Clock(150), tz) == first
    assert next_clock(first, Clock(150), tz) == ms(datetime(2026, 10, 26, 2, 30, tzinfo=tz))


def test_what_is_skipped_is_taken_at_the_change() -> None:
    tz = ZoneInfo("Europe/Berlin")
    change = ms(datetime(2026, 3, 29, 1, tzinfo=UTC))
    assert next_clock(change - 3_600_000, Clock(150), tz) == change
    assert instant(datetime.combine(date(2026, 3, 29), time(2, 30)), tz) == change
    assert moment_in("2026-03-29T02:30:00", tz) == change


def test_the_end_of_a_day_is_the_next_midnight() -> None:
    assert end_of_day("2027-03-31", ZoneInfo("Europe/Warsaw")) == ms(
        datetime(2027, 4, 1, tzinfo=ZoneInfo("Europe/Warsaw"))
    )


class TestWhoseZone:
    """Stated, else from the country of her address, else of her phone number, else the policy's."""

    @pytest.mark.parametrize(
        ("data", "name", "provenance"),
        [
            ({"time_zone": "Asia/Tokyo", "attributes": {"country": "PL"}}, "Asia/Tokyo", "stated"),
            ({"attributes": {"country": "pl"}}, "Europe/Warsaw", "address"),
            ({"addresses": {"phone": "+447700900123"}}, "Europe/London", "phone"),
            ({"addresses": {"phone": "+353851234567"}}, "Europe/Dublin", "phone"),
            ({"attributes": {"country": "US"}, "addresses": {"phone": "+15005550006"}}, "UTC", "default"),
            ({"attributes": {"country": 48}}, "UTC", "default"),
        ],
    )
    def test_provenance(self, data: dict[str, object], name: str, provenance: str) -> None:
        sim = simulation(HEAD + "  - send: hello\n")
        sim.publish(event("customer_updated", **data))
        policy, ada = sim.program.policy, sim.customer("ada")
        assert (zone_of(ada, policy).key, provenance_of(ada, policy)) == (name, provenance)

    def test_it_is_the_clock_that_holds_a_send(self) -> None:
        sim = simulation(HEAD + "  - {send: hello, at: '18:30'}\n")
        sim.publish(known(attributes={"country": "IN"}))
        sim.publish(bought("o1"))
        (send,) = sim.advance(at(days=2))
        assert send.at == datetime(2026, 3, 2, 13, 0, tzinfo=UTC)
