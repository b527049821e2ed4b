"""The log in Kafka: appends that count once acknowledged by every in-sync replica, and plain reads by offset."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from orchestrator.errors import DependencyUnreachable, PositionTooOld
from orchestrator.imports import deprecations_ignored
from orchestrator.ports import LogRecord
from orchestrator.runtime.kafka_security import client_security
from orchestrator.settings import Kafka

with deprecations_ignored():
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.errors import KafkaError, OffsetOutOfRangeError

#: Milliseconds an append may wait for company in its batch.
LINGER_MS = 2
#: Milliseconds a read waits for a first record.
READ_WAIT_MS = 250
#: Milliseconds the broker may hold a fetch back for records.
FETCH_WAIT_MS = 100
#: Milliseconds until an unanswered request is given up; a produce is retried within them.
REQUEST_TIMEOUT_MS = 15_000
FIX = "start Kafka, or correct kafka.bootstrap (ORCHESTRATOR_KAFKA__BOOTSTRAP)"


class KafkaLog:
    """An `EventLog` on Kafka. Connects at first use; every method raises DependencyUnreachable while Kafka is away.

    An append that raised may have happened all the same: repeat it, records carry ids. Records of one call keep their
    order on their partition; the client repeats a lost request without duplicating it (idempotent producer).
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None
        self._reader: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._connecting = asyncio.Lock()
        self._reading = asyncio.Lock()

    async def append(self, topic: str, partition: int, values: Sequence[tuple[bytes | None, bytes]]) -> None:
        """Append (key, value) pairs in order; returns after acks=all."""
        with self._reachable():
            producer = await self._connected_producer()
            sent = [await producer.send(topic, value, key, partition=partition) for key, value in values]
            results = await asyncio.gather(*sent, return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def read(self, topic: str, partition: int, after: int, limit: int) -> Sequence[LogRecord]:
        """Up to `limit` records with offset > `after`, waiting shortly when there are none.

        Raises PositionTooOld when the log no longer holds the record after `after`, or does not hold it yet and never
        held `after`.
        """
        tp = TopicPartition(topic, partition)
        with self._reachable():
            reader = await self._connected_reader()
            async with self._reading:
                if self._positions.get(tp) != after + 1:
                    if tp not in self._positions:
                        reader.assign([*self._positions, tp])
                        for other, position in self._positions.items():
                            reader.seek(other, position)
                    reader.seek(tp, after + 1)
                    self._positions[tp] = after + 1
                records: list[Any] = []
                try:
                    while not records:
                        found = await reader.getmany(tp, timeout_ms=READ_WAIT_MS, max_records=limit)
                        records = found.get(tp, [])
                        # Nothing yet is only an answer when there is nothing.
                        if not records and await reader.position(tp) >= (await reader.end_offsets([tp]))[tp]:
                            break
                except OffsetOutOfRangeError:
                    raise PositionTooOld(
                        f"{topic}/{partition} does not hold the offset {after + 1}",
                        fix="raise the topic's retention, or restore the log that belongs to this state",
                    ) from None
                if records:
                    self._positions[tp] = records[-1].offset + 1
                # aiokafka's records have the attributes of a LogRecord.
                return cast("list[LogRecord]", records)

    async def end(self, topic: str, partition: int) -> int:
        """The offset of the last record, -1 when there never was one."""
        tp = TopicPartition(topic, partition)
        with self._reachable():
            reader = await self._connected_reader()
            return int((await reader.end_offsets([tp]))[tp]) - 1

    async def start(self, topic: str, partition: int) -> int:
        """The offset of the first record the log still holds; of the next one when it holds none."""
        tp = TopicPartition(topic, partition)
        with self._reachable():
            reader = await self._connected_reader()
            return int((await reader.beginning_offsets([tp]))[tp])

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has. Raises DependencyUnreachable when there is no such topic (yet)."""
        with self._reachable():
            producer = await self._connected_producer()
            found = (await producer.client.fetch_all_metadata()).partitions_for_topic(topic)
        if not found:
            raise DependencyUnreachable(f"Kafka has no topic {topic}", fix="run `orchestrator topics create`")
        return len(found)

    async def close(self) -> None:
        """Send what waits and disconnect."""
        producer, self._producer = self._producer, None
        reader, self._reader = self._reader, None
        if producer is not None:
            await producer.stop()
        if reader is not None:
            await reader.stop()

    async def _connected_producer(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._connection(),
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=LINGER_MS,
                    compression_type="lz4",
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def _connected_reader(self) -> AIOKafkaConsumer:
        async with self._connecting:
            if self._reader is None:
                reader = AIOKafkaConsumer(
                    **self._connection(),
                    group_id=None,
                    enable_auto_commit=False,
                    auto_offset_reset="none",
                    # A fetch that waits for one partition holds up the next one's.
                    fetch_max_wait_ms=FETCH_WAIT_MS,
                )
                try:
                    await reader.start()
                except BaseException:
                    await reader.stop()
                    raise
                self._reader = reader
            return self._reader

    def _connection(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": self._kafka.bootstrap.split(","),
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            **client_security(self._kafka),
        }

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except (KafkaError, OSError) as problem:
            raise DependencyUnreachable(f"Kafka at {self._kafka.bootstrap}: {problem}", fix=FIX) from problem
