"""From the gateway into the log: events to their customer's partition, dead letters beside. Done when acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import Any

from orchestrator.contracts import dead_letters, records
from orchestrator.contracts.dead_letters import DeadLetter
from orchestrator.contracts.records import Event
from orchestrator.errors import DependencyUnreachable
from orchestrator.partitioning import partition_of
from orchestrator.ports import EventLog
from orchestrator.settings import Topics

_logger = logging.getLogger(__name__)


class Publisher:
    """Appends to the log. Whatever goes wrong there comes out as DependencyUnreachable: nothing was promised then.

    `timeout` is in seconds. An append that timed out may still land; a retry repeats the ids, so it counts once.
    """

    def __init__(self, log: EventLog, topics: Topics, *, timeout: float = 10.0) -> None:
        self._log = log
        self._topics = topics
        self._timeout = timeout
        self._partitions: dict[str, int] = {}

    async def publish(self, events: Sequence[Event]) -> None:
        """Append the events, each customer's in order; returns when the log has acknowledged all."""
        partitions = await self.partitions()
        batches: dict[int, list[tuple[bytes | None, bytes]]] = defaultdict(list)
        for event in events:
            value = (event.customer.encode(), records.encode(event))
            batches[partition_of(event.customer, partitions)].append(value)
        await self._append(self._topics.events, batches)

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Append the letters to the dead-letter topic; returns when the log has acknowledged all."""
        if not letters:
            return
        partitions = await self._partitions_of(self._topics.dead)
        batches: dict[int, list[tuple[bytes | None, bytes]]] = defaultdict(list)
        for letter in letters:
            batches[int(letter.sha256[:8], 16) % partitions].append((None, dead_letters.encode(letter)))
        await self._append(self._topics.dead, batches)

    async def partitions(self) -> int:
        """How many partitions customers are spread over; asked once, for it never changes under a running system."""
        return await self._partitions_of(self._topics.events)

    async def reachable(self) -> None:
        """Ask the log for a sign of life. Raises DependencyUnreachable."""
        await self._within(self._log.partitions(self._topics.events))

    async def _partitions_of(self, topic: str) -> int:
        if topic not in self._partitions:
            self._partitions[topic] = await self._within(self._log.partitions(topic))
        return self._partitions[topic]

    async def _append(self, topic: str, batches: dict[int, list[tuple[bytes | None, bytes]]]) -> None:
        appends = [self._log.append(topic, partition, values) for partition, values in batches.items()]
        if appends:
            await self._within(asyncio.gather(*appends))

    async def _within(self, work: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> Any:
        try:
            return await asyncio.wait_for(work, self._timeout)
        except Exception as error:
            _logger.warning("the log does not answer", exc_info=error)
            raise DependencyUnreachable(
                "the log does not answer", fix="send the same again in a few seconds"
            ) from error
