"""Moments, schedules and other phrases of a journey file. Each parser raises ValueError with what to write instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

from orchestrator.language.durations import parse_clock, parse_duration
from orchestrator.language.findings import did_you_mean, quoted
from orchestrator.language.program import WEEKDAYS, Clock, Reentry, Start

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", re.ASCII)
_GAPS = re.compile(r"(\d{1,2}(?:\.\d{1,2})?)x usual gap", re.ASCII)
_RATE = re.compile(r"existing at (\d{1,9})/day", re.ASCII)
_BUDGET = re.compile(r"(\d{1,9}(?:\.\d{1,2})?) ([A-Z]{3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """How long something is missing: `lasting` ms, or `gaps` times the customer's usual gap."""

    lasting: int = 0
    gaps: float = 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """What `wait_until` waits for, as in `program.WaitUntil`."""

    anchor: Literal["next_due", "name", "clock"]
    offset: int = 0
    name: tuple[str, ...] = ()
    clock: Clock | None = None


def _text(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def positive(value: object) -> int:
    """A duration that is not zero, in ms."""
    ms = parse_duration(value)
    if ms == 0:
        raise ValueError(f"{quoted(value)} is no time at all: write 3d, 12h, 45m or 2w")
    return ms


def _clock(text: str) -> Clock | None:
    """`monday 09:00` or `09:00`; None when the text is neither."""
    day, _, time = text.rpartition(" ")
    if day and day.lower() not in WEEKDAYS:
        return None
    try:
        minute = parse_clock(time)
    except ValueError:
        return None
    return Clock(minute, WEEKDAYS.index(day.lower()) if day else None)


def _weekday_hint(text: str) -> str:
    """What a misspelt weekday most likely is."""
    day = text.rpartition(" ")[0]
    return did_you_mean(day, WEEKDAYS) if day and " " not in day else ""


def parse_moment(value: object) -> Moment:
    """`3d before next_due`, `2d before order.delivery_date`, `at next_due`, `monday 09:00`, `09:00`."""
    text = _text(value)
    clock = _clock(text)
    if clock is not None:
        return Moment("clock", clock=clock)
    match = re.fullmatch(r"(?:at|(.+) (before|after)) (\S+)", text)
    if match is None:
        near = _weekday_hint(text)
        raise ValueError(
            f"{quoted(value)} is not a moment: write "
            + (f"{near} {text.rpartition(' ')[2]}" if near else "3d before next_due, monday 09:00 or 09:00")
        )
    offset = parse_duration(match[1]) if match[1] else 0
    if match[2] == "before":
        offset = -offset
    if match[3] == "next_due":
        return Moment("next_due", offset)
    if _NAME.fullmatch(match[3]):
        return Moment("name", offset, tuple(match[3].split(".")))
    raise ValueError(
        f"unknown moment {quoted(match[3])}: write 3d before next_due, or a date such as order.delivery_date"
    )


def parse_every(value: object) -> Clock:
    """`monday 09:00`, or `09:00` for every day."""
    text = _text(value)
    clock = _clock(text)
    if clock is None:
        near = _weekday_hint(text)
        form = f"{near} 09:00" if near else "monday 09:00, or 09:00 for every day"
        raise ValueError(f"{quoted(value)} is not a schedule: write {form}")
    return clock


def parse_send_at(value: object) -> tuple[str, int]:
    """`now`, `best` or `09:00`, the last with its minute of the day."""
    text = _text(value)
    if text in ("now", "best"):
        return text, 0
    try:
        return "clock", parse_clock(text)
    except ValueError:
        raise ValueError(f"{quoted(value)} is not an hour to send at: write now, best or 09:00") from None


def parse_span(value: object) -> Span:
    """`60d`, or `2x usual gap`."""
    text = _text(value)
    match = _GAPS.fullmatch(text)
    if match is not None:
        gaps = float(match[1])
        if not 0 < gaps <= 20:
            raise ValueError(f"{quoted(value)} is out of range: write 2x usual gap")
        return Span(gaps=gaps)
    if "usual" in text or re.fullmatch(r"[\d.]+ ?x.*", text):
        raise ValueError(f"{quoted(value)} is not a time: write 2x usual gap, or 60d")
    return Span(lasting=positive(value))


def parse_reentry(value: object) -> Reentry:
    """`never`, `always`, `restart`, `after 14d` or `per order.id`."""
    if value == "never":
        return Reentry("never")
    if value == "always":
        return Reentry("always")
    if value == "restart":
        return Reentry("restart")
    if isinstance(value, str) and value.startswith("after "):
        return Reentry("after", positive(value.removeprefix("after ")))
    if isinstance(value, str) and value.startswith("per "):
        name = value.removeprefix("per ").strip()
        if not _NAME.fullmatch(name):
            raise ValueError(f"{quoted(name)} is not a field: write a dotted name such as per order.id")
        return Reentry("per", key=tuple(name.split(".")))
    raise ValueError(f"{quoted(value)} is not a reentry: write never, always, after 14d, restart or per order.id")


def parse_start(value: object) -> Start:
    """`new_only`, or `existing at 500/day`."""
    text = _text(value)
    if text == "new_only":
        return Start()
    match = _RATE.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{quoted(value)} is not a start: write new_only or existing at 500/day")
    return Start(existing=True, per_day=int(match[1]))


def parse_day(value: object) -> str:
    """A calendar day, `2027-03-31`."""
    text = _text(value)
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            raise ValueError
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"{quoted(value)} is not a day: write 2027-03-31") from None


def parse_budget(value: object) -> tuple[float, str]:
    """An amount and its currency, `500 EUR`."""
    match = _BUDGET.fullmatch(_text(value))
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{quoted(value)} is not a budget: write 500 EUR")
    return float(match[1]), match[2]
