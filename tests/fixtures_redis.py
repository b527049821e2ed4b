"""A real Redis for every test that asks: started once, empty for each test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
import redis.asyncio

from orchestrator.testing.services import ServiceMissing
from orchestrator.testing.services.redis import MARK, RedisServer, start_redis


def service_missing(why: str) -> None:
    """Skip loudly on a laptop; fail where CI=true, for there a skipped test is a hole nobody sees."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"a service is missing: {why}", pytrace=False)
    pytest.skip(f"SERVICE MISSING: {why}")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The session's server. A test that kills it starts it again before it ends."""
    try:
        server = start_redis()
    except ServiceMissing as error:
        service_missing(str(error))
        raise  # Not reached: both outcomes above raise.
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of an empty database, this test's alone."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushdb()
        if not redis_server.controllable:
            client.set(MARK, "1")
    return redis_server.url


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """An asyncio client of `redis_url` that answers bytes."""
    client = redis.asyncio.Redis.from_url(redis_url)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture
def redis_alone(redis_server: RedisServer, redis_url: str) -> Iterator[RedisServer]:
    """The session's server for tests that kill it; up again for the next test whatever this one does."""
    if not redis_server.controllable:
        pytest.skip("SERVICE MISSING: this test kills Redis, and the server it was given is not ours")
    try:
        yield redis_server
    finally:
        redis_server.start()
