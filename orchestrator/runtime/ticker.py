"""The clock of the log: one leased ticker writes tick records into every partition of events.

A tick T promises that everything published before T stands before it. What the gateway publishes is in the log when it
is acknowledged. What upstream systems write to a source topic still has to be forwarded by ingest, so T waits for it:
per source partition the ticker remembers samples (wall time, end of the partition read after it), and T may not pass
the newest sample whose end ingest has forwarded. A source that is stuck longer than `worker.source_stall` seconds is
left out of account, with an alarm: from then on its late events may come after a timer that they would have stopped.

T never goes back: the highest T so far is kept in Redis, and a T that held once holds at every later place of the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import redis.asyncio
from redis.exceptions import RedisError

from orchestrator.contracts.records import encode, tick
from orchestrator.errors import DependencyUnreachable
from orchestrator.ports import Clock, EventLog
from orchestrator.settings import Settings
from orchestrator.stores import keys
from orchestrator.stores.lease import Lease

logger = logging.getLogger(__name__)

#: Milliseconds a ticker keeps the lease without renewing it.
LEASE_MS = 2_000
#: Samples kept of one source partition; a longer backlog merges the newest ones.
SAMPLES = 1_000
#: Seconds between words about the same trouble.
REPEAT = 30.0

#: Told (source partition as `topic/partition`, seconds it is behind) when a source is left out of account.
Alarm = Callable[[str, float], None]


@dataclass(slots=True)
class Source:
    """One source partition: what was published when, and how far that has been forwarded."""

    #: All published before this time is forwarded; 0 while nothing is known.
    settled: int = 0
    #: When that last moved, on this process's own clock, in seconds.
    moved: float = field(default_factory=time.monotonic)
    #: (wall time, end offset read after it), not forwarded yet.
    samples: deque[tuple[int, int]] = field(default_factory=deque)
    ignored: bool = False

    def look(self, now: int, end: int, forwarded: int) -> None:
        """Add a sample; settle what is forwarded. All offsets count the next record."""
        if len(self.samples) < SAMPLES:
            self.samples.append((now, end))
        else:
            # The older time with the newer end promises less, never too much.
            self.samples[-1] = (self.samples[-1][0], end)
        while self.samples and self.samples[0][1] <= forwarded:
            self.settled = max(self.settled, self.samples.popleft()[0])
            self.moved = time.monotonic()


class Ticker:
    """Runs in every worker; the one that holds the lease ticks."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        log: EventLog,
        settings: Settings,
        clock: Clock,
        *,
        alarm: Alarm = lambda source, behind: None,
    ) -> None:
        """`log` and `client` stay the caller's to close."""
        self._client = client
        self._log = log
        self._settings = settings
        self._clock = clock
        self._alarm = alarm
        self._lease = Lease(client, "ticker", LEASE_MS)
        self._leading = False
        self._partitions: dict[str, int] = {}
        self._sources: dict[tuple[str, int], Source] = {}
        self._last_word = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until `stop`, then give the lease back. What is away is waited for."""
        try:
            while not stop.is_set():
                try:
                    await self.once()
                except (DependencyUnreachable, RedisError, OSError) as problem:
                    self._say("no tick: %s", problem)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._settings.worker.tick)
        finally:
            await self._lease.give_back()

    async def once(self) -> int | None:
        """One round: the tick written, in ms, or None. Raises DependencyUnreachable or RedisError."""
        if not await self._lease.held():
            self._leading = False
            return None
        if not self._leading:
            # Whoever led before may have left old samples here; what was published meanwhile is not among them.
            self._sources.clear()
            self._leading = True
        now = self._clock.now()
        allowed = await self._allowed(now)
        last = int(await self._client.get(keys.TICK) or 0)
        if allowed <= last:
            return None
        await self._client.set(keys.TICK, allowed)
        value = encode(tick(allowed))
        events = self._settings.topics.events
        partitions = range(await self._count(events))
        await asyncio.gather(*(self._log.append(events, partition, [(None, value)]) for partition in partitions))
        return allowed

    async def _allowed(self, now: int) -> int:
        """The highest T that holds: now, less what ingest has still to forward."""
        allowed = now
        topics = self._settings.topics.sources
        for at in await asyncio.gather(*(self._settled(topic, now) for topic in topics)):
            allowed = min(allowed, at)
        return allowed

    async def _settled(self, topic: str, now: int) -> int:
        """Up to when everything published to a source topic has been forwarded."""
        try:
            count = await self._count(topic)
            ends = await asyncio.gather(*(self._log.end(topic, partition) for partition in range(count)))
        except DependencyUnreachable as problem:
            # Without a sample the source ages, and is left out when it has aged too long.
            self._say("cannot read the end of a source: %s", problem)
            count = self._partitions.get(topic, 1)
            ends = []
        forwarded = await self._client.hgetall(keys.ingest(topic))
        settled = now
        for partition in range(count):
            source = self._sources.setdefault((topic, partition), Source())
            if ends:
                source.look(now, ends[partition] + 1, int(forwarded.get(b"%d" % partition, 0)))
            settled = min(settled, self._bound(f"{topic}/{partition}", source, now))
        return settled

    def _bound(self, name: str, source: Source, now: int) -> int:
        behind = time.monotonic() - source.moved
        if behind <= self._settings.worker.source_stall:
            if source.ignored:
                logger.warning("source %s has caught up; the clock waits for it again", name)
                source.ignored = False
            return source.settled
        if not source.ignored:
            source.ignored = True
            logger.critical(
                "source %s has not been forwarded for %.0f s; the clock goes on WITHOUT it: is ingest running?",
                name,
                behind,
            )
            self._alarm(name, behind)
        return now

    async def _count(self, topic: str) -> int:
        if topic not in self._partitions:
            self._partitions[topic] = await self._log.partitions(topic)
        return self._partitions[topic]

    def _say(self, message: str, problem: BaseException) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._last_word >= REPEAT:
            self._last_word = now
            logger.warning(message, problem)
