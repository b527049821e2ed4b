"""Durations and the other short phrases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.language.durations import (
    DAY,
    HOUR,
    LONGEST,
    MINUTE,
    SECOND,
    WEEK,
    format_duration,
    parse_cap,
    parse_clock,
    parse_duration,
    parse_share,
    parse_window,
)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30m", 30 * MINUTE),
        ("2h", 2 * HOUR),
        ("3d", 3 * DAY),
        ("2w", 2 * WEEK),
        ("45s", 45 * SECOND),
        ("1d 12h", 36 * HOUR),
        ("1d12h", 36 * HOUR),
        ("1w 2d 3h 4m 5s", WEEK + 2 * DAY + 3 * HOUR + 4 * MINUTE + 5 * SECOND),
        ("P3D", 3 * DAY),
        ("P2W", 2 * WEEK),
        ("PT36H", 36 * HOUR),
        ("P1DT12H", 36 * HOUR),
        (" 3d ", 3 * DAY),
        ("0m", 0),
    ],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("3 days", "'3 days' is not a duration: write 3d, 12h, 45m or 2w"),
        ("", "'' is not a duration: write 3d, 12h, 45m or 2w"),
        ("-3d", "'-3d' is not a duration: write 3d, 12h, 45m or 2w"),
        ("12h 1d", "'12h 1d' is not a duration: write 3d, 12h, 45m or 2w"),
        ("1.5d", "'1.5d' is not a duration: write 3d, 12h, 45m or 2w"),
        ("3D", "'3D' is not a duration: write 3d, 12h, 45m or 2w"),
        ("P", "'P' is not a duration: write 3d, 12h, 45m or 2w"),
        ("PT", "'PT' is not a duration: write 3d, 12h, 45m or 2w"),
        ("P1Y", "'P1Y' is not a duration: write 3d, 12h, 45m or 2w"),
        ("٣d", "'٣d' is not a duration: write 3d, 12h, 45m or 2w"),
        (3, "'3' is not a duration: which unit? Write 3d, 3h or 3m"),
        (True, "'true' is not a duration: write 3d, 12h, 45m or 2w"),
        (None, "nothing is not a duration: write 3d, 12h, 45m or 2w"),
        ("99999d", "'99999d' is longer than ten years: write a shorter duration"),
    ],
)
def test_what_is_no_duration_says_how_to_write_one(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        parse_duration(value)
    assert str(caught.value) == message


@given(st.integers(min_value=0, max_value=LONGEST // SECOND))
def test_durations_round_trip(seconds: int) -> None:
    assert parse_duration(format_duration(seconds * SECOND)) == seconds * SECOND


@given(st.text(max_size=12))
def test_any_text_parses_or_says_why(text: str) -> None:
    for parse in (parse_duration, parse_clock, parse_window, parse_cap, parse_share):
        try:
            parse(text)
        except ValueError as error:
            said = str(error)
        else:
            said = ": "
        assert ": " in said


def test_windows_caps_shares() -> None:
    assert parse_window("21:00-09:00") == (1260, 540)
    assert parse_window("12:00 - 13:30") == (720, 810)
    assert parse_cap("3 per 30d") == (3, 30 * DAY)
    assert parse_share("10%") == 0.1
    assert parse_share("0.5 %") == 0.005
    assert parse_share("0%") == 0


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (parse_window, "21-9", "'21-9' is not a window of the day: write 21:00-09:00"),
        (parse_window, "24:00-09:00", "'24:00-09:00' is not a window of the day: write 21:00-09:00"),
        (parse_window, "09:00-09:00", "'09:00-09:00' covers no time or the whole day: write two different times"),
        (parse_window, 1260, "'1260' is not a window of the day: write 21:00-09:00"),
        (parse_cap, "twice a week", "'twice a week' is not a cap: write '2 per 7d'"),
        (parse_cap, "3 per week", "'week' is not a duration: write 3d, 12h, 45m or 2w"),
        (parse_cap, "0 per 7d", "'0 per 7d' would never allow a message: write '2 per 7d'"),
        (parse_cap, 3, "'3' is not a cap: write '2 per 7d'"),
        (parse_share, 0.1, "'0.1' is not a share: write '10%'"),
        (parse_share, 10, "'10' is not a share: write '10%'"),
        (parse_share, "110%", "'110%' is more than everybody: write a share up to 100%"),
    ],
)
def test_wrong_phrases(parse: object, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        parse(value)  # type: ignore[operator]
    assert str(caught.value) == message
