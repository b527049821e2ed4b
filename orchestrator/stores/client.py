"""One way to connect to Redis."""

from __future__ import annotations

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from orchestrator.settings import Redis as RedisSettings


def connect(settings: RedisSettings) -> redis.asyncio.Redis:
    """A client that answers bytes and never retries by itself: whoever calls knows whether a repetition is safe."""
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
        settings.url.get_secret_value(),
        socket_timeout=settings.timeout,
        socket_connect_timeout=settings.timeout,
        retry=Retry(NoBackoff(), 0),
    )
    return client
