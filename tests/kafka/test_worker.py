"""The worker's Kafka side, on a real broker: where it reads, in what order, and what happens when things go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from file_ledger import Ledger
from kafka_tools import PARTITIONS, WorkerProcess, fill, settings_for, until

from orchestrator.errors import DependencyUnreachable, PartitionCountChanged, TooManyPoison
from orchestrator.imports import deprecations_ignored
from orchestrator.ports import LogRecord
from orchestrator.runtime import topics
from orchestrator.runtime.app import run_worker
from orchestrator.runtime.kafka_admin import admin_client
from orchestrator.runtime.watchdog import STUCK
from orchestrator.settings import Settings
from orchestrator.testing.services.kafka import KafkaServer

with deprecations_ignored():
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

pytestmark = pytest.mark.timeout(120)


@contextlib.asynccontextmanager
async def working(settings: Settings, ledger: Ledger) -> AsyncIterator[asyncio.Task[None]]:
    """A worker in this process; ends in good order."""
    stop = asyncio.Event()
    worker = asyncio.create_task(run_worker(settings, ledger, stop))
    try:
        yield worker
    finally:
        stop.set()
        if not worker.done():
            await asyncio.wait_for(worker, 20)


async def test_reads_from_the_owners_offset_not_the_groups(settings: Settings, tmp_path: Path) -> None:
    await fill(settings, 100)
    reader = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap, group_id=settings.kafka.group)
    await reader.start()
    reader.assign([TopicPartition(settings.topics.events, partition) for partition in range(PARTITIONS)])
    await reader.commit({TopicPartition(settings.topics.events, partition): 90 for partition in range(PARTITIONS)})
    await reader.stop()

    ledger = Ledger(tmp_path)
    ledger.start_at(0, 40)
    async with working(settings, ledger):
        await until(lambda: ledger.positions(PARTITIONS) == 100 * PARTITIONS, 30, "everything applied")

    assert ledger.values(0) == list(range(40, 100))
    assert ledger.values(1) == list(range(100))
    for partition in range(PARTITIONS):
        calls = [what for what, where in ledger.calls if where == partition]
        assert calls[0] == "acquire"
        assert calls[-1] == "release"


async def test_commits_to_the_group_for_lag_tools(settings: Settings, tmp_path: Path) -> None:
    await fill(settings, 700)
    ledger = Ledger(tmp_path)
    async with working(settings, ledger):
        await until(lambda: ledger.positions(PARTITIONS) == 700 * PARTITIONS, 30, "everything applied")
    with admin_client(settings.kafka.bootstrap, 10.0) as admin:
        offsets = admin.list_group_offsets([settings.kafka.group])[settings.kafka.group]
    assert {entry.offset for entry in offsets.values()} == {700}
    assert len(offsets) == PARTITIONS


async def test_every_record_once_and_in_order_while_more_arrive(settings: Settings, tmp_path: Path) -> None:
    await fill(settings, 3_000)
    ledger = Ledger(tmp_path)
    async with working(settings, ledger):
        await fill(settings, 3_000, first=3_000)
        await until(lambda: ledger.positions(PARTITIONS) == 6_000 * PARTITIONS, 30, "everything applied")
    for partition in range(PARTITIONS):
        assert ledger.values(partition) == list(range(6_000))


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
async def test_compressed_records(settings: Settings, tmp_path: Path, codec: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap, compression_type=codec, linger_ms=20)
    await producer.start()
    for number in range(1_000):
        await producer.send(settings.topics.events, b"%d x" % number, partition=0)
    await producer.stop()
    ledger = Ledger(tmp_path)
    async with working(settings, ledger):
        await until(lambda: ledger.position(0) == 1_000, 30, "everything applied")
    assert ledger.values(0) == list(range(1_000))


async def test_a_slow_partition_does_not_hold_up_the_others(settings: Settings, tmp_path: Path) -> None:
    gate = asyncio.Event()

    class Slow(Ledger):
        async def apply(self, partition: int, records: Sequence[LogRecord]) -> None:
            if partition == 0:
                await gate.wait()
            await super().apply(partition, records)

    await fill(settings, 5_000)
    ledger = Slow(tmp_path)
    async with working(settings, ledger):
        await until(lambda: all(ledger.position(p) == 5_000 for p in (1, 2, 3)), 30, "the other partitions applied")
        await fill(settings, 10, first=5_000)
        took = await until(lambda: all(ledger.position(p) == 5_010 for p in (1, 2, 3)), 30, "the new records applied")
        assert ledger.position(0) == 0
        assert took < 1.0
        gate.set()
        await until(lambda: ledger.position(0) == 5_010, 30, "the slow one caught up")
    assert ledger.values(0) == list(range(5_010))


async def test_a_fenced_lane_drops_what_it_holds_and_acquires_anew(settings: Settings, tmp_path: Path) -> None:
    class Thief(Ledger):
        stolen = False

        async def apply(self, partition: int, records: Sequence[LogRecord]) -> None:
            if partition == 0 and not self.stolen:
                self.stolen = True
                await Ledger(self.folder, "thief").acquire(0)
            await super().apply(partition, records)

    settings.kafka.session_timeout = 1.5
    await fill(settings, 2_000)
    ledger = Thief(tmp_path)
    async with working(settings, ledger):
        await until(lambda: ledger.positions(PARTITIONS) == 2_000 * PARTITIONS, 30, "everything applied")
    assert ledger.refused == 1
    assert [what for what, where in ledger.calls if where == 0][:3] == ["acquire", "apply", "acquire"]
    assert ledger.values(0) == list(range(2_000))


async def test_an_unexpected_error_ends_the_worker_and_skips_nothing(settings: Settings, tmp_path: Path) -> None:
    class Broken(Ledger):
        async def apply(self, partition: int, records: Sequence[LogRecord]) -> None:
            if partition == 2 and records[-1].offset >= 500:
                raise TooManyPoison("a bad deploy")
            await super().apply(partition, records)

    await fill(settings, 2_000)
    with pytest.raises(TooManyPoison):
        await asyncio.wait_for(run_worker(settings, Broken(tmp_path), asyncio.Event()), 30)
    ledger = Ledger(tmp_path)
    assert ledger.position(2) <= 500
    async with working(settings, ledger):
        await until(lambda: ledger.positions(PARTITIONS) == 2_000 * PARTITIONS, 30, "everything applied")
    for partition in range(PARTITIONS):
        assert ledger.values(partition) == list(range(2_000))


async def test_waits_for_a_dependency_that_is_away_when_it_acquires(settings: Settings, tmp_path: Path) -> None:
    class Away(Ledger):
        attempts = 0

        async def acquire(self, partition: int) -> int:
            self.attempts += 1
            if self.attempts < 8:
                raise DependencyUnreachable("Redis is away")
            return await super().acquire(partition)

    await fill(settings, 10)
    ledger = Away(tmp_path)
    async with working(settings, ledger):
        await until(lambda: ledger.positions(PARTITIONS) == 10 * PARTITIONS, 30, "everything applied")


async def test_a_position_the_log_no_longer_holds_stops_only_its_partition(settings: Settings, tmp_path: Path) -> None:
    await fill(settings, 100)
    with admin_client(settings.kafka.bootstrap, 10.0) as admin:
        admin.delete_records({TopicPartition(settings.topics.events, 1): 50})
    ledger = Ledger(tmp_path)
    ledger.start_at(1, 30)
    ledger.start_at(2, 5_000)  # and one that the log never reached
    async with working(settings, ledger):
        await until(lambda: ledger.position(0) == ledger.position(3) == 100, 30, "the others applied")
    assert ledger.position(1) == 30
    assert ledger.position(2) == 5_000
    assert ledger.values(1) == ledger.values(2) == []


async def test_another_number_of_partitions_refuses_to_start(settings: Settings, tmp_path: Path) -> None:
    settings.topics.partitions = PARTITIONS + 1
    with pytest.raises(PartitionCountChanged):
        await asyncio.wait_for(run_worker(settings, Ledger(tmp_path), asyncio.Event()), 30)


async def test_the_watchdog_ends_a_process_that_does_not_get_on(settings: Settings, tmp_path: Path) -> None:
    class Hung(Ledger):
        async def apply(self, partition: int, records: Sequence[LogRecord]) -> None:
            await asyncio.Event().wait()

    settings.worker.watchdog = 1.0
    stop, ended = asyncio.Event(), threading.Event()
    worker = asyncio.create_task(run_worker(settings, Hung(tmp_path), stop, on_stuck=ended.set))
    await asyncio.to_thread(ended.wait, 4)
    assert not ended.is_set(), "nobody is stuck without lag"
    await fill(settings, 10)
    assert await asyncio.to_thread(ended.wait, 20), "lag without progress"
    stop.set()
    await asyncio.wait_for(worker, 20)


async def test_a_process_with_a_blocked_loop_is_ended_too(settings: Settings, tmp_path: Path) -> None:
    settings.worker.watchdog = 1.0
    await fill(settings, 10)
    worker = WorkerProcess(settings, tmp_path, "hung")
    try:
        assert await asyncio.to_thread(worker.process.wait, 30) == STUCK
    finally:
        worker.end()
    said = worker.output.read_text()
    assert "no progress for 1 s with lag" in said
    assert "file_ledger.py" in said, "the stacks tell where it hung"


Start = Callable[[Settings], WorkerProcess]


async def until_all_work(settings: Settings, ledger: Ledger, workers: Sequence[WorkerProcess], sent: int = 0) -> int:
    """Append records until each of the processes owns a partition; how many each partition has then."""
    for _ in range(300):
        await fill(settings, 10, first=sent)
        sent += 10
        expected = sent * PARTITIONS
        await until(lambda expected=expected: ledger.positions(PARTITIONS) == expected, 30, "everything applied")
        if {ledger.workers(partition)[-1] for partition in range(PARTITIONS)} == {worker.name for worker in workers}:
            return sent
    pytest.fail("a process never got a partition")


async def test_sigterm_hands_over_within_three_seconds(
    settings: Settings, tmp_path: Path, start_process: Start
) -> None:
    ledger = Ledger(tmp_path)
    first, second = start_process(settings), start_process(settings)
    sent = await until_all_work(settings, ledger, [first, second])

    first.process.send_signal(signal.SIGTERM)
    await fill(settings, 10, first=sent)
    took = await until(lambda: ledger.positions(PARTITIONS) == (sent + 10) * PARTITIONS, 30, "the second took over")
    assert took < 3.0
    assert await asyncio.to_thread(first.process.wait, 10) == 0
    for partition in range(PARTITIONS):
        assert ledger.values(partition) == list(range(sent + 10))


async def test_kill_freeze_and_rejoin_lose_and_repeat_nothing(
    settings: Settings, tmp_path: Path, start_process: Start
) -> None:
    ledger = Ledger(tmp_path)
    killed, frozen, left = workers = [start_process(settings) for _ in range(3)]
    sent = await until_all_work(settings, ledger, workers)

    killed.process.kill()
    frozen.process.send_signal(signal.SIGSTOP)
    await fill(settings, 2_000, first=sent)
    took = await until(lambda: ledger.positions(PARTITIONS) == (sent + 2_000) * PARTITIONS, 40, "one took all over")
    assert took > 3.0, "the others kept their partitions until their sessions ended"
    assert {ledger.workers(partition)[-1] for partition in range(PARTITIONS)} == {left.name}

    frozen.process.send_signal(signal.SIGCONT)
    again = start_process(settings)
    await fill(settings, 2_000, first=sent + 2_000)
    await until(lambda: ledger.positions(PARTITIONS) == (sent + 4_000) * PARTITIONS, 40, "everything applied")
    total = sent + 4_000
    for partition in range(PARTITIONS):
        assert ledger.values(partition) == list(range(total))

    total = await until_all_work(settings, ledger, [frozen, left, again], total)
    for partition in range(PARTITIONS):
        assert ledger.values(partition) == list(range(total))


@pytest.mark.parametrize("how", ["kill", "terminate"])
async def test_goes_on_by_itself_when_the_broker_is_back(kafka_alone: KafkaServer, tmp_path: Path, how: str) -> None:
    settings = settings_for(kafka_alone)
    topics.create(settings)
    await fill(settings, 100)
    ledger = Ledger(tmp_path)
    async with working(settings, ledger) as worker:
        await until(lambda: ledger.positions(PARTITIONS) == 100 * PARTITIONS, 30, "the first records applied")
        await asyncio.to_thread(getattr(kafka_alone, how))
        await asyncio.to_thread(kafka_alone.start)
        await fill(settings, 100, first=100)
        await until(lambda: ledger.positions(PARTITIONS) == 200 * PARTITIONS, 60, "the next records applied")
        assert not worker.done()
    for partition in range(PARTITIONS):
        assert ledger.values(partition) == list(range(200))


async def test_waits_for_a_broker_that_is_not_up_yet(kafka_alone: KafkaServer, tmp_path: Path) -> None:
    settings = settings_for(kafka_alone)
    topics.create(settings)
    await fill(settings, 10)
    await asyncio.to_thread(kafka_alone.kill)
    ledger = Ledger(tmp_path)
    async with working(settings, ledger):
        await asyncio.to_thread(kafka_alone.start)
        await until(lambda: ledger.positions(PARTITIONS) == 10 * PARTITIONS, 60, "everything applied")
