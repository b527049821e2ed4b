"""The log of embedded mode: one Redis Stream per partition, with offsets of its own that count from 0.

Stands where Kafka stands in the distributed mode, behind the same interface. It is as durable as its server: on
`LocalRedis` every append is synced to disk before it returns. Needs Redis 6.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError, ResponseError

from orchestrator.errors import DependencyUnreachable, PositionTooOld
from orchestrator.ports import LogRecord
from orchestrator.stores import keys, scripts

#: Bounds of one append script, so that other clients do not wait long behind it.
CHUNK_RECORDS = 1_000
CHUNK_BYTES = 1024 * 1024
#: Offsets given up in one trim command, for the same reason.
CHUNK_TRIM = 10_000
#: Milliseconds a read waits for a first record.
BLOCK_MS = 250
#: Seconds on top of that after which a read that heard nothing gives its connection up.
READ_MARGIN = 5.0

Pair = tuple[bytes | None, bytes]


class StreamsLog:
    """An `EventLog` on Redis Streams.

    `partitions` gives the number of partitions of each topic; a topic that is not in it has `default`. Every method
    raises DependencyUnreachable while Redis is away (an append may have happened then: repeat it, records carry ids)
    and works again when it is back.
    """

    def __init__(self, redis: Redis, partitions: Mapping[str, int], *, default: int = 1) -> None:
        """`redis` answers bytes and stays the caller's to close."""
        self._redis = redis
        self._partitions = dict(partitions)
        self._default = default
        self._append = redis.register_script(scripts.source("log_append"))
        # Reads wait inside Redis, so they get connections of their own: nobody else queues behind them.
        wait = {"socket_timeout": BLOCK_MS / 1000 + READ_MARGIN, "protocol": 2}
        origin = redis.connection_pool
        self._readers = Redis(
            connection_pool=ConnectionPool(
                connection_class=origin.connection_class, **(origin.connection_kwargs | wait)
            )
        )

    async def append(self, topic: str, partition: int, values: Sequence[Pair]) -> None:
        """Append (key, value) pairs in order; returns when Redis has them on disk. Large calls go in several parts."""
        key = self._key(topic, partition)
        for chunk in _chunks(values):
            with _reachable():
                await self._append(keys=[key], args=chunk)

    async def read(self, topic: str, partition: int, after: int, limit: int) -> Sequence[LogRecord]:
        """Up to `limit` records with offset > `after`, waiting up to BLOCK_MS when there are none.

        Raises PositionTooOld when records after `after` were already given up.
        """
        key = self._key(topic, partition)
        with _reachable():
            answer: Any = await self._readers.xread({key: f"{after + 1}-0"}, count=limit, block=BLOCK_MS)
        records = [_record(entry) for entry in answer[0][1]] if answer else []
        if records and records[0].offset != after + 1:
            raise PositionTooOld(
                f"partition {partition} of {topic} starts at offset {records[0].offset}, wanted was {after + 1}",
                fix="restore the missing part of the log, or reset the partition's state",
            )
        return records

    async def end(self, topic: str, partition: int) -> int:
        """The offset of the last record ever appended, -1 when there was none."""
        with _reachable():
            try:
                info: dict[str, Any] = await self._redis.xinfo_stream(self._key(topic, partition))
            except ResponseError as error:
                if "no such key" in str(error):
                    return -1
                raise
        return _offset(info["last-generated-id"])

    async def partitions(self, topic: str) -> int:
        return self._partitions.get(topic, self._default)

    async def trim(self, topic: str, partition: int, before: int) -> None:
        """Give up all records with offset < `before`. Offsets go on where they were."""
        key = self._key(topic, partition)
        with _reachable():
            first: Any = await self._redis.xrange(key, count=1)
            if not first:
                return
            reached = _offset(first[0][0])
            while reached < before:
                reached = min(reached + CHUNK_TRIM, before)
                await self._redis.xtrim(key, minid=f"{reached + 1}-0", approximate=False)

    async def close(self) -> None:
        """Close the readers' connections."""
        await self._readers.aclose()
        await self._readers.connection_pool.disconnect()

    def _key(self, topic: str, partition: int) -> str:
        count = self._partitions.get(topic, self._default)
        if not 0 <= partition < count:
            raise ValueError(f"topic {topic} has partitions 0 to {count - 1}, not {partition}")
        return keys.log(partition, topic)


def _chunks(values: Sequence[Pair]) -> Iterator[list[bytes]]:
    """The script's arguments, cut so that no call grows beyond the bounds."""
    chunk: list[bytes] = []
    size = 0
    for key, value in values:
        if chunk and (len(chunk) >= 2 * CHUNK_RECORDS or size + len(value) > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk += [b"" if key is None else b"=" + key, value]
        size += len(value)
    if chunk:
        yield chunk


def _offset(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0]) - 1


def _record(entry: tuple[bytes, dict[bytes, bytes]]) -> LogRecord:
    entry_id, fields = entry
    return LogRecord(offset=_offset(entry_id), value=fields[b"v"], timestamp=int(fields[b"t"]), key=fields.get(b"k"))


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise DependencyUnreachable(
            f"the log in Redis does not answer: {error}", fix="check that Redis runs"
        ) from error
