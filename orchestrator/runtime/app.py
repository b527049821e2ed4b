"""The worker's side of Kafka, through Faust. The only file that imports faust.

Faust does what it is good at: group membership, assignment, lifecycle. Three things are ours:

1. Its agent is handed one message per fetched partition batch, not one per record (`BatchConsumer._getmany`), and
   hands it on to the partition's lane (`lanes.py`), which applies one batch after the other.
2. Where to read is what the PartitionOwner says, never what the group has committed (`seek_to_committed`). The group's
   offsets are still committed after each batch, for tools that show lag.
3. An error the lanes cannot handle ends the process (`run_worker` raises it). Faust itself would acknowledge the
   message and go on.

A process that is told to stop lets the commits under way finish, leaves the group, and only then goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

from orchestrator.errors import DependencyUnreachable, PartitionCountChanged
from orchestrator.imports import deprecations_ignored
from orchestrator.ports import LogRecord, PartitionOwner
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.kafka_security import tls_context
from orchestrator.runtime.lanes import Batch, Lanes
from orchestrator.runtime.watchdog import Watchdog, die
from orchestrator.settings import Kafka, Settings

with deprecations_ignored():
    import faust
    from aiokafka import AIOKafkaConsumer, TopicPartition
    from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
    from faust.app.base import BootStrategy
    from faust.transport.drivers import TRANSPORTS
    from faust.transport.drivers import aiokafka as driver
    from faust.types import TP, ConsumerMessage

logger = logging.getLogger(__name__)

SCHEME = "orchestrator-kafka"
#: Seconds the consumer may wait for records; it is woken earlier when a lane has room again.
FETCH_WAIT = 1.0
#: Milliseconds the broker may hold a fetch that finds nothing. Only one fetch is under way per broker, so a partition
#: with a backlog waits that long for one without; Faust's own 1.5 s made it stand still most of the time.
BROKER_HOLDS_FETCH = 25
#: Seconds an orderly end may take before the process goes anyway.
STOP_TIMEOUT = 10.0
#: Seconds between looks for a broker that is not there yet.
BROKER_RETRY = 1.0

Result = TypeVar("Result")


# Three parts of the Kafka client have no public name: they tell the position that belongs to a batch, and let us wait
# for records without taking them. Both libraries are pinned exactly.
def _fetcher(consumer: AIOKafkaConsumer) -> Any:
    return consumer._fetcher  # noqa: SLF001


def _subscriptions(fetcher: Any) -> Any:
    return fetcher._subscriptions  # noqa: SLF001


def _arrival(fetcher: Any) -> asyncio.Future[None]:
    waiter: asyncio.Future[None] = fetcher._create_fetch_waiter()  # noqa: SLF001
    return waiter


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread of the Kafka client: it fetches and heartbeats while the main loop applies."""

    #: Resolved when records arrive; cancelled to look again at once.
    _waiter: asyncio.Future[None] | None = None
    _woken = False

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for this; the client reads it when it starts.
        consumer._fetch_max_wait_ms = BROKER_HOLDS_FETCH  # noqa: SLF001
        return consumer

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run `work` in this thread, from the main loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))

    def wake(self) -> None:
        """End the wait of `fetch`, or the next one. From any thread."""
        if not self.thread_loop.is_closed():
            self.thread_loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.cancel()

    async def fetch(self, partitions: Iterable[TP], limit: int) -> dict[TP, Batch | OffsetOutOfRangeError]:
        """Up to `limit` records of each partition; waits when there are none."""
        fetcher = _fetcher(self._ensure_consumer())
        # The context tells the client that somebody reads, so it does not give the partitions up.
        with _subscriptions(fetcher).fetch_context():
            found = await self._take(partitions, limit)
            if not found and not self._woken:
                self._waiter = _arrival(fetcher)
                await asyncio.wait({self._waiter}, timeout=FETCH_WAIT)
                if not self._waiter.cancelled() and self._waiter.done():
                    self._waiter.result()  # raises when the broker refuses us
                self._waiter.cancel()
                self._waiter = None
                found = await self._take(partitions, limit)
            self._woken = False
            return found

    async def _take(self, partitions: Iterable[TP], limit: int) -> dict[TP, Batch | OffsetOutOfRangeError]:
        """What was fetched already, each partition in its turn."""
        consumer = self._ensure_consumer()
        subscriptions = _subscriptions(_fetcher(consumer))
        found: dict[TP, Batch | OffsetOutOfRangeError] = {}
        for tp in partitions:
            # Nothing below waits, so the position belongs to the records that are taken with it.
            if subscriptions.reassignment_in_progress or not subscriptions.is_assigned(tp):
                continue
            state = subscriptions.subscription.assignment.state_value(tp)
            start = state.position if state.has_valid_position else -1
            try:
                taken = await consumer.getmany(TopicPartition(*tp), timeout_ms=0, max_records=limit)
            except NoOffsetForPartitionError:
                continue  # the group has no offset and needs none: the lane seeks
            except OffsetOutOfRangeError as problem:
                found[tp] = problem
                continue
            # aiokafka's records have the attributes of a LogRecord; making new ones would cost more than reading.
            records = cast("list[LogRecord]", taken.get(tp, []))
            if records or (state.has_valid_position and state.position > start >= 0):
                found[tp] = Batch(tp.partition, start, state.position, records)
        return found

    async def seek_to(self, tp: TP, offset: int) -> bool:
        try:
            self._ensure_consumer().seek(tp, offset)
        except IllegalStateError:
            return False
        return True

    async def bounds(self, tp: TP) -> tuple[int, int]:
        consumer = self._ensure_consumer()
        try:
            first = await consumer.beginning_offsets([tp])
            end = await consumer.end_offsets([tp])
        except KafkaError as problem:
            raise DependencyUnreachable(f"Kafka does not tell the bounds of {tp.topic}/{tp.partition}") from problem
        return first[tp], end[tp]


