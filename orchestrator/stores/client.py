"""One way to connect to Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.typing import EncodableT

from orchestrator.settings import Redis as RedisSettings

_serializer = HiredisRespSerializer()


class _PackedInC:
    """Packs commands with hiredis, as the blocking client does. The asyncio client's own loop over the arguments took
    more of a large commit than Redis did."""

    def pack_command(self, *args: EncodableT) -> list[bytes]:
        packed: list[bytes] = _serializer.pack(*args)  # type: ignore[arg-type]
        return packed


class _Tcp(_PackedInC, Connection):
    """redis://"""


class _Tls(_PackedInC, SSLConnection):
    """rediss://"""


class _Unix(_PackedInC, UnixDomainSocketConnection):
    """unix://"""


_PACKED = {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _Unix}


def connect(settings: RedisSettings, on_connect: Callable[[Any], Awaitable[None]] | None = None) -> redis.asyncio.Redis:
    """A client that answers bytes and never retries by itself: whoever calls knows whether a repetition is safe.

    `on_connect` runs on every new connection before its first command, in place of the client's own greeting.
    """
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
        settings.url.get_secret_value(),
        socket_timeout=settings.timeout,
        socket_connect_timeout=settings.timeout,
        retry=Retry(NoBackoff(), 0),
        redis_connect_func=on_connect,
    )
    pool = client.connection_pool
    pool.connection_class = _PACKED[pool.connection_class]
    return client
