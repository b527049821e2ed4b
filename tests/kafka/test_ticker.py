"""What a tick promises: everything published before it stands before it, sources included."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import pytest
import redis.asyncio
from kafka_tools import until

from orchestrator.contracts.records import TICK, decode
from orchestrator.errors import DependencyUnreachable
from orchestrator.ports import LogRecord
from orchestrator.runtime.ticker import SAMPLES, Source, Ticker
from orchestrator.settings import Settings, Topics, Worker
from orchestrator.stores import keys

pytestmark = pytest.mark.timeout(60)


class Clock:
    def __init__(self) -> None:
        self.time = 1_000_000

    def now(self) -> int:
        return self.time


class Lists:
    """An EventLog in lists; `away` topics do not answer."""

    def __init__(self, **partitions: int) -> None:
        self.topics = {name: [[] for _ in range(count)] for name, count in partitions.items()}  # type: dict[str, list[list[bytes]]]
        self.away: set[str] = set()

    def _topic(self, name: str) -> list[list[bytes]]:
        if name in self.away:
            raise DependencyUnreachable("away")
        return self.topics[name]

    async def append(self, topic: str, partition: int, values: Sequence[tuple[bytes | None, bytes]]) -> None:
        self._topic(topic)[partition] += [value for _, value in values]

    async def read(self, topic: str, partition: int, after: int, limit: int) -> Sequence[LogRecord]:
        raise NotImplementedError

    async def end(self, topic: str, partition: int) -> int:
        return len(self._topic(topic)[partition]) - 1

    async def partitions(self, topic: str) -> int:
        return len(self._topic(topic))

    async def close(self) -> None:
        pass

    def ticks(self, partition: int = 0) -> list[int]:
        found = [decode(value) for value in self.topics["events"][partition]]
        return [event.time for event in found if event.type == TICK]


@pytest.fixture
def log() -> Lists:
    return Lists(events=3, source=2)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(client: redis.asyncio.Redis, log: Lists, clock: Clock, **worker: float) -> Ticker:
    settings = Settings(topics=Topics(sources=["source"], partitions=3), worker=Worker.model_validate(worker))
    alarms: list[str] = []
    ticker = Ticker(client, log, settings, clock, alarm=lambda source, behind: alarms.append(source))
    ticker.alarms = alarms  # type: ignore[attr-defined]
    return ticker


async def test_every_partition_gets_the_tick(redis_client: redis.asyncio.Redis, log: Lists, clock: Clock) -> None:
    ticker = made(redis_client, log, clock)
    assert await ticker.once() == 1_000_000
    clock.time += 250
    assert await ticker.once() == 1_000_250
    assert [log.ticks(partition) for partition in range(3)] == [[1_000_000, 1_000_250]] * 3


async def test_time_never_goes_back(redis_client: redis.asyncio.Redis, log: Lists, clock: Clock) -> None:
    first = made(redis_client, log, clock)
    await first.once()
    clock.time -= 5_000
    assert await first.once() is None
    await redis_client.delete(keys.lease("ticker"))
    assert await made(redis_client, log, clock).once() is None
    assert log.ticks() == [1_000_000]


async def test_time_waits_for_what_ingest_has_still_to_forward(
    redis_client: redis.asyncio.Redis, log: Lists, clock: Clock
) -> None:
    ticker = made(redis_client, log, clock)
    await ticker.once()
    clock.time += 100  # nothing new until now
    await ticker.once()
    await log.append("source", 1, [(None, b"a")] * 3)
    clock.time += 100
    assert await ticker.once() is None
    await redis_client.hset(keys.ingest("source"), "1", "2")
    clock.time += 100
    assert await ticker.once() is None
    await log.append("source", 1, [(None, b"b")])
    clock.time += 100
    await redis_client.hset(keys.ingest("source"), "1", "3")
    # Up to the last look that saw three records, everything has been forwarded.
    assert await ticker.once() == 1_000_300
    await redis_client.hset(keys.ingest("source"), "1", "4")
    assert await ticker.once() == 1_000_400


async def test_a_ticker_that_begins_with_a_backlog_promises_nothing(
    redis_client: redis.asyncio.Redis, log: Lists, clock: Clock
) -> None:
    await log.append("source", 0, [(None, b"a")])
    ticker = made(redis_client, log, clock)
    assert await ticker.once() is None
    clock.time += 1_000
    assert await ticker.once() is None
    await redis_client.hset(keys.ingest("source"), "0", "1")
    assert await ticker.once() == 1_001_000


async def test_a_stuck_source_is_left_out_with_an_alarm_and_comes_back(
    redis_client: redis.asyncio.Redis, log: Lists, clock: Clock
) -> None:
    ticker = made(redis_client, log, clock, source_stall=0.3)
    await log.append("source", 0, [(None, b"a")])
    assert await ticker.once() is None
    while await ticker.once() is None:
        assert log.ticks() == []
    assert ticker.alarms == ["source/0"]  # type: ignore[attr-defined]
    await redis_client.hset(keys.ingest("source"), "0", "1")
    clock.time += 100
    assert await ticker.once() == 1_000_100
    await log.append("source", 0, [(None, b"b")])
    clock.time += 100
    assert await ticker.once() is None, "the clock waits for it again"


async def test_a_source_that_cannot_be_read_holds_the_clock_like_a_stuck_one(
    redis_client: redis.asyncio.Redis, log: Lists, clock: Clock
) -> None:
    ticker = made(redis_client, log, clock, source_stall=0.3)
    log.away.add("source")
    assert await ticker.once() is None
    while await ticker.once() is None:
        assert log.ticks() == []
    assert ticker.alarms == ["source/0"]  # type: ignore[attr-defined]


async def test_only_one_ticks_and_another_follows(redis_client: redis.asyncio.Redis, log: Lists, clock: Clock) -> None:
    first, second = made(redis_client, log, clock, tick=0.01), made(redis_client, log, clock, tick=0.01)
    stop, last = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(first.run(stop))
    await until(lambda: bool(log.ticks()), 10, "a tick")
    clock.time += 100
    assert await second.once() is None
    following = asyncio.create_task(second.run(last))
    stop.set()
    await running
    clock.time += 100
    await until(lambda: log.ticks()[-1] == clock.time, 10, "the other one's tick")
    last.set()
    await following
    assert log.ticks() == sorted(set(log.ticks()))


async def test_what_is_away_is_waited_for(redis_client: redis.asyncio.Redis, log: Lists, clock: Clock) -> None:
    ticker = made(redis_client, log, clock, tick=0.01)
    log.away.add("events")
    with contextlib.suppress(DependencyUnreachable):
        await ticker.once()
    stop = asyncio.Event()
    running = asyncio.create_task(ticker.run(stop))
    log.away.clear()
    clock.time += 100
    await until(lambda: bool(log.ticks()), 10, "a tick")
    stop.set()
    await running


def test_a_long_backlog_merges_samples_without_promising_more() -> None:
    source = Source()
    for number in range(SAMPLES + 500):
        source.look(now=number, end=number + 1, forwarded=0)
    assert len(source.samples) == SAMPLES
    source.look(now=SAMPLES + 500, end=SAMPLES + 501, forwarded=SAMPLES + 100)
    assert source.settled == SAMPLES - 2
    source.look(now=SAMPLES + 501, end=SAMPLES + 501, forwarded=SAMPLES + 501)
    assert source.settled == SAMPLES + 501
