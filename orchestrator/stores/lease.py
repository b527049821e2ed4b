"""A job that only one process may do at a time, held in Redis for a while and taken again before it runs out."""

from __future__ import annotations

import contextlib
import secrets

import redis.asyncio
from redis.exceptions import RedisError

from orchestrator.stores import keys
from orchestrator.stores.scripts import script


class Lease:
    """The right to do the job `name`, for `ms` at a time."""

    def __init__(self, client: redis.asyncio.Redis, name: str, ms: int) -> None:
        self._key = keys.lease(name)
        self._ms = ms
        self._holder = secrets.token_hex(8)
        self._script = script(client, "lease")

    async def held(self) -> bool:
        """Take the lease, or take it again; False while another has it. Raises RedisError when Redis is away."""
        return bool(await self._script(keys=[self._key], args=[self._holder, self._ms]))

    async def give_back(self) -> None:
        """Let others have it at once. Where Redis is away it runs out by itself."""
        with contextlib.suppress(RedisError, OSError):
            await self._script(keys=[self._key], args=[self._holder, 0])
