"""How much a customer has been written to of late: each message weighs half as much every HALF_LIFE."""

from __future__ import annotations

from collections.abc import Iterable

DAY_MS = 86_400_000
HALF_LIFE_MS = 3.5 * DAY_MS
#: Messages older than this weigh nothing that matters.
_OLDEST_MS = 35 * DAY_MS


def pressure(times: Iterable[int], at: int) -> float:
    """Sum of 2^(-age / HALF_LIFE) over the messages' times (ms)."""
    total = 0.0
    for time in times:
        age = at - time
        if age < _OLDEST_MS:
            total += 2.0 ** (-max(0, age) / HALF_LIFE_MS)
    return total


def step_of(value: float) -> int:
    """The step of pressure: under 0.25, 0.5, 1, 2, 4, and more."""
    if value < 0.25:
        return 0
    if value < 0.5:
        return 1
    if value < 1.0:
        return 2
    if value < 2.0:
        return 3
    return 4 if value < 4.0 else 5
