"""Clocks: the wall, and one that runs faster from a chosen origin (demo, replay)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


class WallClock:
    """`ports.Clock` of production."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000


@dataclass(slots=True)
class FastClock:
    """A clock that starts at `origin` (ms UTC) and runs `speed` times as fast as the wall."""

    origin: int
    speed: float = 1.0
    _started: float = field(default_factory=time.monotonic)

    def now(self) -> int:
        return self.origin + round((time.monotonic() - self._started) * 1000 * self.speed)

    def set(self, now: int) -> None:
        """Go on from `now`; never backwards."""
        self.origin = max(now, self.now())
        self._started = time.monotonic()
