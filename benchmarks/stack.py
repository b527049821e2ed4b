"""The real parts a run stands on: broker, Redis, topics of its own, processes, and where their CPU time is read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis as Client

from benchmarks.workload import PARTITIONS, Row, row_of
from orchestrator.contracts.records import Event
from orchestrator.imports import deprecations_ignored
from orchestrator.runtime import topics
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.clock import WallClock
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.publish_journeys import publish_program
from orchestrator.settings import Kafka, Redis, Settings, Topics
from orchestrator.stores import keys
from orchestrator.testing.services.kafka import KafkaServer, start_kafka
from orchestrator.testing.services.redis import MARK, RedisServer, start_redis

with deprecations_ignored():
    from aiokafka import AIOKafkaProducer

ROOT = Path(__file__).parent.parent
#: Seconds a phase may take before the run is given up, and between two looks whether it is over.
PATIENCE = 900.0
LOOK_EVERY = 0.005
#: Bytes of one produced batch while a log is loaded.
LOAD_BATCH = 256 * 1024


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of the children it waited for (Redis rewrites its file in one)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Stack:
    """Broker and Redis of one benchmark, used by one workload after the other."""

    kafka: KafkaServer
    redis: RedisServer
    client: Client
    folder: Path
    redis_pid: int

    @property
    def kafka_pid(self) -> int | None:
        """None for a broker that this program did not start as a process."""
        return getattr(self.kafka, "pid", None)


@contextlib.asynccontextmanager
async def stack() -> AsyncIterator[Stack]:
    """Start both; Redis as in production with Kafka: append-only file, synced every second."""
    broker, server = start_kafka(), start_redis()
    client = Client.from_url(server.url)
    try:
        before = str((await client.config_get("appendfsync"))["appendfsync"])
        await client.config_set("appendfsync", "everysec")
        pid = int((await client.info("server"))["process_id"])
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            yield Stack(broker, server, client, Path(folder), pid)
        await client.config_set("appendfsync", before)
    finally:
        await client.aclose()
        server.close()
        broker.stop()


@dataclass
class Site:
    """One workload's own topics on an emptied Redis."""

    stack: Stack
    settings: Settings
    #: partition → offset after the last record written by `publish`.
    ends: dict[int, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def process(self, name: str, *, profile: Path | None = None, clock: int = 0) -> Iterator[subprocess.Popen[bytes]]:
        """A process of `benchmarks.processes`, ended by SIGTERM. Its log lies in the stack's folder.

        `clock` is the time (ms) at which a dispatcher's clock starts.
        """
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "PYTHONHASHSEED": "0",
            "ORCHESTRATOR_KAFKA__BOOTSTRAP": self.settings.kafka.bootstrap,
            "ORCHESTRATOR_KAFKA__GROUP": f"{self.settings.kafka.group}-{name}",
            "ORCHESTRATOR_REDIS__URL": self.settings.redis.url.get_secret_value(),
            "ORCHESTRATOR_SEED": self.settings.seed.get_secret_value(),
            "ORCHESTRATOR_TOPICS__SOURCES": "[]",
            "BENCHMARK_CLOCK": str(clock),
            "BENCHMARK_OUTPUT": str(self.stack.folder / f"{name}.json"),
        }
        for topic in ("events", "dead", "sends", "decisions", "partitions"):
            environment[f"ORCHESTRATOR_TOPICS__{topic.upper()}"] = str(getattr(self.settings.topics, topic))
        if profile is not None:
            environment["BENCHMARK_PROFILE"] = str(profile)
        with (self.stack.folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.processes", name],
                stdout=output,
                stderr=output,
                cwd=self.stack.folder,
                env=environment,
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    async def publish(self, events: Iterable[Event]) -> int:
        """Append events as fast as the broker takes them; how many. They stay in order on their partition."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.settings.kafka.bootstrap, acks="all", max_batch_size=LOAD_BATCH
        )
        await producer.start()
        try:
            loader = _Loader(producer, self.settings.topics.events)
            count = 0
            for event in events:
                await loader.add(*row_of(event))
                count += 1
            await loader.finish()
        finally:
            await producer.stop()
        await self.look_up_ends()
        return count

    async def look_up_ends(self) -> None:
        log = KafkaLog(self.settings.kafka)
        try:
            for partition in range(PARTITIONS):
                self.ends[partition] = await log.end(self.settings.topics.events, partition) + 1
        finally:
            await log.close()

    async def publish_journeys(self, files: dict[str, str]) -> None:
        """The production way: body into the shared store, a control record into every partition."""
        log = KafkaLog(self.settings.kafka)
        try:
            catalogue = Catalogue(self.stack.client, self.settings.seed.get_secret_value().encode())
            await publish_program(self.stack.client, log, catalogue, self.settings.topics.events, files, WallClock())
        finally:
            await log.close()

    async def positions(self) -> dict[int, tuple[int, int]]:
        """partition → offset of the last committed record, clock."""
        pipe = self.stack.client.pipeline(transaction=False)
        for partition in range(PARTITIONS):
            pipe.hmget(keys.meta(partition), "offset", "clock")
        return {
            partition: (int(-1 if offset is None else offset), int(clock or 0))
            for partition, (offset, clock) in enumerate(await pipe.execute())
        }

    async def backlog(self) -> int:
        """Records that `publish` wrote and nobody has committed yet."""
        return sum(max(0, self.ends[at] - offset - 1) for at, (offset, _) in (await self.positions()).items())

    async def until_applied(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the log, as far as `publish` wrote it, is committed."""

        async def applied() -> bool:
            return not await self.backlog()

        await self.until(process, applied, "the log is applied")

    async def until_clock(self, process: subprocess.Popen[bytes], at: int) -> None:
        """Wait until every timer due by `at` has fired and is committed."""

        async def fired() -> bool:
            return all(clock >= at for _, clock in (await self.positions()).values())

        await self.until(process, fired, "all timers have fired")

    async def until_moved(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the first commit from now on."""
        before = await self.positions()

        async def moved() -> bool:
            return await self.positions() != before

        await self.until(process, moved, "the first commit")

    async def until(
        self, process: subprocess.Popen[bytes], condition: Callable[[], Awaitable[bool]], what: str
    ) -> None:
        """Wait for a condition while the process lives. Raises RuntimeError with the logs when it never holds."""
        deadline = time.monotonic() + PATIENCE
        while not await condition():
            why = "the process ended" if process.poll() is not None else ""
            if not why and time.monotonic() > deadline:
                why = f"not within {PATIENCE:.0f} s"
            if why:
                logs = "\n".join(log.read_text()[-4_000:] for log in self.stack.folder.glob("*.log"))
                raise RuntimeError(f"waiting until {what}: {why}\n{logs}")
            await asyncio.sleep(LOOK_EVERY)

    async def counts(self) -> dict[str, int]:
        """The engine's own counters, over all partitions: the ledger of a run."""
        total: dict[str, int] = {}
        for partition in range(PARTITIONS):
            counted: dict[Any, Any] = await self.stack.client.hgetall(keys.count(partition))
            for name, by in counted.items():
                total[name.decode()] = total.get(name.decode(), 0) + int(by)
        return dict(sorted(total.items()))

    async def planned(self) -> int:
        """Outbox rows that wait for a dispatcher."""
        return sum([await self.stack.client.zcard(keys.planned(partition)) for partition in range(PARTITIONS)])


class _Loader:
    """Fills one batch per partition and sends it whole: the client's own per-record futures would be the bottleneck."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._batches = {partition: producer.create_batch() for partition in range(PARTITIONS)}
        self._under_way: dict[int, asyncio.Future[object]] = {}

    async def add(self, partition: int, row: Row) -> None:
        key, value = row
        if self._batches[partition].append(key=key, value=value, timestamp=None) is None:
            await self._send(partition)
            self._batches[partition].append(key=key, value=value, timestamp=None)

    async def finish(self) -> None:
        for partition, batch in self._batches.items():
            if batch.record_count():
                await self._send(partition)
        await asyncio.gather(*self._under_way.values())

    async def _send(self, partition: int) -> None:
        if partition in self._under_way:
            await self._under_way[partition]
        batch = self._batches[partition]
        batch.close()
        self._under_way[partition] = await self._producer.send_batch(batch, self._topic, partition=partition)
        self._batches[partition] = self._producer.create_batch()


async def new_site(stack: Stack) -> Site:
    """Fresh topics, an empty Redis."""
    await stack.client.flushdb()
    if not stack.redis.controllable:
        await stack.client.set(MARK, "1")
    for old in (*stack.folder.glob("*.log"), *stack.folder.glob("*.json")):
        old.unlink()
    name = uuid.uuid4().hex[:8]
    settings = Settings(
        kafka=Kafka(bootstrap=stack.kafka.bootstrap, group=f"benchmark-{name}"),
        redis=Redis(url=stack.redis.url),  # type: ignore[arg-type]
        topics=Topics(
            events=f"events-{name}",
            sources=[],
            dead=f"dead-{name}",
            sends=f"sends-{name}",
            decisions=f"decisions-{name}",
            partitions=PARTITIONS,
        ),
    )
    topics.create(settings)
    return Site(stack, settings)


@dataclass
class Meter:
    """CPU and wall seconds from its making to `read`."""

    pids: dict[str, int]

    def __post_init__(self) -> None:
        self._wall = time.monotonic()
        self._cpu = {name: cpu_seconds(pid) for name, pid in self.pids.items()}

    def read(self) -> dict[str, float]:
        """Seconds: `wall`, and CPU of each process by name."""
        wall = time.monotonic() - self._wall
        return {"wall": wall} | {name: cpu_seconds(pid) - self._cpu[name] for name, pid in self.pids.items()}


def meter(stack: Stack, **processes: subprocess.Popen[bytes]) -> Meter:
    """Measure these processes, Redis, and the broker where it is a process of ours."""
    pids = {name: process.pid for name, process in processes.items()} | {"redis": stack.redis_pid}
    if stack.kafka_pid is not None:
        pids["kafka"] = stack.kafka_pid
    return Meter(pids)
