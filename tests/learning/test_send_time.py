"""Hours: the curve finds a customer's habit, shrinks what is thin, and the choice is logged as it was drawn."""

from __future__ import annotations

import time

import numpy as np
import pytest

from orchestrator.learning import send_time
from orchestrator.learning.cells import UNIT
from orchestrator.learning.send_time import BINS, Hours, chance_at, choose_moment, common_curve, own_curve

DAY = [60 * hour for hour in range(24)]


def person(best: float, messages: int, *, seed: int, height: float = 1.2) -> Hours:
    """Somebody who answers best at an hour, written to at any hour."""
    chance, hours = np.random.default_rng(seed), Hours()
    for _ in range(messages):
        hour = chance.uniform(0, 24)
        place = send_time.bin_of(int(hour * 60))
        hours.add_sent(place)
        rate = 1 / (1 + np.exp(-(-1.0 + height * np.cos(2 * np.pi * (hour - best) / 24))))
        if chance.random() < rate:
            hours.add_engaged(place)
    return hours


def peak(curve: tuple[float, ...]) -> int:
    return max(range(24), key=lambda hour: chance_at(curve, 60 * hour))


def test_the_curve_finds_the_habit() -> None:
    for best in (3, 9, 20):
        found = peak(own_curve(person(best, 100, seed=best)))
        assert min(abs(found - best), 24 - abs(found - best)) <= 3


def test_more_messages_capture_more_of_what_the_best_hour_brings() -> None:
    captured = {}
    for messages in (10, 50):
        gains = []
        for seed in range(120):
            best = 8 + 12 * (seed % 10) / 10
            hour = peak(own_curve(person(best, messages, seed=1000 + seed)))
            gains.append(np.cos(2 * np.pi * (hour - best) / 24))
        captured[messages] = float(np.mean(gains))
    assert captured[10] > 0.2
    assert captured[50] > captured[10] + 0.1
    assert captured[50] > 0.6


def test_a_customer_nobody_knows_has_everybodys_curve() -> None:
    sums = [0] * send_time.WIDTH
    for seed in range(60):
        hours = person(19, 40, seed=seed)
        for place in range(BINS):
            sums[place] += hours.sent[place] * UNIT
            sums[BINS + place] += hours.engaged[place] * UNIT
    common = common_curve(sums)
    assert abs(peak(common) - 19) <= 1
    assert own_curve(None, common) == common
    assert own_curve(Hours(), common) == common
    # One answer at night moves little.
    one = Hours()
    one.add_sent(1)
    one.add_engaged(1)
    assert abs(peak(own_curve(one, common)) - 19) <= 2
    assert common_curve(None) == common_curve([0] * send_time.WIDTH)


def test_the_earliest_of_equal_hours_and_its_probability() -> None:
    flat = (-1.0, 0.0, 0.0, 0.0, 0.0)
    assert choose_moment(flat, DAY, 0.5) == send_time.Moment(0, pytest.approx(0.9 + 0.1 / 24))
    evening = (-1.0, -1.0, -1.0, 0.0, 0.0)
    assert choose_moment(evening, DAY, 0.5).place == 14
    # One time in ten any hour, each alike.
    drawn = [choose_moment(evening, DAY, (place + 0.5) / 10_000) for place in range(10_000)]
    counts = np.bincount([moment.place for moment in drawn], minlength=24)
    for moment in drawn:
        assert counts[moment.place] / 10_000 == pytest.approx(moment.chance, abs=0.001)


def test_counts_stay_small_and_forget() -> None:
    hours = Hours()
    for turn in range(5_000):
        hours.add_sent(turn % BINS)
        hours.add_engaged(turn % BINS)
        hours.add_engaged(turn % BINS)
    assert sum(hours.sent) <= 130
    assert all(engaged <= sent for engaged, sent in zip(hours.engaged, hours.sent, strict=True))


def test_wild_counts_still_give_a_curve() -> None:
    for sent, engaged in (([120] + [0] * 11, [120] + [0] * 11), ([120] * 12, [0] * 12), ([120] * 12, [120] * 12)):
        curve = own_curve(Hours(sent, engaged))
        assert all(abs(value) < 20 for value in curve)


def test_a_curve_is_cheap() -> None:
    hours = person(20, 60, seed=1)
    began = time.perf_counter()
    for _ in range(50):
        own_curve(hours)
    assert (time.perf_counter() - began) / 50 < 0.005
