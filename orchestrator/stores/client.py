"""One way to connect to Redis."""

from __future__ import annotations

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


def connect(settings: RedisSettings) -> redis.asyncio.Redis:
    """A client that answers bytes and never retries by itself: whoever calls knows whether a repetition is safe."""
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
        settings.url.get_secret_value(),
        socket_timeout=settings.timeout,
        socket_connect_timeout=settings.timeout,
        retry=Retry(NoBackoff(), 0),
    )
    pool = client.connection_pool
    pool.connection_class = _PACKED[pool.connection_class]
    return client
