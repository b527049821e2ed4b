"""Durations, clock windows and shares as people write them. All results are integers (ms, minutes) or shares 0..1.

Each parser raises ValueError with a sentence that quotes the text and shows the right form.
"""

from __future__ import annotations

import re

from orchestrator.language.findings import quoted

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

_UNITS = {"w": WEEK, "d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND}
_PARTS = re.compile(r"(?:(\d{1,6})w ?)?(?:(\d{1,6})d ?)?(?:(\d{1,6})h ?)?(?:(\d{1,6})m ?)?(?:(\d{1,6})s)?", re.ASCII)
_ISO = re.compile(r"P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?", re.ASCII)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_CAP = re.compile(r"(\d{1,4}) per (.+)", re.ASCII)
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,4})?) ?%", re.ASCII)

#: The longest duration: ten years. Longer ones are typing mistakes.
LONGEST = 3_653 * DAY


def parse_duration(text: object) -> int:
    """Milliseconds of `30m`, `2h`, `3d`, `2w`, `1d 12h` or ISO `P3D`. A day is 24 hours, a week seven days."""
    if isinstance(text, int) and not isinstance(text, bool):
        raise ValueError(f"{quoted(text)} is not a duration: which unit? Write {text}d, {text}h or {text}m")
    if not isinstance(text, str):
        raise ValueError(f"{quoted(text)} is not a duration: write 3d, 12h, 45m or 2w")
    written = text.strip()
    match = _ISO.fullmatch(written) if written.startswith("P") else _PARTS.fullmatch(written)
    if match is None or not any(match.groups()):
        raise ValueError(f"{quoted(text)} is not a duration: write 3d, 12h, 45m or 2w")
    total = sum(int(count) * unit for count, unit in zip(match.groups(), _UNITS.values(), strict=True) if count)
    if total > LONGEST:
        raise ValueError(f"{quoted(text)} is longer than ten years: write a shorter duration")
    return total


def format_duration(ms: int) -> str:
    """The shortest words for a duration in whole seconds: 36 hours are `1d 12h`. Inverse of `parse_duration`."""
    if ms == 0:
        return "0m"
    if ms % WEEK == 0:
        return f"{ms // WEEK}w"
    words = []
    rest = ms
    for unit in "dhms":
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            words.append(f"{count}{unit}")
    return " ".join(words)


def parse_clock(text: object) -> int:
    """Minutes after midnight of `09:30`."""
    match = _CLOCK.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{quoted(text)} is not a time of day: write 09:00 or 21:30")
    return int(match[1]) * 60 + int(match[2])


def parse_window(text: object) -> tuple[int, int]:
    """Minutes of the day of `21:00-09:00`: start and end; start > end spans midnight."""
    start, dash, end = text.partition("-") if isinstance(text, str) else ("", "", "")
    if not dash or not _CLOCK.fullmatch(start.strip()) or not _CLOCK.fullmatch(end.strip()):
        raise ValueError(f"{quoted(text)} is not a window of the day: write 21:00-09:00")
    window = parse_clock(start), parse_clock(end)
    if window[0] == window[1]:
        raise ValueError(f"{quoted(text)} covers no time or the whole day: write two different times")
    return window


def parse_cap(text: object) -> tuple[int, int]:
    """Count and window in ms of `3 per 30d`."""
    match = _CAP.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{quoted(text)} is not a cap: write '2 per 7d'")
    window = parse_duration(match[2])
    if int(match[1]) == 0 or window == 0:
        raise ValueError(f"{quoted(text)} would never allow a message: write '2 per 7d'")
    return int(match[1]), window


def parse_share(text: object) -> float:
    """A share 0..1 of `10%`."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        percent = text * 100 if 0 < text < 1 else text
        raise ValueError(f"{quoted(text)} is not a share: write '{percent:g}%'")
    match = _SHARE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{quoted(text)} is not a share: write 10%")
    if float(match[1]) > 100:
        raise ValueError(f"{quoted(text)} is more than everybody: write a share up to 100%")
    return round(float(match[1]) / 100, 6)
