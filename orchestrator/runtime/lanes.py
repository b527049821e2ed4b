"""One lane per owned partition: acquire → seek → apply batch after batch → release.

A lane is a task of its own, so a slow partition does not hold up the others, and each partition keeps its order. It
trusts nothing that happened on the way from the log: a batch says at which position it was taken, and only the batch
that starts exactly where the last one ended goes in. An older one is dropped; a later one means that something was
lost on the way (a rebalance, a paused flow), so the lane seeks back to where it stands.

When `apply` raises Fenced, another process took the partition meanwhile. Nothing was written. The lane drops what it
holds and leaves the partition to the group: a process that was frozen past its session finds out within a heartbeat,
and the rebalance that follows closes the lane. If the group still says after a session timeout that the partition is
ours, the other one was a latecomer that has lost it again, and the lane acquires anew. The process lives on in either
case: the fence keeps the state right, and a restart would only cost another rebalance.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from orchestrator.errors import Fenced, LogReplaced, OrchestratorError, PositionTooOld
from orchestrator.ports import LogRecord, PartitionOwner

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

#: Batches of one partition in this process: one being applied, one ready behind it.
BATCHES = 2
#: Seconds between attempts while something a lane needs is away.
RETRY_FIRST, RETRY_LONGEST = 0.1, 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Consecutive records of one partition. `start` is the position they were taken at, `end` the one after them."""

    partition: int
    start: int
    end: int
    records: Sequence[LogRecord]


class Log(Protocol):
    """What a lane asks of the consumer."""

    async def bounds(self, partition: int) -> tuple[int, int]:
        """The first offset the log still holds, and the one after its last. Raises DependencyUnreachable."""
        ...

    async def seek(self, partition: int, offset: int) -> bool:
        """Fetch from `offset` on; False when the group has taken the partition away."""
        ...

    def wake(self) -> None:
        """A lane has room again: look which partitions may be fetched."""
        ...


class Lanes:
    """The lanes of this process. `fail` is told the error that must stop it."""

    def __init__(
        self,
        owner: PartitionOwner,
        *,
        fail: Callable[[BaseException], None],
        session_timeout: float,
        patience: float = 2.0,
    ) -> None:
        """`patience` is how many seconds a commit under way may take when its partition is taken away."""
        self.owner = owner
        self.fail = fail
        self.session_timeout = session_timeout
        self.patience = patience
        self.log: Log | None = None
        self._lanes: dict[int, Lane] = {}

    async def open(self, partitions: Iterable[int]) -> None:
        """Give each partition a lane. A lane that is open already seeks back to where it stands."""
        for partition in partitions:
            lane = self._lanes.get(partition)
            if lane is None:
                self._lanes[partition] = Lane(self, partition)
            else:
                await lane.rewind()

    async def close(self, partitions: Iterable[int]) -> None:
        """Drop what waits, let the commit under way finish (not longer than `patience`), release."""
        going = [self._lanes.pop(partition) for partition in list(partitions) if partition in self._lanes]
        await asyncio.gather(*(lane.close() for lane in going))

    async def close_all(self) -> None:
        await self.close(list(self._lanes))

    def hungry(self, partition: int) -> bool:
        """Whether the partition may be fetched now."""
        lane = self._lanes.get(partition)
        return lane is not None and lane.hungry

    def sent(self, partition: int) -> None:
        """A batch of the partition is on its way here."""
        lane = self._lanes.get(partition)
        if lane is not None:
            lane.travelling += 1

    async def offer(self, batch: Batch, applied: Callable[[], Awaitable[object]]) -> None:
        """Take a batch in, or drop it. `applied` is called when it is committed."""
        lane = self._lanes.get(batch.partition)
        if lane is not None:
            await lane.offer(batch, applied)

    def out_of_range(self, partition: int) -> None:
        """The log no longer holds the lane's position, or not yet."""
        lane = self._lanes.get(partition)
        if lane is not None:
            lane.check_bounds = True
            lane.stir()

    @property
    def positions(self) -> dict[int, int]:
        """partition → next offset to apply, -1 before it is acquired. Without the stopped ones."""
        return {number: lane.applied for number, lane in self._lanes.items() if lane.stopped is None}

    @property
    def stopped(self) -> dict[int, OrchestratorError]:
        """Partitions that stand still until a person acts, and why."""
        return {number: lane.stopped for number, lane in self._lanes.items() if lane.stopped is not None}


