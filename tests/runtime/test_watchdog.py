"""What counts as progress: a position that moves, and commits where one record takes very long."""

from __future__ import annotations

import threading

from orchestrator.runtime.watchdog import Watchdog

LIMIT = 0.1


async def test_a_partition_that_commits_is_not_stuck_though_its_position_stands() -> None:
    """A tick with hundreds of thousands of timers is one record and many commits."""
    looks = 0
    dead = threading.Event()

    def commits(partition: int) -> int:
        nonlocal looks
        looks += 1
        return min(looks, 50)

    watchdog = Watchdog(LIMIT, positions=lambda: {0: 7}, ends=lambda late: {0: 9}, commits=commits, die=dead.set)
    watchdog.start()
    assert dead.wait(30), "no commit any more, and lag: the process must end"
    await watchdog.stop()
    # It looks ten times within the limit, so without counting commits it had ended after about ten looks.
    assert looks > 50
