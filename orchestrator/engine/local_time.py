"""Wall clocks of customers. A wall time that a change of clocks skips becomes the next valid instant; one that comes
twice is taken once, at its first coming."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.language.program import Clock, QuietHours

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1024)
def zone(name: str, default: str) -> ZoneInfo:
    """The zone called `name`; an unknown or empty name gives `default`."""
    try:
        return ZoneInfo(name or default)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(default)


def local(at: int, tz: ZoneInfo) -> datetime:
    """The wall clock of an instant (ms)."""
    return (_EPOCH + timedelta(milliseconds=at)).astimezone(tz)


def instant(wall: datetime, tz: ZoneInfo) -> int:
    """The instant (ms) of a naive wall time: the first of two, the end of the gap when it does not exist."""
    moment = wall.replace(tzinfo=tz, fold=0)
    utc = moment.astimezone(UTC)
    if utc.astimezone(tz).replace(tzinfo=None) != wall:
        # In a gap, fold=0 applies the offset from before it and lands after the gap by as much as `wall` lies inside.
        # The next valid instant is the transition itself: where the later offset's reading meets the earlier one's.
        before = wall.replace(tzinfo=tz, fold=1).astimezone(UTC)
        utc = _transition(before, utc, tz)
    return round((utc - _EPOCH).total_seconds() * 1000)


def _transition(low: datetime, high: datetime, tz: ZoneInfo) -> datetime:
    """The first instant in (low, high] with the offset of `high`, to the second."""
    offset = high.astimezone(tz).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        middle = middle.replace(microsecond=0)
        if middle <= low:
            break
        if middle.astimezone(tz).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high


def is_quiet(at: int, hours: QuietHours, tz: ZoneInfo) -> bool:
    """True when the customer's wall clock stands inside the quiet hours."""
    wall = local(at, tz)
    minute = wall.hour * 60 + wall.minute
    if hours.start == hours.end:
        return False
    if hours.start < hours.end:
        return hours.start <= minute < hours.end
    return minute >= hours.start or minute < hours.end


def quiet_until(at: int, hours: QuietHours, tz: ZoneInfo) -> int:
    """The first instant after `at` at which the quiet hours are over; `at` itself when they are not on."""
    moment = at
    # Clock changes may move the end into quiet time again (a repeated hour): look on, at most over three ends.
    for _ in range(3):
        if not is_quiet(moment, hours, tz):
            return moment
        wall = local(moment, tz).replace(tzinfo=None)
        end = datetime.combine(wall.date(), time(hours.end // 60, hours.end % 60))
        if end <= wall:
            end += timedelta(days=1)
        following = instant(end, tz)
        if following <= moment:
            # The clock was set back past the end: it comes a second time.
            following = round((end.replace(tzinfo=tz, fold=1).astimezone(UTC) - _EPOCH).total_seconds() * 1000)
        moment = following
    return moment


def next_clock(at: int, clock: Clock, tz: ZoneInfo) -> int:
    """The first instant after `at` at which the wall clock of `tz` comes to `clock`, on its weekday if it has one.

    The day counts by the wall, not by UTC, and each day by its own offset. A time that a change of clocks skips is
    taken at the change; one that comes twice is taken at its first coming.
    """
    day = local(at, tz).date()
    # Eight days hold every weekday and today's twin; one more for a day that a zone skipped altogether.
    for _ in range(9):
        if clock.weekday is None or day.weekday() == clock.weekday:
            moment = instant(datetime.combine(day, time(clock.minute // 60, clock.minute % 60)), tz)
            if moment > at:
                return moment
        day += timedelta(days=1)
    return at + 7 * 86_400_000


def moment_in(value: object, tz: ZoneInfo) -> int | None:
    """The instant of a date or time in an event: ISO 8601; without an offset by the wall clock of `tz`, a bare day at
    its midnight. None for what is no date."""
    if not isinstance(value, str) or not 10 <= len(value) <= 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return instant(moment, tz)
    return round((moment - _EPOCH).total_seconds() * 1000)


def end_of_day(day: str, tz: ZoneInfo) -> int:
    """The instant at which a calendar day (2027-03-31) is over."""
    return instant(datetime.fromisoformat(day) + timedelta(days=1), tz)


def iso(at: int) -> str:
    """An instant as ISO 8601 text, in UTC to the second."""
    return (_EPOCH + timedelta(milliseconds=at)).isoformat(timespec="seconds").replace("+00:00", "Z")
