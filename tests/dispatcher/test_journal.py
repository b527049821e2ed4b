"""The journal of claims: durable before `write` returns, shared writes, honest about failure."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.errors import DependencyUnreachable, PositionTooOld
from orchestrator.imports import deprecations_ignored
from orchestrator.ports import LogRecord
from orchestrator.runtime.journal import SKEW, Entry, FileJournal, KafkaJournal
from orchestrator.runtime.kafka_admin import admin_client
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.settings import Kafka
from orchestrator.testing.services.kafka import KafkaServer

with deprecations_ignored():
    from aiokafka import TopicPartition


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def entry(number: int, *, partition: int = 0, at: int | None = None) -> Entry:
    return Entry(
        kind="claim",
        send_id=f"s{number}",
        partition=partition,
        attempt=1,
        at=number if at is None else at,
        customer="c",
        channel="email",
        provider="p",
    )


async def test_a_file_is_synced_before_write_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, synced, real = FileJournal(tmp_path), 0, os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal synced
        synced += 1
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    await asyncio.gather(*(journal.write(entry(number, partition=number % 2)) for number in range(100)))
    assert 1 <= synced <= 6, "waiting writers share one sync"
    assert [one.send_id for one in await journal.read(1, 50)] == [f"s{number}" for number in range(51, 100, 2)]
    await journal.close()


async def test_a_file_that_cannot_be_synced_lets_nothing_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = FileJournal(tmp_path)
    await journal.write(entry(1))

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", no_space)
        with pytest.raises(DependencyUnreachable):
            await journal.write(entry(2))
    await journal.write(entry(3))
    assert {"s1", "s3"} <= {one.send_id for one in await journal.read(0, 0)}
    assert len(files(tmp_path)) == 2, "nothing is appended to a file whose sync failed"
    await journal.close()


async def test_a_torn_line_is_skipped_and_a_new_process_starts_a_new_file(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    await journal.write(entry(1))
    await journal.close()
    [segment] = files(tmp_path)
    with segment.open("ab") as file:
        file.write(b'{"kind":"claim","send_')
    again = FileJournal(tmp_path)
    await again.write(entry(2))
    assert [one.send_id for one in await again.read(0, 0)] == ["s1", "s2"]
    await again.close()


async def test_segments_turn_over_and_old_ones_go(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, segment_bytes=200, keep=3600)
    for number in range(4):
        await journal.write(entry(number))
    segments = files(tmp_path)
    assert len(segments) > 1
    os.utime(segments[0], (0, 0))
    for number in range(4, 8):
        await journal.write(entry(number))
    assert segments[0] not in files(tmp_path)
    await journal.close()


class MemoryLog:
    """An EventLog of lists whose start may be deleted."""

    def __init__(self) -> None:
        self.records: dict[int, list[LogRecord]] = {}
        self.start = 0
        self.appends = 0
        self.broken: set[int] = set()

    async def append(self, topic: str, partition: int, values: Sequence[tuple[bytes | None, bytes]]) -> None:
        assert topic == "sends"
        await asyncio.sleep(0)
        if partition in self.broken:
            raise DependencyUnreachable("no broker")
        self.appends += 1
        records = self.records.setdefault(partition, [])
        for key, value in values:
            records.append(LogRecord(len(records), value, key=key))

    async def read(self, topic: str, partition: int, after: int, limit: int) -> Sequence[LogRecord]:
        if after + 1 < self.start:
            raise PositionTooOld("deleted")
        return self.records.get(partition, [])[after + 1 : after + 1 + limit]

    async def end(self, topic: str, partition: int) -> int:
        return len(self.records.get(partition, [])) - 1

    async def partitions(self, topic: str) -> int:
        return 2

    async def close(self) -> None:
        pass


async def test_topic_writes_are_shared_and_fail_by_partition() -> None:
    log = MemoryLog()
    journal = KafkaJournal(log, "sends")
    await asyncio.gather(*(journal.write(entry(number)) for number in range(50)))
    assert log.appends <= 2
    log.broken = {1}
    answers = await asyncio.gather(
        journal.write(entry(50)), journal.write(entry(51, partition=1)), return_exceptions=True
    )
    assert answers[0] is None
    assert isinstance(answers[1], DependencyUnreachable)
    await journal.close()


async def test_topic_is_read_from_the_moment_asked_for_even_when_its_start_is_gone() -> None:
    log = MemoryLog()
    journal = KafkaJournal(log, "sends")
    assert await journal.read(0, 0) == []
    for number in range(300):
        await journal.write(entry(number, at=number * SKEW))
    log.start = 100
    assert [one.send_id for one in await journal.read(0, 290 * SKEW)] == [f"s{n}" for n in range(290, 300)]
    assert len(await journal.read(0, 0)) == 200
    await journal.close()


async def test_on_a_real_broker_whose_oldest_entries_are_deleted(kafka: KafkaServer) -> None:
    topic = f"sends-{uuid.uuid4().hex[:8]}"
    with admin_client(kafka.bootstrap, 30) as admin:
        admin.create_topics({topic: {"num_partitions": 2}}, wait_for_metadata=True)
    log = KafkaLog(Kafka(bootstrap=kafka.bootstrap))
    journal = KafkaJournal(log, topic)
    try:
        await asyncio.gather(
            *(journal.write(entry(number, partition=number % 2, at=number * SKEW)) for number in range(40))
        )
        with admin_client(kafka.bootstrap, 30) as admin:
            admin.delete_records({TopicPartition(topic, 0): 5})
        assert [one.send_id for one in await journal.read(0, 30 * SKEW)] == [f"s{n}" for n in range(30, 40, 2)]
        assert [one.send_id for one in await journal.read(0, 0)] == [f"s{n}" for n in range(10, 40, 2)]
        assert len(await journal.read(1, 0)) == 20
    finally:
        await journal.close()
        await log.close()
