"""Keeps the relay of every owned partition drained: at once after a commit, and every little while, because the
dispatchers leave outcomes there too."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from orchestrator.errors import DependencyUnreachable
from orchestrator.runtime.relay import Relay

log = logging.getLogger(__name__)

#: Seconds between looks at relays nobody announced.
LOOK_EVERY = 0.1
#: Seconds to wait while the log or Redis is away.
AWAY = 0.5


class RelayLoop:
    """Drains the partitions that `owned()` names."""

    def __init__(self, relay: Relay, owned: Callable[[], Sequence[int]]) -> None:
        self._relay = relay
        self._owned = owned
        self._kick = asyncio.Event()

    def announce(self, partition: int) -> None:
        """A commit may have left rows: look now."""
        self._kick.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Drain until `stop`, then once more."""
        told = False
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._kick.wait(), LOOK_EVERY)
            self._kick.clear()
            try:
                await self._drain_all()
                told = False
            except (RedisError, DependencyUnreachable) as error:
                if not told:
                    log.warning("the relay waits: %s", error)
                    told = True
                await asyncio.sleep(AWAY)
        try:
            await self._drain_all()
        except (RedisError, DependencyUnreachable) as error:
            log.warning("rows stay in the relay for the next owner: %s", error)

    async def _drain_all(self) -> None:
        for partition in self._owned():
            await self._relay.drain(partition)
