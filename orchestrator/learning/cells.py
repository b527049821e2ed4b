"""Counts that forget: (n, s) of sends and responses, halved every HALF_LIFE."""

from __future__ import annotations

import msgspec

DAY_MS = 86_400_000
#: 30 days to infinity differ by less than 3 points of captured gain in measured worlds; 90 follows slow drift.
HALF_LIFE_MS = 90 * DAY_MS


class Cell(msgspec.Struct, array_like=True, gc=False):
    """Decayed sends `n` and responses `s` of one customer on one channel, as of `at` (ms)."""

    n: float = 0.0
    s: float = 0.0
    at: int = 0

    def decay(self, at: int) -> None:
        """Bring the counts forward to `at`; time never runs backwards here."""
        if at > self.at:
            if self.n or self.s:
                factor = 2.0 ** ((self.at - at) / HALF_LIFE_MS)
                self.n *= factor
                self.s *= factor
            self.at = at

    def sent(self, at: int, weight: float = 1.0) -> None:
        """One more send (or, with weight -1, one that never left)."""
        self.decay(at)
        self.n = max(0.0, self.n + weight)

    def responded(self, at: int) -> None:
        """The first response to a send."""
        self.decay(at)
        self.s += 1.0
        # A response proves a send, even one whose count has decayed below it.
        self.n = max(self.n, self.s)
