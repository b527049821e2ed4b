"""A token bucket per API key, counted in events. Each gateway process has its own: the limit protects the process.

A batch larger than the burst is let in when the bucket is full and leaves a debt, so that no batch waits for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


class RateLimit:
    """`rate` events per second on average, `burst` at once. `now` counts seconds and never goes back."""

    def __init__(self, rate: float, burst: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._now = now
        self._buckets: dict[str, _Bucket] = {}

    def wait(self, key: str, events: int = 1) -> float:
        """Seconds until this many events of the key would pass; 0 when they would now. Takes nothing."""
        bucket = self._filled(key)
        lacking = min(float(events), self._burst) - bucket.tokens
        return max(0.0, lacking / self._rate)

    def take(self, key: str, events: int) -> float:
        """Let the events through and return 0, or take nothing and return the seconds to wait."""
        wait = self.wait(key, events)
        if wait == 0.0:
            self._buckets[key].tokens -= events
        return wait

    def _filled(self, key: str) -> _Bucket:
        now = self._now()
        bucket = self._buckets.setdefault(key, _Bucket(self._burst, now))
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled) * self._rate)
        bucket.filled = now
        return bucket
