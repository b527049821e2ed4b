"""The worker's heart: fetched records in, one atomic commit out, for every partition this process owns.

Drives `BatchRun` between loads and commits. While Redis is away it waits and tries again; it never skips a record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from orchestrator.contracts.records import CONTROL, TICK
from orchestrator.engine import state
from orchestrator.engine.context import Context
from orchestrator.engine.state import Customer
from orchestrator.errors import Fenced, TooManyPoison
from orchestrator.learning.priors import Priors
from orchestrator.ports import LogRecord
from orchestrator.runtime.batch import BatchRun, Destinations, Due, EventRaised, Read, read
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.sweep import PER_TICK, Roll, under_way
from orchestrator.stores.partition_state import PartitionState, Position

T = TypeVar("T")
log = logging.getLogger(__name__)

_AWAY = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, ConnectionError)
#: Seconds between tries while Redis is away: soon enough for a restart, slow enough for an outage.
_RETRY_SECONDS = 0.25


@dataclass(slots=True)
class _Owned:
    """What this process remembers of a partition while it owns it."""

    position: Position
    context: Context
    #: Documents as of the last commit, most recently used last.
    cache: dict[str, Customer] = field(default_factory=dict)
    poison_in_a_row: int = 0


class Partitions:
    """A `ports.PartitionOwner`: the state of all partitions assigned to this process."""

    def __init__(
        self,
        store: PartitionState,
        catalogue: Catalogue,
        topics: Destinations,
        *,
        max_batch: int = 2_000,
        max_due: int = 2_000,
        max_cached: int = 20_000,
        max_poison: int = 1_000,
        on_commit: Callable[[int], None] = lambda partition: None,
    ) -> None:
        """`max_cached` documents are kept per partition; `on_commit` hears of every partition that moved."""
        self._store = store
        self._catalogue = catalogue
        self._topics = topics
        self._max_batch = max_batch
        self._max_due = max_due
        self._max_cached = max_cached
        self._max_poison = max_poison
        self._on_commit = on_commit
        self._owned: dict[int, _Owned] = {}
        self._waiting = 0

    def redis_away(self) -> bool:
        """True while some partition waits for Redis: no progress is no fault of this process then."""
        return self._waiting > 0

    def owned(self) -> list[int]:
        """The partitions this process holds now."""
        return sorted(self._owned)

    def commits(self, partition: int) -> int:
        """How often a partition was ever committed; 0 while it is not ours."""
        owned = self._owned.get(partition)
        return owned.position.seq if owned else 0

    def position(self, partition: int) -> Position | None:
        """Where an owned partition stands after its last commit."""
        owned = self._owned.get(partition)
        return owned.position if owned else None

    async def acquire(self, partition: int) -> int:
        """Fence older owners out and return the first offset to fetch."""
        self._owned.pop(partition, None)
        position = await self._patiently(lambda: self._store.acquire(partition))
        control = position.control
        context = await self._patiently(
            lambda: self._catalogue.context(control.programs, control.unhealthy, control.priors, control.stale)
        )
        self._owned[partition] = _Owned(position, context.with_moves(control.moves))
        log.info("partition %d acquired: epoch %s, offset %d", partition, position.epoch, position.offset)
        return position.offset + 1

    async def release(self, partition: int) -> None:
        """Forget the partition; another process may own it from now on."""
        self._owned.pop(partition, None)

    async def apply(self, partition: int, records: Sequence[LogRecord]) -> None:
        """Apply records in offset order and commit. Raises Fenced when the partition is not ours any more."""
        owned = self._owned.get(partition)
        if owned is None:
            raise Fenced(f"partition {partition} is not ours")
        done = owned.position.offset
        todo = [read(record) for record in records if record.offset > done]
        while todo:
            applied = await self._commit_some(partition, owned, todo[: self._max_batch])
            del todo[:applied]

    async def _commit_some(self, partition: int, owned: _Owned, reads: list[Read]) -> int:
        due, roll, documents = await self._patiently(lambda: self._load(partition, owned, reads))
        contexts = await self._patiently(lambda: self._contexts(owned, reads))
        priors = await self._patiently(lambda: self._priors(reads))
        try:
            run = self._run(partition, owned, documents, due, roll, contexts, priors, reads)
        except EventRaised as raised:
            log.error(
                "partition %d: an event raised in the engine, applying the batch carefully", partition, exc_info=raised
            )
            owned.cache.clear()
            due, roll, documents = await self._patiently(lambda: self._load(partition, owned, reads))
            run = self._run(partition, owned, documents, due, roll, contexts, priors, reads, careful=True)
        position = run.position
        try:
            await self._patiently(lambda: self._store.commit(partition, position, run.batch))
        except BaseException:
            # The documents in memory are ahead of the store now.
            self._owned.pop(partition, None)
            raise
        if self._owned.get(partition) is not owned:
            raise Fenced(f"partition {partition} was taken away during a commit")
        owned.position, owned.context = position, run.context
        self._remember(owned, documents)
        self._watch_poison(owned, run)
        self._on_commit(partition)
        return run.applied

    def _run(
        self,
        partition: int,
        owned: _Owned,
        documents: dict[str, Customer],
        due: Due,
        roll: Roll | None,
        contexts: dict[str, Context],
        priors: dict[str, Priors],
        reads: list[Read],
        *,
        careful: bool = False,
    ) -> BatchRun:
        origin = f"kafka:{self._topics.events}/{partition}"
        run = BatchRun(
            owned.context,
            owned.position,
            documents,
            due,
            contexts,
            self._topics,
            origin,
            priors=priors,
            roll=roll,
            careful=careful,
        )
        run.run(reads)
        return run

    async def _load(
        self, partition: int, owned: _Owned, reads: list[Read]
    ) -> tuple[Due, Roll | None, dict[str, Customer]]:
        """The customers who are due by the last tick of the batch, those whom a sweep comes to, and every document
        the batch touches."""
        ticks = [one.event.time for one in reads if one.event and one.event.type == TICK]
        due, roll, swept = Due(), None, []
        if ticks:
            pairs = await self._store.due(partition, max(ticks), self._max_due)
            due = Due(pairs, complete=len(pairs) < self._max_due)
        sweep = under_way(owned.position.control)
        if ticks and sweep is not None:
            limit = max(PER_TICK, min(PER_TICK * len(ticks), self._max_due))
            swept = await self._store.roll(partition, sweep.cursor, limit)
            roll = Roll(swept, start=sweep.cursor, truncated=len(swept) == limit)
        names = dict.fromkeys(one.event.customer for one in reads if one.event and one.event.customer)
        names.update(dict.fromkeys(customer for _, customer in due.pairs))
        names.update(dict.fromkeys(swept))
        cache = owned.cache
        documents = {name: cache[name] for name in names if name in cache}
        missing = [name for name in names if name not in documents]
        for name, raw in zip(missing, await self._store.load(partition, missing), strict=True):
            documents[name] = state.decode(raw) if raw is not None else Customer()
        return due, roll, documents

    async def _contexts(self, owned: _Owned, reads: Iterable[Read]) -> dict[str, Context]:
        """The context after each program switch in the batch."""
        contexts: dict[str, Context] = {}
        programs = list(owned.position.control.programs)
        for one in reads:
            if one.event and one.event.type == CONTROL and one.event.data.get("kind") == "program":
                ref = str(one.event.data.get("ref", ""))
                programs = [*(digest for digest in programs if digest != ref), ref]
                contexts[ref] = await self._catalogue.context(programs, owned.position.control.unhealthy)
        return contexts

    async def _priors(self, reads: Iterable[Read]) -> dict[str, Priors]:
        """The snapshot of shared beliefs of each control record in the batch that brings one."""
        return {
            ref: await self._catalogue.priors(ref)
            for ref in {
                str(one.event.data.get("ref", ""))
                for one in reads
                if one.event and one.event.type == CONTROL and one.event.data.get("kind") == "priors"
            }
        }

    def _remember(self, owned: _Owned, documents: dict[str, Customer]) -> None:
        cache = owned.cache
        for name, document in documents.items():
            cache.pop(name, None)
            cache[name] = document
        # `islice`, for a full cache holds far more names than one batch drives out.
        for name in list(islice(cache, max(0, len(cache) - self._max_cached))):
            del cache[name]

    def _watch_poison(self, owned: _Owned, run: BatchRun) -> None:
        """Parked bad data is fine; nothing but bad data is a bad deploy."""
        owned.poison_in_a_row = run.dead_after(owned.poison_in_a_row)
        if owned.poison_in_a_row >= self._max_poison:
            raise TooManyPoison(
                f"{owned.poison_in_a_row} records in a row could not be applied",
                fix="look at the dead letters, roll the deploy back, then start the worker again",
            )

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat while Redis is away. All of it is safe to repeat: reads, the fence, a commit that looks first."""
        waiting = False
        try:
            while True:
                try:
                    return await call()
                except _AWAY as error:
                    if not waiting:
                        log.warning("Redis does not answer, waiting: %s", error)
                        waiting = True
                        self._waiting += 1
                    await asyncio.sleep(_RETRY_SECONDS)
        finally:
            if waiting:
                self._waiting -= 1
