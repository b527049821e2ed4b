"""`orchestrator ingest`: what upstream systems write to Kafka source topics comes into the log.

    fetch → normalise each record → append to events (or to the dead letters) → note the position in Redis → and in the
    group

At least once: what was forwarded before a crash is forwarded again, with the same ids, and the workers drop it. An
event without an id gets one from its place: hash(topic, partition, offset). The position in Redis tells the ticker how
far the sources have come; the group's is where a new process begins, together with it, and what lag tools show.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable

import redis.asyncio
from redis.exceptions import RedisError

from orchestrator.contracts.dead_letters import DeadLetter, dead_letter
from orchestrator.contracts.normalise import normalise
from orchestrator.contracts.records import Event
from orchestrator.errors import BadEvent, DependencyUnreachable
from orchestrator.imports import deprecations_ignored
from orchestrator.ports import EventLog, LogRecord
from orchestrator.runtime.clock import WallClock
from orchestrator.runtime.heartbeat import beat
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.kafka_security import client_security
from orchestrator.runtime.publishing import Publisher
from orchestrator.runtime.watchdog import Watchdog, die
from orchestrator.settings import Settings
from orchestrator.stores import keys, scripts
from orchestrator.stores.client import connect

with deprecations_ignored():
    from aiokafka import AIOKafkaConsumer, TopicPartition
    from aiokafka.abc import ConsumerRebalanceListener
    from aiokafka.errors import KafkaError

logger = logging.getLogger(__name__)

#: Records of one partition forwarded at a time.
MAX_RECORDS = 1_000
#: Milliseconds a fetch waits for records.
WAIT_MS = 250
#: Seconds between attempts while Kafka or Redis is away.
RETRY_FIRST, RETRY_LONGEST = 0.1, 2.0
#: Milliseconds after which a source topic that was not there is looked for again.
METADATA_MS = 30_000


def fallback_id(topic: str, partition: int, offset: int) -> str:
    """The id of an event that came without one: the same whenever it is read again."""
    return hashlib.sha256(f"{topic}/{partition}/{offset}".encode()).hexdigest()[:32]


def translate(topic: str, partition: int, records: Iterable[LogRecord]) -> tuple[list[Event], list[DeadLetter]]:
    """Source records → events of the log, and letters for what cannot be read. The log's append time is the receipt."""
    events: list[Event] = []
    letters: list[DeadLetter] = []
    for record in records:
        value = record.value or b""
        name = fallback_id(topic, partition, record.offset)
        try:
            events.append(normalise(value, received=record.timestamp, fallback_id=name))
        except BadEvent as bad:
            origin = f"kafka:{topic}/{partition}/{record.offset}"
            letters.append(dead_letter(value, bad.faults, origin=origin, at=record.timestamp))
    return events, letters


