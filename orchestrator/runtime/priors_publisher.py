"""The one publisher of shared beliefs: merges every partition's pooled sums and writes a numbered snapshot to the log.

Each worker adds to its partition's sums in its own commit, so no key is shared between workers. About once a minute the
process that holds the lease reads all of them, and when enough has been learned since the last snapshot it puts the
merged sums into the shared store under their content hash and appends a control record `priors` to every partition of
events. A decision uses the last snapshot its partition has read, so a replay of the log decides the same.

A snapshot's body is kept as long as the log keeps records; the one in force is kept without end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from orchestrator.contracts import records
from orchestrator.errors import DependencyUnreachable
from orchestrator.learning.pooled import Snapshot, encode, evidence, from_fields, merged, worth_a_snapshot
from orchestrator.ports import Clock, EventLog
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.stores import keys
from orchestrator.stores.lease import Lease

logger = logging.getLogger(__name__)

#: Seconds between two looks at the sums: beliefs that are minutes old are as good.
EVERY = 60.0
#: The lease outlives a round, so that one process keeps the job while it lives.
LEASE_MS = 150_000
#: How long the body of a snapshot that is no longer in force is kept; longer than the log keeps its records.
KEEP_SECONDS = 30 * 86_400


class PriorsPublisher:
    """Runs in every worker; the one that holds the lease publishes."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        log: EventLog,
        catalogue: Catalogue,
        topic: str,
        clock: Clock,
        *,
        every: float = EVERY,
        keep: int = KEEP_SECONDS,
    ) -> None:
        """`topic` is the events log; `every` and `keep` in seconds. `client` and `log` stay the caller's to close."""
        self._client = client
        self._log = log
        self._catalogue = catalogue
        self._topic = topic
        self._clock = clock
        self._every = every
        self._keep = keep
        #: By the clock, when `when_due` last went ahead (ms).
        self._last = 0
        self._lease = Lease(client, "priors", LEASE_MS)

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop`, then give the lease back. What is away is waited for."""
        try:
            while not stop.is_set():
                try:
                    await self.once()
                except (DependencyUnreachable, RedisError, OSError) as problem:
                    logger.warning("no snapshot of beliefs: %s", problem)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._every)
        finally:
            await self._lease.give_back()

    async def when_due(self) -> int | None:
        """`once`, if so many seconds have passed by the clock since the last round: for a clock that is set by hand."""
        now = self._clock.now()
        if now < self._last + self._every * 1000:
            return None
        self._last = now
        return await self.once()

    async def once(self) -> int | None:
        """One round: the number of the snapshot published, or None when another has the lease or there is no news.

        Raises DependencyUnreachable or RedisError; the next round begins anew, and a snapshot published twice under
        two numbers does no harm.
        """
        if not await self._lease.held():
            return None
        partitions = await self._log.partitions(self._topic)
        sums = merged([from_fields(await self._sums_of(one)) for one in range(partitions)])
        last = await self._client.hgetall(keys.PRIORS)
        known = evidence(sums)
        if not worth_a_snapshot(int(last.get(b"evidence", 0)), known):
            return None
        number = int(last.get(b"number", 0)) + 1
        digest = await self._catalogue.publish(encode(Snapshot(number, sums)))
        value = records.encode(records.control("priors", digest, self._clock.now()))
        await asyncio.gather(*(self._log.append(self._topic, one, [(None, value)]) for one in range(partitions)))
        await self._client.hset(keys.PRIORS, mapping={"number": number, "body": digest, "evidence": known})
        before = last.get(b"body")
        if isinstance(before, bytes):
            await self._client.expire(keys.body(before.decode()), self._keep)
        logger.info("snapshot %d of beliefs published to %d partitions", number, partitions)
        return number

    async def _sums_of(self, partition: int) -> dict[bytes, bytes]:
        fields: Any = await self._client.hgetall(keys.sums(partition))
        return dict(fields)
