"""The same log once more, through the embedded mode's log and Redis: must give the same bytes as Kafka's."""

from __future__ import annotations

from pathlib import Path

import redis.asyncio
from checker import read_partition

from orchestrator.ports import LogRecord
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.local_redis import LocalRedis
from orchestrator.runtime.partitions import Partitions
from orchestrator.runtime.relay import Relay
from orchestrator.runtime.streams_log import StreamsLog
from orchestrator.runtime.worker import destinations
from orchestrator.settings import Settings
from orchestrator.stores import keys
from orchestrator.stores.partition_state import PartitionState


async def same_in_embedded_mode(settings: Settings, client: redis.asyncio.Redis, log: KafkaLog, folder: Path) -> int:
    """Apply Kafka's log as embedded mode would and compare documents and decisions. Returns the number of decisions."""
    twin = LocalRedis(folder / "twin", persistent=False)
    twin.start()
    other = redis.asyncio.Redis.from_url(twin.url)
    topics = settings.topics
    streams = StreamsLog(other, {topics.events: topics.partitions, topics.decisions: topics.partitions})
    try:
        async for key in client.scan_iter(keys.body("*")):
            await other.set(key, await client.get(key))
        catalogue = Catalogue(other, settings.seed.get_secret_value().encode())
        owner = Partitions(PartitionState(other), catalogue, destinations(topics), max_batch=777, max_due=11)
        decisions = 0
        for partition in range(topics.partitions):
            last = int(await client.hget(keys.meta(partition), "offset") or -1)
            records = [r for r in await read_partition(log, topics.events, partition) if r.offset <= last]
            await streams.append(topics.events, partition, [(record.key, record.value) for record in records])
            applied = await owner.acquire(partition) - 1
            while found := await _next(streams, topics.events, partition, applied):
                await owner.apply(partition, found)
                applied = found[-1].offset
            await Relay(other, streams).drain(partition)
            assert await _documents(client, partition) == await _documents(other, partition)
            made = await _decisions(streams, topics.decisions, partition)
            assert made == {record.value for record in await read_partition(log, topics.decisions, partition)}
            decisions += len(made)
        return decisions
    finally:
        await streams.close()
        await other.aclose()
        twin.stop()


async def _next(streams: StreamsLog, topic: str, partition: int, after: int) -> list[LogRecord]:
    if after >= await streams.end(topic, partition):
        return []
    return list(await streams.read(topic, partition, after, 1_500))


async def _documents(client: redis.asyncio.Redis, partition: int) -> dict[bytes, bytes | None]:
    return {key: await client.get(key) async for key in client.scan_iter(keys.customer(partition, "*"))}


async def _decisions(streams: StreamsLog, topic: str, partition: int) -> set[bytes]:
    found: set[bytes] = set()
    after = -1
    while records := await _next(streams, topic, partition, after):
        found |= {record.value for record in records}
        after = records[-1].offset
    return found
