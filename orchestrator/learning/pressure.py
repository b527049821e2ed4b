"""How much a customer has been written to of late: each message weighs half as much every HALF_LIFE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

DAY_MS = 86_400_000
HALF_LIFE_MS = 3.5 * DAY_MS
#: Messages older than this weigh nothing that matters.
_OLDEST_MS = 35 * DAY_MS


class PastContact(Protocol):
    """A message to the customer: on which channel, and when (ms)."""

    @property
    def channel(self) -> str: ...
    @property
    def at(self) -> int: ...


def pressures(sends: Sequence[PastContact], at: int) -> dict[str, float]:
    """Per channel the sum of 2^(-age / HALF_LIFE) over the messages to a customer, given oldest first."""
    totals: dict[str, float] = {}
    for sent in reversed(sends):
        age = at - sent.at
        if age > _OLDEST_MS:
            break
        weight = 2.0 ** (-age / HALF_LIFE_MS) if age > 0 else 1.0
        totals[sent.channel] = totals.get(sent.channel, 0.0) + weight
    return totals


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
