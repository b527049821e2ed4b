"""What the log in Kafka still holds, as one history: for replays and for estimates before a publication."""

from __future__ import annotations

import heapq

from orchestrator.contracts import records
from orchestrator.contracts.records import CONTROL, TICK, Event
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.settings import Settings

#: Records read at a time.
FETCH = 5_000


async def recorded(settings: Settings) -> list[Event]:
    """Every event of customers that the log holds, all partitions merged in the order of receipt.

    Records that nobody could read are left out, as the workers did. Raises DependencyUnreachable.
    """
    log, topic = KafkaLog(settings.kafka), settings.topics.events
    try:
        parts = [await _partition(log, topic, number) for number in range(await log.partitions(topic))]
    finally:
        await log.close()
    return list(heapq.merge(*parts, key=_when))


def _when(event: Event) -> int:
    return event.received or event.time


async def _partition(log: KafkaLog, topic: str, partition: int) -> list[Event]:
    found: list[Event] = []
    end = await log.end(topic, partition)
    after = await log.start(topic, partition) - 1
    while after < end:
        batch = await log.read(topic, partition, after, FETCH)
        if not batch:
            break
        for record in batch:
            after = record.offset
            try:
                event = records.decode(record.value)
            except (ValueError, RecursionError):
                continue
            if event.customer and event.type not in (TICK, CONTROL):
                found.append(event)
    return found
