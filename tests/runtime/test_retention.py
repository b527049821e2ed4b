"""Old records go, young and unread ones stay."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis.asyncio

from orchestrator.runtime.retention import trim_older
from orchestrator.runtime.streams_log import StreamsLog


@pytest.fixture
async def split(redis_client: redis.asyncio.Redis) -> tuple[StreamsLog, int]:
    """A log with ten old records and ten young ones, and the time between them."""
    log = StreamsLog(redis_client, {})
    await log.append("t", 0, [(None, b"old")] * 10)
    between = round(time.time() * 1000) + 1
    async with asyncio.timeout(10):
        while time.time() * 1000 <= between + 1:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await log.append("t", 0, [(None, b"young")] * 10)
    return log, between


async def left(log: StreamsLog, first: int) -> list[int]:
    return [record.offset for record in await log.read("t", 0, first - 1, 100)]


async def test_only_old_records_are_given_up(split: tuple[StreamsLog, int]) -> None:
    log, between = split
    assert await trim_older(log, "t", 0, between, keep_from=20) == 10
    assert await left(log, 10) == list(range(10, 20))
    # Again is harmless, and an earlier bound brings nothing back.
    assert await trim_older(log, "t", 0, between, keep_from=20) == 10
    assert await trim_older(log, "t", 0, 0, keep_from=20) == 10
    await log.close()


async def test_what_nobody_read_stays_however_old(split: tuple[StreamsLog, int]) -> None:
    log, between = split
    assert await trim_older(log, "t", 0, between, keep_from=4) == 4
    assert await left(log, 4) == list(range(4, 20))
    await log.close()


async def test_everything_may_go_and_an_empty_log_is_fine(split: tuple[StreamsLog, int]) -> None:
    log, _ = split
    assert await trim_older(log, "t", 0, round(time.time() * 1000) + 60_000, keep_from=20) == 20
    assert await log.end("t", 0) == 19
    assert await trim_older(log, "empty", 0, 1, keep_from=0) == 0
    await log.close()