class Lane:
    def __init__(self, lanes: Lanes, partition: int) -> None:
        self.partition = partition
        #: The next offset to apply.
        self.applied = -1
        #: Batches fetched and not offered yet.
        self.travelling = 0
        self.stopped: OrchestratorError | None = None
        self.check_bounds = True
        self._lanes = lanes
        #: Where the next batch has to start; None while the partition is not acquired.
        self._next: int | None = None
        self._waiting: deque[tuple[Batch, Callable[[], Awaitable[object]]]] = deque()
        self._stirred = asyncio.Event()
        self._busy = False
        self._closing = False
        self._task = asyncio.create_task(self._run(), name=f"partition {partition}")

    @property
    def hungry(self) -> bool:
        return self._next is not None and self.travelling + len(self._waiting) + self._busy < BATCHES

    def stir(self) -> None:
        self._stirred.set()

    async def offer(self, batch: Batch, applied: Callable[[], Awaitable[object]]) -> None:
        self.travelling = max(0, self.travelling - 1)
        if self._next is None or batch.start < self._next:
            return
        if batch.start > self._next:
            logger.info("partition %d: a batch was lost before %d, seeking back", self.partition, batch.start)
            await self.rewind()
            return
        self._next = batch.end
        self._waiting.append((batch, applied))
        self.stir()

    async def rewind(self) -> None:
        """Fetch again from where the lane stands; whatever is on its way will not fit any more."""
        if self._next is not None:
            self.travelling = 0
            await self._log.seek(self.partition, self._next)
            self._log.wake()

    async def close(self) -> None:
        self._closing = True
        self._next = None
        self._waiting.clear()
        self.stir()
        _, unfinished = await asyncio.wait({self._task}, timeout=self._lanes.patience if self._busy else 0)
        if unfinished:
            # Either nothing was under way, or it takes too long: then the fence decides whether it still counts.
            self._task.cancel()
            await asyncio.wait({self._task})
        try:
            await self._lanes.owner.release(self.partition)
        except Exception as problem:
            self._lanes.fail(problem)

    @property
    def _log(self) -> Log:
        if self._lanes.log is None:
            raise RuntimeError("lanes were opened before they had a log")
        return self._lanes.log

    async def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    await self._own()
                except Fenced as fenced:
                    logger.warning("partition %d: %s; leaving it to the group", self.partition, fenced)
                    self._next = None
                    self._waiting.clear()
                    await asyncio.sleep(self._lanes.session_timeout)
        except (PositionTooOld, LogReplaced) as problem:
            self._next = None
            self._waiting.clear()
            self.stopped = problem
            logger.critical("partition %d STANDS STILL: %s", self.partition, problem)
        except Exception as problem:
            logger.critical("partition %d: unexpected %s", self.partition, type(problem).__name__)
            self._lanes.fail(problem)

    async def _own(self) -> None:
        """From acquiring to the end of owning."""
        self.travelling = 0
        start = await self._patiently("acquire", self._lanes.owner.acquire)
        await self._check_bounds(start)
        self.applied = start
        if not await self._log.seek(self.partition, start):
            raise Fenced("the group gave the partition to another process")
        self._next = start
        self._log.wake()
        logger.info("partition %d: acquired at offset %d", self.partition, start)
        while not self._closing:
            if not self._waiting:
                if self.check_bounds:
                    await self._check_bounds(self.applied)
                self._stirred.clear()
                if not self._waiting and not self.check_bounds and not self._closing:
                    await self._stirred.wait()
                continue
            batch, applied = self._waiting.popleft()
            self._busy = True
            try:
                if batch.records:
                    await self._lanes.owner.apply(self.partition, batch.records)
            finally:
                self._busy = False
            self.applied = batch.end
            await applied()
            self._log.wake()

    async def _check_bounds(self, position: int) -> None:
        """Whether the log can be read from `position` on. Raises PositionTooOld or LogReplaced."""
        self.check_bounds = False
        first, end = await self._patiently("find in the log", self._log.bounds)
        if position < first:
            raise PositionTooOld(
                f"the state of partition {self.partition} stands at offset {position}, but the log begins at {first}",
                fix="raise the topic's retention and restore the log, or restore a newer backup of Redis",
            )
        if position > end:
            raise LogReplaced(
                f"the state of partition {self.partition} stands at offset {position}, but the log ends at {end}",
                fix="the topic was created anew or lost records: restore the log that belongs to this state",
            )

    async def _patiently(self, what: str, call: Callable[[int], Awaitable[Result]]) -> Result:
        """Call until the dependency is back: a lane waits, it never skips."""
        pause = RETRY_FIRST
        since = time.monotonic()
        while True:
            try:
                return await call(self.partition)
            except OrchestratorError as problem:
                if not problem.retry:
                    raise
                waited = time.monotonic() - since
                logger.warning("partition %d: cannot %s for %.1f s: %s", self.partition, what, waited, problem)
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_LONGEST)
