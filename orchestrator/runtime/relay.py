"""The relay: moves what commits and settlements left for the log from Redis to the log, at least once.

Rows carry deterministic ids, so a row that is moved twice (a crash between the log's answer and the trim) counts once.
"""

from __future__ import annotations

from typing import Any

import msgspec
from redis.asyncio import Redis

from orchestrator.partitioning import partition_of
from orchestrator.ports import EventLog
from orchestrator.stores import keys

#: Entries moved at a time.
CHUNK = 500

_unpack = msgspec.msgpack.Decoder(list[tuple[str, bytes, bytes]])


class Relay:
    """Run by a partition's owner, one `drain` at a time for each partition."""

    def __init__(self, redis: Redis, log: EventLog) -> None:
        self._redis = redis
        self._log = log
        self._partitions: dict[str, int] = {}

    async def drain(self, partition: int) -> int:
        """Move all waiting rows of a partition in their order; returns how many.

        Raises DependencyUnreachable or redis.exceptions.RedisError: what was not trimmed is moved by the next call.
        """
        moved = 0
        stream = keys.relay(partition)
        while True:
            entries: Any = await self._redis.xrange(stream, count=CHUNK)
            # topic and partition of the log → its rows, in the order they were written.
            rows: dict[tuple[str, int], list[tuple[bytes | None, bytes]]] = {}
            for _, fields in entries:
                for topic, key, value in _unpack.decode(fields[b"rows"]):
                    rows.setdefault((topic, await self._place(topic, key)), []).append((key, value))
            for (topic, place), values in rows.items():
                await self._log.append(topic, place, values)
                moved += len(values)
            if entries:
                await self._redis.xdel(stream, *(entry_id for entry_id, _ in entries))
            if len(entries) < CHUNK:
                return moved

    async def _place(self, topic: str, key: bytes) -> int:
        if topic not in self._partitions:
            self._partitions[topic] = await self._log.partitions(topic)
        return partition_of(key.decode(errors="replace"), self._partitions[topic])