class LanesLog:
    """What the lanes see of the consumer: one topic, partitions by number, from the main loop."""

    def __init__(self, thread: ConsumerThread, topic: str) -> None:
        self._thread = thread
        self._topic = topic

    async def bounds(self, partition: int) -> tuple[int, int]:
        return await self._thread.run(self._thread.bounds(TP(self._topic, partition)))

    async def seek(self, partition: int, offset: int) -> bool:
        return await self._thread.run(self._thread.seek_to(TP(self._topic, partition), offset))

    def wake(self) -> None:
        self._thread.wake()


class _NoReadOffsets(dict[TP, "int | None"]):
    """Faust's own account of what it has read, switched off: it would drop what is read again after a seek."""

    def __getitem__(self, tp: TP) -> None:
        return None


class BatchConsumer(driver.Consumer):
    """One message per partition batch."""

    app: WorkerApp
    _thread: ConsumerThread

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._read_offset = _NoReadOffsets()
        #: The partitions the group gives us, as told to the main loop.
        self._ours: set[TP] = set()
        self.app.lanes.log = LanesLog(self._thread, self.app.events)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Batch]]:  # noqa: ASYNC109 - Faust's signature
        lanes = self.app.lanes
        hungry = [tp for tp in active_partitions or () if lanes.hungry(tp.partition)]
        batches = {}
        for tp, found in (await self._thread.run(self._thread.fetch(hungry, self.app.max_batch))).items():
            if isinstance(found, Batch):
                lanes.sent(tp.partition)
                batches[tp] = [found]
            else:
                lanes.out_of_range(tp.partition)
        return batches

    def _to_message(self, tp: TP, record: Batch) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.end - 1,
            record.records[-1].timestamp / 1000 if record.records else 0.0,
            0,
            None,
            None,
            cast(Any, record),
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Each lane seeks to the offset its owner's state stands at."""
        await self.app.lanes.open(tp.partition for tp in self._ours)
        return {}

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._ours = set(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self._ours -= revoked
        await self.app.lanes.close(tp.partition for tp in revoked)
        await super().on_partitions_revoked(revoked)

    def _new_offset(self, tp: TP) -> int | None:
        """What to commit for the lag tools: a partition's batches are applied in order, so the newest says all."""
        applied = self._acked[tp]
        if not applied:
            return None
        newest = max(applied)
        applied.clear()
        self._acked_index[tp].clear()
        return newest + 1

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Our watchdog does this."""


class Transport(driver.Transport):
    """The transport of `orchestrator-kafka://` brokers."""

    Consumer = BatchConsumer


TRANSPORTS.aliases[SCHEME] = f"{__name__}:{Transport.__name__}"


class WorkerApp(faust.App):
    """A Faust app that reads the events topic and nothing else: no web server, no tables, no topics of its own."""

    class BootStrategy(BootStrategy):
        enable_web = False

    def __init__(self, settings: Settings, lanes: Lanes) -> None:
        kafka = settings.kafka
        self.lanes = lanes
        self.events = settings.topics.events
        self.max_batch = settings.worker.max_batch
        super().__init__(
            kafka.group,
            broker=[f"{SCHEME}://{address.strip()}" for address in kafka.bootstrap.split(",")],
            broker_credentials=_credentials(kafka),
            broker_session_timeout=kafka.session_timeout,
            # A member hears of a rebalance with its next heartbeat, so this is part of every handover.
            broker_heartbeat_interval=min(0.5, kafka.session_timeout / 6),
            broker_request_timeout=max(30.0, kafka.session_timeout),
            broker_rebalance_timeout=max(30.0, kafka.session_timeout),
            consumer_auto_offset_reset="none",
            stream_wait_empty=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            autodiscover=False,
            store="memory://",
            # Without standbys the Kafka client assigns round robin: every member gets its share. Faust's own assignor
            # fills members up one by one: of three members with four partitions, it leaves the last without any.
            table_standby_replicas=0,
        )
        topic = self.topic(self.events, key_serializer="raw", value_serializer="raw")
        self.agent(topic, name="events")(self._feed)

    async def on_first_start(self) -> None:
        """Faust would create folders for its tables here; there are none."""

    async def _feed(self, stream: faust.StreamT[Any]) -> None:
        """The agent: each batch goes to its partition's lane, which acknowledges it when it is committed."""
        try:
            async for event in cast(faust.Stream[Any], stream).noack().events():
                await self.lanes.offer(event.value, partial(stream.ack, event))
        except Exception as problem:
            self.lanes.fail(problem)
            raise


def _credentials(kafka: Kafka) -> Any:
    if kafka.security == "PLAINTEXT":
        return None
    context = tls_context(kafka)
    if kafka.security == "SSL":
        return faust.SSLCredentials(context=context)
    credentials = faust.SASLCredentials(
        username=kafka.username,
        password=kafka.password.get_secret_value(),
        mechanism=kafka.sasl_mechanism,
        ssl_context=context,
    )
    return credentials


async def run_worker(
    settings: Settings,
    owner: PartitionOwner,
    stop: asyncio.Event,
    *,
    excused: Callable[[], bool] = lambda: False,
    commits: Callable[[int], int] = lambda partition: 0,
    on_stuck: Callable[[], object] = die,
) -> None:
    """Read the events topic as a member of the group, until `stop` is set.

    Each partition the group gives us is acquired, applied batch by batch, and released. Waits for a broker that is not
    up yet. `excused` tells the watchdog that the owner waits for something it knows to be away (Redis); `commits`
    counts a partition's commits, which are progress even where one record takes long.

    Raises what `apply` or `acquire` raised beyond Fenced and DependencyUnreachable, and PartitionCountChanged when the
    topic has another number of partitions than the settings say. The caller ends the process: the state is safe,
    because position and state moved together.
    """
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(problem: BaseException) -> None:
        if not failure.done():
            failure.set_exception(problem)

    if not await _wait_for_topic(settings, stop):
        return
    lanes = Lanes(owner, fail=fail, session_timeout=settings.kafka.session_timeout)
    app = WorkerApp(settings, lanes)
    watchdog = Watchdog(
        settings.worker.watchdog,
        positions=lambda: lanes.positions,
        ends=lambda partitions: asyncio.run(_ends(settings, partitions)),
        excused=excused,
        commits=commits,
        die=on_stuck,
    )
    watchdog.start()
    starting = asyncio.create_task(app.start())
    asked = asyncio.create_task(stop.wait())
    crashed = asyncio.create_task(app.wait_until_stopped())
    waiting: set[asyncio.Future[Any]] = {starting, asked, crashed, failure}
    try:
        while not any(end.done() for end in (asked, crashed, failure)):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if starting in done:
                starting.result()
    finally:
        asked.cancel()
        crashed.cancel()
        await lanes.close_all()
        try:
            await asyncio.wait_for(app.stop(), STOP_TIMEOUT)
        except TimeoutError:
            logger.warning("Faust did not stop within %.0f s; going without it", STOP_TIMEOUT)
        starting.cancel()
        await watchdog.stop()
    if failure.done():
        failure.result()
    failure.cancel()
    if app.crash_reason is not None:
        raise app.crash_reason


async def _wait_for_topic(settings: Settings, stop: asyncio.Event) -> bool:
    """True when the events topic is there; False when `stop` came first. Raises PartitionCountChanged."""
    log = KafkaLog(settings.kafka)
    topic, expected = settings.topics.events, settings.topics.partitions
    try:
        while not stop.is_set():
            try:
                found = await log.partitions(topic)
            except DependencyUnreachable as problem:
                logger.warning("waiting for Kafka: %s", problem)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), BROKER_RETRY)
                continue
            if found != expected:
                raise PartitionCountChanged(
                    f"topic {topic} has {found} partitions, the settings say {expected}",
                    fix="set topics.partitions to the number the state was written with",
                )
            return True
        return False
    finally:
        await log.close()


async def _ends(settings: Settings, partitions: Iterable[int]) -> dict[int, int]:
    """The offset after the last record of each partition, over a connection of its own."""
    log = KafkaLog(settings.kafka)
    try:
        return {partition: await log.end(settings.topics.events, partition) + 1 for partition in partitions}
    finally:
        await log.close()
