"""Gaps, dates and intervals of buyers of no, one, two and fifty orders; amounts; what comes back."""

from __future__ import annotations

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.learning.cells import DAY_MS
from orchestrator.learning.rhythm import (
    POINTS,
    START,
    Rhythm,
    RhythmPrior,
    gap_days,
    gap_interval,
    next_due,
    next_gap,
    surplus,
    usual_gap,
)

COFFEE = RhythmPrior(mean=log(30), strength=1.0, shape=3.0, scale=0.5)


def rhythm(*days: float, amounts: tuple[float, ...] = ()) -> Rhythm:
    made = Rhythm()
    for place, day in enumerate(days):
        made.bought(round(day * DAY_MS), amounts[place] if amounts else 1.0)
    return made


def test_everybody_gets_a_sensible_date() -> None:
    assert next_due(None, COFFEE) is None
    assert next_due(Rhythm(), COFFEE) is None
    one, two = rhythm(100), rhythm(100, 110)
    fifty = rhythm(*(100 + 10 * i for i in range(50)))
    assert gap_days(None, 0.5, COFFEE) == pytest.approx(30)
    assert next_due(one, COFFEE) == round(130 * DAY_MS)
    # One gap of 10 days: half way, on the log scale, from the category's 30.
    assert gap_days(two, 0.5, COFFEE) == pytest.approx((30 * 10) ** 0.5)
    assert gap_days(fifty, 0.5, COFFEE) == pytest.approx(10, rel=0.06)
    widths = [gap_interval(known, COFFEE) for known in (one, two, fifty)]
    assert widths[2][1] / widths[2][0] < widths[0][1] / widths[0][0]
    assert all(
        low < gap_days(known, 0.5, COFFEE) < high for known, (low, high) in zip((one, two, fifty), widths, strict=True)
    )


def test_the_posterior_is_that_of_the_textbook() -> None:
    known = rhythm(0, 20, 50)
    keep = 2 ** (-30 / 365)
    n, s, q = keep + 1, keep * log(20) + log(30), keep * log(20) ** 2 + log(30) ** 2
    k = COFFEE.strength + n
    m = (COFFEE.strength * COFFEE.mean + s) / k
    b = COFFEE.scale + (q - s * s / n) / 2 + COFFEE.strength * n * (s / n - COFFEE.mean) ** 2 / (2 * k)
    a = COFFEE.shape + n / 2
    gap = next_gap(known, COFFEE)
    assert gap.location == pytest.approx(m)
    assert gap.scale == pytest.approx((b * (k + 1) / (a * k)) ** 0.5)
    assert gap.degrees == pytest.approx(2 * a)


def test_an_open_gap_is_censored() -> None:
    known = rhythm(*range(0, 100, 10))
    gap = next_gap(known, COFFEE)
    assert gap.open_after(0) == 1
    assert gap.open_after(gap.quantile(0.5)) == pytest.approx(0.5)
    assert gap.open_after(gap.quantile(0.9)) == pytest.approx(0.1)
    late = gap.quantile(0.5, elapsed=25)
    assert late > 25
    # Half of what is left beyond 25 days.
    assert gap.open_after(late) == pytest.approx(gap.open_after(25) / 2)
    assert gap_days(known, 0.5, COFFEE, elapsed=1e9) >= 1e9


def test_several_purchases_on_one_day_are_one() -> None:
    known = rhythm(10.2, 10.9, 30.1)
    assert (known.count, known.n) == (2, 1)
    assert known.last == round(30.1 * DAY_MS)


def test_stocking_up_makes_the_gap_longer() -> None:
    prior = RhythmPrior(COFFEE.mean, COFFEE.strength, COFFEE.shape, COFFEE.scale, slope=0.8)
    usual, stocked = rhythm(0, 10, 20, amounts=(1, 1, 1)), rhythm(0, 10, 20, amounts=(1, 1, 4))
    assert surplus(usual, prior) == 0
    assert surplus(stocked, prior) == pytest.approx(log(4), abs=0.07)
    assert gap_days(stocked, 0.5, prior) == pytest.approx(gap_days(usual, 0.5, prior) * 4**0.8, rel=0.06)
    assert gap_days(stocked, 0.5, COFFEE) == gap_days(usual, 0.5, COFFEE)
    # Whoever always buys four has not stocked up.
    assert gap_days(rhythm(*range(0, 100, 10), amounts=(4.0,) * 10), 0.5, prior) < gap_days(stocked, 0.5, prior) / 2


def test_a_purchase_that_came_back_was_never_there() -> None:
    known, without = rhythm(0, 10, 17, 30), rhythm(0, 10, 30)
    assert known.returned(17 * DAY_MS)
    assert (known.n, known.total, known.squares) == pytest.approx((without.n, without.total, without.squares))
    assert (known.count, known.last, known.times) == (without.count, without.last, without.times)
    assert known.returned(30 * DAY_MS)
    assert next_due(known, COFFEE) == pytest.approx(next_due(rhythm(0, 10), COFFEE), abs=60_000)
    assert not known.returned(77 * DAY_MS)
    assert known.returned(10 * DAY_MS)
    assert known.returned(0)
    assert next_due(known, COFFEE) is None
    assert (known.n, known.count) == (0, 0)


def test_a_purchase_told_late_takes_its_place() -> None:
    late, in_order = rhythm(0, 30, 10), rhythm(0, 10, 30)
    assert (late.n, late.total, late.squares) == pytest.approx((in_order.n, in_order.total, in_order.squares))
    assert late.times == in_order.times
    assert late.last == in_order.last
    old = rhythm(*range(100, 170, 10))
    count, gap = old.count, next_gap(old)
    old.bought(5 * DAY_MS)
    assert (old.count, next_gap(old), len(old.times)) == (count + 1, gap, POINTS)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=POINTS, unique=True), st.data())
def test_taking_out_undoes_putting_in(days: list[int], data: st.DataObject) -> None:
    first = min(days)
    days = [day - first for day in days]
    known = rhythm(*days)
    gone = data.draw(st.sampled_from(days))
    known.returned(gone * DAY_MS)
    left = rhythm(*sorted(day for day in days if day != gone))
    assert (known.n, known.total, known.squares) == pytest.approx((left.n, left.total, left.squares), abs=1e-6)
    assert known.times == left.times


def test_the_usual_gap_is_her_median_blended_with_the_categorys() -> None:
    assert usual_gap(None, COFFEE) == pytest.approx(30)
    assert usual_gap(rhythm(5), COFFEE) == pytest.approx(30)
    # One wild gap moves the mean, not the median.
    wild = rhythm(0, 10, 20, 30, 40, 140)
    blended = exp((COFFEE.mean + wild.n * log(10)) / (1 + wild.n))
    assert usual_gap(wild, COFFEE) == pytest.approx(blended)
    assert usual_gap(wild, COFFEE) < gap_days(wild, 0.5, COFFEE)


def test_a_document_stays_small() -> None:
    import msgspec

    many = rhythm(*(20_000 + 7 * i for i in range(300)), amounts=tuple(float(1 + i % 9) for i in range(300)))
    assert len(msgspec.msgpack.encode(many)) <= 90
    assert START.slope == 0