class SourceIngest:
    """One member of the ingest group."""

    def __init__(self, client: redis.asyncio.Redis, log: EventLog, settings: Settings) -> None:
        """`client` and `log` stay the caller's to close."""
        self._client = client
        self._log = log
        self._settings = settings
        self._publisher = Publisher(log, settings.topics)
        self._raise_position = scripts.script(client, "forwarded")
        #: True while something it needs is away.
        self.waiting = False
        self._stop = asyncio.Event()
        #: How often the group has assigned partitions to us.
        self.assignments = 0
        #: Where each source partition of ours stands: its next offset.
        self.positions: dict[TopicPartition, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Forward until `stop`; then leave the group. Kafka and Redis that are away are waited for."""
        self._stop = stop
        consumer = await self._consumer()
        if consumer is None:
            return
        try:
            consumer.subscribe(topics=self._settings.topics.sources, listener=_Assignment(self, consumer))
            while not stop.is_set():
                found = await consumer.getmany(timeout_ms=WAIT_MS, max_records=MAX_RECORDS)
                assignment = self.assignments
                for tp, records in found.items():
                    # What was fetched before a rebalance is left to whoever owns the partition now.
                    if not stop.is_set() and assignment == self.assignments:
                        await self._forward(consumer, tp, records)
        finally:
            await consumer.stop()

    async def begin(self, consumer: AIOKafkaConsumer, assigned: Iterable[TopicPartition]) -> None:
        """Seek to where forwarding stands: the later of the group's position and the one in Redis."""
        self.positions.clear()
        for tp in assigned:
            end = await self._log.end(tp.topic, tp.partition) + 1
            noted = int(await self._client.hget(keys.ingest(tp.topic), str(tp.partition)) or 0)
            committed = await consumer.committed(tp) or 0
            # A position behind the end belongs to a topic of the same name that is no more.
            start = max((position for position in (noted, committed) if position <= end), default=0)
            if start > 0:
                consumer.seek(tp, start)
            else:
                await consumer.seek_to_beginning(tp)
            if noted > end:
                await self._client.hset(keys.ingest(tp.topic), str(tp.partition), str(start))
            self.positions[tp] = start
            consumer.resume(tp)
            logger.info("source %s/%d: begins at %d of %d", tp.topic, tp.partition, start, end)

    async def _forward(self, consumer: AIOKafkaConsumer, tp: TopicPartition, records: list[LogRecord]) -> None:
        """Bring records of one partition into the log, then move the position. Gives up only when told to stop."""
        events, letters = translate(tp.topic, tp.partition, records)
        position = records[-1].offset + 1

        async def bring() -> None:
            await self._publisher.publish(events)
            await self._publisher.bury(letters)
            await self._raise_position(keys=[keys.ingest(tp.topic)], args=[tp.partition, position])

        if not await self.patiently(bring):
            return
        if letters:
            logger.warning("source %s/%d: %d of %d refused", tp.topic, tp.partition, len(letters), len(records))
        self.positions[tp] = position
        with contextlib.suppress(KafkaError):
            # The partition may have moved on: its new owner begins at the position in Redis.
            await consumer.commit({tp: position})

    async def _consumer(self) -> AIOKafkaConsumer | None:
        """A connected consumer; None when `stop` came first."""
        kafka = self._settings.kafka
        consumer: AIOKafkaConsumer | None = None

        async def connect_to_kafka() -> None:
            nonlocal consumer
            consumer = AIOKafkaConsumer(
                bootstrap_servers=kafka.bootstrap.split(","),
                group_id=f"{kafka.group}-ingest",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=round(kafka.session_timeout * 1000),
                heartbeat_interval_ms=round(min(0.5, kafka.session_timeout / 6) * 1000),
                metadata_max_age_ms=METADATA_MS,
                **client_security(kafka),
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise

        return consumer if await self.patiently(connect_to_kafka) else None

    async def patiently(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Repeat `work` until what it needs is there; False when the end of the process came first."""
        pause = RETRY_FIRST
        while True:
            try:
                await work()
                self.waiting = False
                return True
            except (DependencyUnreachable, KafkaError, RedisError, OSError) as problem:
                self.waiting = True
                logger.warning("ingest waits: %s", problem)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            if self._stop.is_set():
                return False
            pause = min(2 * pause, RETRY_LONGEST)


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, ingest: SourceIngest, consumer: AIOKafkaConsumer) -> None:
        self._ingest = ingest
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """What is under way finishes by itself: forwarding twice does no harm."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Nothing is read until each partition stands where it has to."""
        assigned = list(assigned)
        self._ingest.assignments += 1
        self._consumer.pause(*assigned)
        await self._ingest.patiently(lambda: self._ingest.begin(self._consumer, assigned))


async def serve_ingest(settings: Settings, stop: asyncio.Event, *, on_stuck: Callable[[], object] = die) -> None:
    """Run the ingest process until `stop`."""
    client = connect(settings.redis)
    log = KafkaLog(settings.kafka)
    ingest = SourceIngest(client, log, settings)
    watchdog = Watchdog(
        settings.worker.watchdog,
        positions=lambda: ingest.positions,
        ends=lambda late: asyncio.run(_ends(settings, late)),
        excused=lambda: ingest.waiting,
        die=on_stuck,
    )
    done = asyncio.Event()
    heart = asyncio.create_task(beat(client, "ingest", WallClock(), done))
    watchdog.start()
    try:
        await ingest.run(stop)
    finally:
        done.set()
        await asyncio.gather(heart, return_exceptions=True)
        await watchdog.stop()
        await log.close()
        await client.aclose()


async def _ends(settings: Settings, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The offset after the last record of each partition, over a connection of its own."""
    log = KafkaLog(settings.kafka)
    try:
        return {tp: await log.end(tp.topic, tp.partition) + 1 for tp in partitions}
    finally:
        await log.close()
