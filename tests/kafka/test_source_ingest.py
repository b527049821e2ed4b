"""From source topics into the log: what is good, what is bad, and what a crash leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence

import pytest
import redis.asyncio
from kafka_tools import PARTITIONS, until

from orchestrator.contracts import dead_letters, records
from orchestrator.errors import DependencyUnreachable
from orchestrator.partitioning import partition_of
from orchestrator.ports import EventLog
from orchestrator.runtime.kafka_admin import admin_client
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.source_ingest import SourceIngest, fallback_id
from orchestrator.settings import Settings
from orchestrator.stores import keys
from orchestrator.testing.services.redis import RedisServer

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(settings.kafka)
    yield log
    await log.close()


@contextlib.asynccontextmanager
async def ingesting(settings: Settings, log: EventLog, client: redis.asyncio.Redis) -> AsyncIterator[SourceIngest]:
    stop = asyncio.Event()
    ingest = SourceIngest(client, log, settings)
    running = asyncio.create_task(ingest.run(stop))
    try:
        yield ingest
    finally:
        stop.set()
        await asyncio.wait_for(running, 20)


def event(number: int, **more: object) -> bytes:
    return json.dumps(
        {
            "id": f"e{number}",
            "type": "seen",
            "time": "2026-03-01T09:30:00Z",
            "customer": f"c{number % 5}",
            "source": "shop",
            "data": {"number": number},
        }
        | more
    ).encode()


async def everything(log: KafkaLog, topic: str) -> dict[int, list[bytes]]:
    """The values of every partition of a topic."""
    found: dict[int, list[bytes]] = {}
    for partition in range(await log.partitions(topic)):
        found[partition] = []
        while len(found[partition]) <= await log.end(topic, partition):
            page = await log.read(topic, partition, len(found[partition]) - 1, 1_000)
            found[partition] += [record.value for record in page]
    return found


async def count(log: KafkaLog, topic: str) -> int:
    return sum([await log.end(topic, partition) + 1 for partition in range(await log.partitions(topic))])


async def until_count(log: KafkaLog, topic: str, wanted: int) -> None:
    async with asyncio.timeout(40):
        while await count(log, topic) < wanted:
            await log.read(topic, 0, await log.end(topic, 0), 1)  # waits shortly


async def test_events_go_to_their_customers_partition_in_order(
    settings: Settings, log: KafkaLog, redis_client: redis.asyncio.Redis
) -> None:
    source = settings.topics.sources[0]
    await log.append(source, 0, [(b"k", event(number)) for number in range(500)])
    async with ingesting(settings, log, redis_client):
        await until_count(log, settings.topics.events, 500)
    numbers: dict[str, list[int]] = {}
    for partition, values in (await everything(log, settings.topics.events)).items():
        for value in values:
            found = records.decode(value)
            assert partition_of(found.customer, PARTITIONS) == partition
            assert found.received > 0
            numbers.setdefault(found.customer, []).append(found.data["number"])
    assert sorted(number for some in numbers.values() for number in some) == list(range(500))
    assert all(some == sorted(some) for some in numbers.values())
    assert await redis_client.hget(keys.ingest(source), "0") == b"500"


async def test_bad_records_become_dead_letters_and_the_next_one_goes_on(
    settings: Settings, log: KafkaLog, redis_client: redis.asyncio.Redis
) -> None:
    source = settings.topics.sources[0]
    bad = [b"{not json", b"\xff\xfe", event(1, type=3), b"x" * 200_000, b"[1]"]
    await log.append(source, 0, [(None, value) for value in [event(0), *bad, event(2)]])
    async with ingesting(settings, log, redis_client):
        await until_count(log, settings.topics.dead, len(bad))
        await until_count(log, settings.topics.events, 2)
    letters = [dead_letters.decode(value) for value in (await everything(log, settings.topics.dead))[0]]
    assert [letter.origin for letter in letters] == [f"kafka:{source}/0/{offset}" for offset in range(1, 6)]
    assert all(letter.code and letter.message for letter in letters)
    assert [letter.original() for letter in letters] == [bad[0], bad[1], bad[2], None, bad[4]]
    assert letters[2].field == "type"


async def test_an_event_without_an_id_gets_the_same_one_whenever_it_is_read(
    settings: Settings, log: KafkaLog, redis_client: redis.asyncio.Redis
) -> None:
    source = settings.topics.sources[0]
    nameless = json.loads(event(7))
    del nameless["id"]
    await log.append(source, 2, [(None, json.dumps(nameless).encode())])
    async with ingesting(settings, log, redis_client):
        await until_count(log, settings.topics.events, 1)
    (found,) = [
        records.decode(v) for values in (await everything(log, settings.topics.events)).values() for v in values
    ]
    assert found.id == fallback_id(source, 2, 0)


class Failing:
    """A log whose first appends to one topic fail, as if the broker were away."""

    def __init__(self, log: KafkaLog, topic: str, failures: int) -> None:
        self._log, self._topic, self.failures = log, topic, failures

    async def append(self, topic: str, partition: int, values: Sequence[tuple[bytes | None, bytes]]) -> None:
        if topic == self._topic and self.failures > 0:
            self.failures -= 1
            raise DependencyUnreachable("the log is away")
        await self._log.append(topic, partition, values)

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)


async def test_nothing_is_noted_before_it_is_forwarded(
    settings: Settings, log: KafkaLog, redis_client: redis.asyncio.Redis
) -> None:
    source = settings.topics.sources[0]
    await log.append(source, 0, [(None, event(number)) for number in range(10)])
    failing = Failing(log, settings.topics.events, 1_000_000)
    async with ingesting(settings, failing, redis_client) as ingest:  # type: ignore[arg-type]
        await until(lambda: failing.failures < 1_000_000 - 4 and ingest.waiting, 40, "it tried more than once")
        assert await redis_client.hget(keys.ingest(source), "0") is None
        with admin_client(settings.kafka.bootstrap, 10.0) as admin:
            group = f"{settings.kafka.group}-ingest"
            assert not admin.list_group_offsets([group])[group]
        failing.failures = 0
        await until_count(log, settings.topics.events, 10)


async def test_begins_where_the_group_or_redis_left_off_whichever_is_later(
    settings: Settings, log: KafkaLog, redis_client: redis.asyncio.Redis
) -> None:
    source = settings.topics.sources[0]
    await log.append(source, 0, [(None, event(number)) for number in range(10)])
    async with ingesting(settings, log, redis_client):
        await until_count(log, settings.topics.events, 10)
    await log.append(source, 0, [(None, event(number)) for number in range(10, 13)])
    await redis_client.delete(keys.ingest(source))  # the group knows
    async with ingesting(settings, log, redis_client):
        await until_count(log, settings.topics.events, 13)
    settings.kafka.group += "-new"  # Redis knows
    await log.append(source, 0, [(None, event(13))])
    async with ingesting(settings, log, redis_client):
        await until_count(log, settings.topics.events, 14)
    assert await count(log, settings.topics.events) == 14


async def test_a_position_of_another_topic_of_the_same_name_is_not_believed(
    settings: Settings, log: KafkaLog, redis_client: redis.asyncio.Redis
) -> None:
    source = settings.topics.sources[0]
    await redis_client.hset(keys.ingest(source), "0", "5000")
    await log.append(source, 0, [(None, event(number)) for number in range(10)])
    async with ingesting(settings, log, redis_client):
        await until_count(log, settings.topics.events, 10)
    assert await redis_client.hget(keys.ingest(source), "0") == b"10"


async def test_goes_on_when_redis_was_away(
    settings: Settings, log: KafkaLog, redis_client: redis.asyncio.Redis, redis_alone: RedisServer
) -> None:
    source = settings.topics.sources[0]
    async with ingesting(settings, log, redis_client) as ingest:
        await until(lambda: len(ingest.positions) == PARTITIONS, 40, "assigned")
        redis_alone.kill()
        await log.append(source, 0, [(None, event(number)) for number in range(10)])
        await until(lambda: ingest.waiting, 40, "it waits")
        redis_alone.start()
        await until(lambda: not ingest.waiting and 10 in ingest.positions.values(), 40, "it went on")
    assert await redis_client.hget(keys.ingest(source), "0") == b"10"
