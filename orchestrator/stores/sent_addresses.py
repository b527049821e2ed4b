"""Whose a send is, which address it went to, and what an address was sent last: addresses known by their HMAC only.

Addresses are written by the dispatcher before it calls a provider; read when an answer or an unsubscribe comes back that names only
the one or the other.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from orchestrator.stores import keys
from orchestrator.stores.address import address_hmac

#: Milliseconds an address and its sends find each other: 60 days. The law wants an opt-out to work for 30.
RETENTION = 60 * 86_400_000


class SentAddresses:
    """Ties between sends and addresses, under the installation's `seed`. Raises RedisError when Redis is away."""

    def __init__(self, redis: Redis, seed: str, *, retention: int = RETENTION) -> None:
        self._redis = redis
        self._seed = seed
        self._retention = retention

    async def remember(self, send_id: str, address: Any) -> None:
        """Tie a send to the address it goes to. Call it before the provider is called: an answer may be fast."""
        known = address_hmac(self._seed, address)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(keys.sent_to(send_id), known, px=self._retention)
        pipeline.set(keys.last_send(known), send_id, px=self._retention)
        await pipeline.execute()

    async def address_of(self, send_id: str) -> str | None:
        """The HMAC of the address a send went to; None when it was never sent or is forgotten."""
        return _text(await self._redis.get(keys.sent_to(send_id)))

    async def customer_of(self, send_id: str) -> str | None:
        """The customer of a send, as the engine's commit wrote it; None when it is unknown or forgotten."""
        return _text(await self._redis.get(keys.recipient(send_id)))

    async def last_send(self, address: Any) -> str | None:
        """The send that went to this address last; None when there was none within the retention."""
        return _text(await self._redis.get(keys.last_send(address_hmac(self._seed, address))))


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
