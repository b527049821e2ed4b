"""Ends a process that owns partitions with lag and does not get on. A restart costs a rebalance; silence costs hours.

It runs in a thread of its own and asks Kafka through a connection of its own, so neither a blocked event loop nor a
dead client can stop it. The state is safe at any moment: position and state move in one write.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from orchestrator.errors import DependencyUnreachable

logger = logging.getLogger(__name__)

#: The exit code of a process the watchdog ended (EX_SOFTWARE).
STUCK = 70


def die() -> NoReturn:
    """Leave at once, with the stacks of all threads on stderr."""
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(STUCK)


class Watchdog:
    """Calls `die` when a partition had lag, the same position and no commit for `limit` seconds.

    `positions` gives the next offset to apply of each owned partition (a number, or what else names it); `ends` the
    ends of the log, or raises DependencyUnreachable: while Kafka is away nobody is stuck. `excused` tells that the
    process waits for something else it knows to be away; that time does not count either. `commits` counts a
    partition's commits: a tick with very many timers moves no position for a while, but it gets on.
    """

    def __init__(
        self,
        limit: float,
        *,
        positions: Callable[[], Mapping[Any, int]],
        ends: Callable[[Iterable[Any]], Mapping[Any, int]],
        excused: Callable[[], bool] = lambda: False,
        commits: Callable[[Any], int] = lambda partition: 0,
        die: Callable[[], object] = die,
    ) -> None:
        self._limit = limit
        self._positions = positions
        self._ends = ends
        self._excused = excused
        self._commits = commits
        self._die = die
        self._over = threading.Event()
        #: partition → its position and commits, and since when they have been the same.
        self._seen: dict[Any, tuple[tuple[int, int], float]] = {}
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        self._over.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while not self._over.wait(min(1.0, self._limit / 10)):
            if self._excused():
                self._seen.clear()
                continue
            stuck = self._stuck(time.monotonic())
            if stuck:
                logger.critical("no progress for %.0f s with lag: %s; ending this process", self._limit, stuck)
                self._die()
                return

    def _stuck(self, now: float) -> dict[Any, str]:
        positions = dict(self._positions())
        marks = {partition: (position, self._commits(partition)) for partition, position in positions.items()}
        self._seen = {
            partition: self._seen[partition]
            if partition in self._seen and self._seen[partition][0] == mark
            else (mark, now)
            for partition, mark in marks.items()
        }
        late = [partition for partition, (_, since) in self._seen.items() if now - since >= self._limit]
        if not late:
            return {}
        try:
            ends = self._ends(late)
        except DependencyUnreachable as problem:
            logger.warning("the watchdog cannot see the lag: %s", problem)
            ends = {}
        stuck = {}
        for partition in late:
            if ends.get(partition, 0) > max(positions[partition], 0):
                stuck[partition] = f"at {positions[partition]} of {ends[partition]}"
            else:
                # Nothing to do, or nobody knows: count anew from here.
                self._seen[partition] = (marks[partition], now)
        return stuck
