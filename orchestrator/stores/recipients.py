"""How feedback finds its way home: which customer and address a send went to, what was last sent to an address."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from orchestrator.stores import keys
from orchestrator.stores.address import address_hmac

#: How long feedback is matched, in ms: 60 days, as long as a finished send is remembered.
KEPT = 60 * 86_400_000


class Recipients:
    """Written by the dispatcher before a provider sees a send, read by the gateway when a callback or a reply comes."""

    def __init__(self, redis: Redis, seed: str, *, kept: int = KEPT) -> None:
        self._redis = redis
        self._seed = seed
        self._kept = kept

    async def remember(self, send_id: str, customer: str, address: Any) -> None:
        """Note customer and address of a send that is about to go out."""
        known = address_hmac(self._seed, address)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(keys.recipient(send_id), customer, px=self._kept)
        pipeline.set(keys.sent_to(send_id), known, px=self._kept)
        pipeline.set(keys.last_send(known), send_id, px=self._kept)
        await pipeline.execute()

    async def customer_of(self, send_id: str) -> str:
        """The customer of a send; empty when unknown or forgotten."""
        return _text(await self._redis.get(keys.recipient(send_id)))

    async def address_of(self, send_id: str) -> str:
        """The HMAC of the address a send went to, so that an unsubscribe can close it; empty when unknown."""
        return _text(await self._redis.get(keys.sent_to(send_id)))

    async def last_send_to(self, address: Any) -> str:
        """The send_id last sent to an address; empty when none is remembered."""
        return _text(await self._redis.get(keys.last_send(address_hmac(self._seed, address))))


def _text(value: Any) -> str:
    return "" if value is None else value.decode() if isinstance(value, bytes) else str(value)
