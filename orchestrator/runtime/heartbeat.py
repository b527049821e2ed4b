"""Each process says every few seconds that it lives: one expiring Redis key per stage and process.

A health check of a container or a unit asks for the key of its own host (`orchestrator health STAGE`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence

import redis.asyncio
from redis.exceptions import RedisError

from orchestrator.ports import Clock
from orchestrator.stores import keys

#: Seconds between beats, and after which a silent process counts as gone.
EVERY = 3.0
GONE_AFTER = 15


def here() -> str:
    """This host, as health checks inside the same container see it."""
    return socket.gethostname()


async def beat(client: redis.asyncio.Redis, stage: str, clock: Clock, stop: asyncio.Event) -> None:
    """Beat until `stop`, then take the key away. A Redis that is away only ages the key."""
    key = keys.heartbeat(stage, here(), os.getpid())
    while not stop.is_set():
        with contextlib.suppress(RedisError):
            await client.set(key, clock.now(), ex=GONE_AFTER)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EVERY)
    with contextlib.suppress(RedisError):
        await client.delete(key)


async def alive(client: redis.asyncio.Redis, stage: str, host: str = "*") -> Sequence[str]:
    """Processes of a stage that beat lately, as `host:pid`."""
    found = [key.decode() async for key in client.scan_iter(keys.heartbeat(stage, host, "*"))]
    return sorted(key.split(f":{stage}:", 1)[1] for key in found)
