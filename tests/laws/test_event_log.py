"""What every log must do, whichever server stands behind it: `EventLogLaws`, and one subclass per log.

A subclass gives two fixtures: `log`, and `topic`, the name of a new, empty topic of PARTITIONS partitions.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from orchestrator.errors import DependencyUnreachable, PositionTooOld
from orchestrator.imports import deprecations_ignored
from orchestrator.ports import EventLog, LogRecord
from orchestrator.runtime.kafka_admin import admin_client
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.streams_log import CHUNK_RECORDS, StreamsLog
from orchestrator.settings import Kafka
from orchestrator.testing.services.kafka import KafkaServer
from orchestrator.testing.services.redis import RedisServer

with deprecations_ignored():
    from aiokafka import TopicPartition

PARTITIONS = 3
#: Seconds until a record that was appended must be readable.
SOON = 20.0


async def read_until(log: EventLog, topic: str, partition: int, last: int, after: int = -1) -> list[LogRecord]:
    """All records behind `after` up to offset `last`, read in pages of 700."""
    records: list[LogRecord] = []
    async with asyncio.timeout(SOON):
        while after < last:
            page = await log.read(topic, partition, after, 700)
            assert len(page) <= 700
            records += page
            after = page[-1].offset if page else after
    return records


class EventLogLaws:
    async def test_an_empty_partition_ends_before_its_first_record(self, log: EventLog, topic: str) -> None:
        assert await log.end(topic, 0) == -1
        assert list(await log.read(topic, 0, -1, 10)) == []

    async def test_the_number_of_partitions_is_known(self, log: EventLog, topic: str) -> None:
        assert await log.partitions(topic) == PARTITIONS

    async def test_records_come_back_as_they_went_in_at_offsets_from_zero(self, log: EventLog, topic: str) -> None:
        pairs = [(b"key", b"value"), (None, b"\xff\x00\xfe"), (b"", b""), (b"\x80", b"x" * 64 * 1024)]
        await log.append(topic, 1, pairs)
        records = await read_until(log, topic, 1, 3)
        assert [(record.key, record.value) for record in records] == pairs
        assert [record.offset for record in records] == [0, 1, 2, 3]
        assert await log.end(topic, 1) == 3

    async def test_partitions_do_not_mix(self, log: EventLog, topic: str) -> None:
        for partition in range(PARTITIONS):
            await log.append(topic, partition, [(None, b"%d" % partition)])
        for partition in range(PARTITIONS):
            assert [record.value for record in await read_until(log, topic, partition, 0)] == [b"%d" % partition]

    async def test_a_read_starts_behind_the_given_offset_and_keeps_its_limit(self, log: EventLog, topic: str) -> None:
        await log.append(topic, 0, [(None, b"%d" % n) for n in range(10)])
        assert [record.offset for record in await read_until(log, topic, 0, 9, after=6)] == [7, 8, 9]
        assert [record.offset for record in await log.read(topic, 0, 3, 2)] == [4, 5]

    async def test_reading_twice_gives_the_same(self, log: EventLog, topic: str) -> None:
        await log.append(topic, 0, [(b"k", b"%d" % n) for n in range(100)])
        assert await read_until(log, topic, 0, 99) == await read_until(log, topic, 0, 99)

    async def test_nothing_appended_is_nothing(self, log: EventLog, topic: str) -> None:
        await log.append(topic, 0, [])
        assert await log.end(topic, 0) == -1

    async def test_a_large_append_arrives_whole_and_in_order(self, log: EventLog, topic: str) -> None:
        values = [b"%d" % n for n in range(2 * CHUNK_RECORDS + 500)]
        await log.append(topic, 0, [(b"k", value) for value in values])
        await log.append(topic, 1, [(None, bytes([n]) * 60_000) for n in range(40)])
        assert [record.value for record in await read_until(log, topic, 0, len(values) - 1)] == values
        assert [record.value[0] for record in await read_until(log, topic, 1, 39)] == list(range(40))

    async def test_a_waiting_reader_hears_of_a_new_record(self, log: EventLog, topic: str) -> None:
        reading = asyncio.create_task(read_until(log, topic, 2, 0))
        await asyncio.wait([reading], timeout=0.05)
        assert not reading.done()
        await log.append(topic, 2, [(None, b"new")])
        assert [record.value for record in await reading] == [b"new"]

    async def test_a_read_with_nothing_to_read_comes_back(self, log: EventLog, topic: str) -> None:
        await log.append(topic, 0, [(None, b"a")])
        async with asyncio.timeout(SOON):
            assert list(await log.read(topic, 0, 0, 10)) == []

    async def test_append_times_are_those_of_the_log_and_never_go_back(self, log: EventLog, topic: str) -> None:
        before = time.time() * 1000
        for n in range(5):
            await log.append(topic, 0, [(None, b"%d" % n)] * 2)
        after = time.time() * 1000
        times = [record.timestamp for record in await read_until(log, topic, 0, 9)]
        assert times == sorted(times)
        assert before - 1000 <= times[0] <= times[-1] <= after + 1000

    async def test_writers_at_the_same_time_lose_nothing_and_keep_their_own_order(
        self, log: EventLog, topic: str
    ) -> None:
        async def write(writer: int) -> None:
            for n in range(0, 60, 3):
                await log.append(topic, 0, [(None, b"%d %d" % (writer, n + i)) for i in range(3)])

        await asyncio.gather(*(write(writer) for writer in range(8)))
        records = await read_until(log, topic, 0, 8 * 60 - 1)
        assert [record.offset for record in records] == list(range(8 * 60))
        for writer in range(8):
            mine = [record.value for record in records if record.value.startswith(b"%d " % writer)]
            assert mine == [b"%d %d" % (writer, n) for n in range(60)]

    async def test_any_mix_of_calls_agrees_with_plain_lists(self, log: EventLog, topic: str) -> None:
        draw = random.Random(7)
        model: list[list[tuple[bytes | None, bytes]]] = [[] for _ in range(PARTITIONS)]
        for _ in range(60):
            partition = draw.randrange(PARTITIONS)
            held = model[partition]
            if draw.random() < 0.5:
                pairs = [
                    (draw.choice([None, draw.randbytes(4)]), draw.randbytes(draw.randrange(50)))
                    for _ in range(draw.randrange(1, 30))
                ]
                await log.append(topic, partition, pairs)
                held += pairs
            elif held:
                after = draw.randrange(-1, len(held) - 1)
                page = await log.read(topic, partition, after, draw.randrange(1, 40))
                expected = held[after + 1 : after + 1 + len(page)]
                assert page
                assert [record.offset for record in page] == list(range(after + 1, after + 1 + len(page)))
                assert [(record.key, record.value) for record in page] == expected
            assert await log.end(topic, partition) == len(held) - 1


class TestStreamsLog(EventLogLaws):
    @pytest.fixture
    def topic(self) -> str:
        return "events"

    @pytest.fixture
    async def log(self, redis_client: redis.asyncio.Redis) -> AsyncIterator[StreamsLog]:
        log = StreamsLog(redis_client, {"events": PARTITIONS})
        yield log
        await log.close()

    async def test_a_topic_that_was_not_named_has_the_default(self, log: StreamsLog) -> None:
        assert await log.partitions("other") == 1
        await log.append("other", 0, [(None, b"a")])
        with pytest.raises(ValueError, match="topic other has partitions 0 to 0, not 1"):
            await log.append("other", 1, [(None, b"a")])

    async def test_what_was_trimmed_is_gone_and_offsets_go_on(self, log: StreamsLog, topic: str) -> None:
        await log.trim(topic, 0, 10)
        await log.append(topic, 0, [(None, b"%d" % n) for n in range(250)])
        await log.trim(topic, 0, 207)
        assert [record.offset for record in await log.read(topic, 0, 206, 2)] == [207, 208]
        await log.trim(topic, 0, 100)
        await log.trim(topic, 0, 1_000)
        assert await log.end(topic, 0) == 249
        await log.append(topic, 0, [(None, b"next")])
        assert [record.offset for record in await log.read(topic, 0, 249, 10)] == [250]

    async def test_a_position_before_the_oldest_record_is_an_error_and_no_gap(
        self, log: StreamsLog, topic: str
    ) -> None:
        await log.append(topic, 0, [(None, b"%d" % n) for n in range(10)])
        await log.trim(topic, 0, 5)
        assert [record.offset for record in await log.read(topic, 0, 4, 1)] == [5]
        with pytest.raises(PositionTooOld, match="starts at offset 5, wanted was 4"):
            await log.read(topic, 0, 3, 10)

    async def test_readers_that_wait_hold_up_nobody(self, redis_url: str, topic: str) -> None:
        narrow = redis.asyncio.Redis.from_url(redis_url, max_connections=1)
        log = StreamsLog(narrow, {topic: PARTITIONS})
        try:
            reading = [asyncio.create_task(read_until(log, topic, n, 0)) for n in range(PARTITIONS)]
            await asyncio.wait(reading, timeout=0.05)
            for n in range(PARTITIONS):
                await log.append(topic, n, [(None, b"a")])
            assert [len(records) for records in await asyncio.gather(*reading)] == [1] * PARTITIONS
        finally:
            await log.close()
            await narrow.aclose()

    async def test_a_killed_server_is_a_named_error_and_then_nothing_acknowledged_is_missing(
        self, log: StreamsLog, topic: str, redis_alone: RedisServer
    ) -> None:
        await log.append(topic, 0, [(b"k", b"%d" % n) for n in range(50)])
        await log.trim(topic, 0, 20)
        await log.append(topic, 1, [(None, b"a")])
        await log.trim(topic, 1, 1)
        redis_alone.kill()
        with pytest.raises(DependencyUnreachable):
            await log.append(topic, 0, [(None, b"lost")])
        with pytest.raises(DependencyUnreachable):
            await log.read(topic, 0, 19, 10)
        redis_alone.start()
        async with asyncio.timeout(SOON):
            while True:
                try:
                    await log.append(topic, 0, [(None, b"50")])
                    break
                except DependencyUnreachable:
                    continue
        records = await read_until(log, topic, 0, 50, after=19)
        assert [record.value for record in records] == [b"%d" % n for n in range(20, 51)]
        assert await log.end(topic, 1) == 0

    async def test_offsets_survive_a_rewrite_of_the_servers_file(
        self, log: StreamsLog, topic: str, redis_alone: RedisServer, redis_client: redis.asyncio.Redis
    ) -> None:
        """The rewrite writes what is there now; an emptied partition must still know where it was."""
        await log.append(topic, 0, [(None, b"a")] * 30)
        await log.trim(topic, 0, 30)
        await redis_client.bgrewriteaof()
        async with asyncio.timeout(SOON):
            while True:
                state = await redis_client.info("persistence")
                if not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]:
                    break
        assert state["aof_last_bgrewrite_status"] == "ok"
        redis_alone.stop()
        redis_alone.start()
        again = redis.asyncio.Redis.from_url(redis_alone.url)
        fresh = StreamsLog(again, {topic: PARTITIONS})
        try:
            assert await fresh.end(topic, 0) == 29
            await fresh.append(topic, 0, [(None, b"b")])
            assert [record.offset for record in await fresh.read(topic, 0, 29, 5)] == [30]
        finally:
            await fresh.close()
            await again.aclose()


class TestKafkaLog(EventLogLaws):
    @pytest.fixture
    def topic(self, kafka: KafkaServer) -> str:
        name = f"laws-{uuid.uuid4().hex[:8]}"
        options = {"num_partitions": PARTITIONS, "configs": {"message.timestamp.type": "LogAppendTime"}}
        with admin_client(kafka.bootstrap, SOON) as admin:
            admin.create_topics({name: options}, wait_for_metadata=True)
        return name

    @pytest.fixture
    async def log(self, kafka: KafkaServer) -> AsyncIterator[KafkaLog]:
        log = KafkaLog(Kafka(bootstrap=kafka.bootstrap))
        yield log
        await log.close()

    async def test_a_topic_that_is_missing_is_told_at_once(self, log: KafkaLog, topic: str) -> None:
        with pytest.raises(DependencyUnreachable, match=r"no topic missing-.*topics create"):
            await log.partitions(f"missing-{topic}")

    async def test_a_position_before_the_oldest_record_is_an_error_and_no_gap(
        self, log: KafkaLog, topic: str, kafka: KafkaServer
    ) -> None:
        await log.append(topic, 0, [(None, b"%d" % n) for n in range(10)])
        with admin_client(kafka.bootstrap, SOON) as admin:
            admin.delete_records({TopicPartition(topic, 0): 5})
        assert [record.offset for record in await read_until(log, topic, 0, 9, after=4)] == [5, 6, 7, 8, 9]
        with pytest.raises(PositionTooOld):
            await log.read(topic, 0, 3, 10)

    async def test_a_killed_broker_is_waited_for_and_nothing_is_appended_twice(self, kafka_alone: KafkaServer) -> None:
        topic = "laws"
        with admin_client(kafka_alone.bootstrap, SOON) as admin:
            admin.create_topics({topic: {"num_partitions": 1}}, wait_for_metadata=True)
        log = KafkaLog(Kafka(bootstrap=kafka_alone.bootstrap))
        try:
            await log.append(topic, 0, [(None, b"0")])
            await asyncio.to_thread(kafka_alone.kill)
            appending = asyncio.create_task(log.append(topic, 0, [(None, b"1"), (None, b"2")]))
            await asyncio.to_thread(kafka_alone.start)
            await asyncio.wait_for(appending, SOON)
            assert [record.value for record in await read_until(log, topic, 0, 2)] == [b"0", b"1", b"2"]
        finally:
            await log.close()

    async def test_no_broker_is_a_named_error(self) -> None:
        log = KafkaLog(Kafka(bootstrap="127.0.0.1:1"))
        with pytest.raises(DependencyUnreachable, match=r"127\.0\.0\.1:1"):
            await log.append("events", 0, [(None, b"a")])
        with pytest.raises(DependencyUnreachable, match=r"127\.0\.0\.1:1"):
            await log.end("events", 0)
        await log.close()
