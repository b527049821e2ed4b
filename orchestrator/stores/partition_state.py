"""A partition's state in Redis: taking it over, loading documents and due customers, and the one atomic commit."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from orchestrator.contracts.messages import OutboxRow
from orchestrator.contracts.moves import Move
from orchestrator.errors import Fenced
from orchestrator.learning.pooled import fields_of
from orchestrator.stores import keys
from orchestrator.stores.scripts import script

#: Keys of one MGET: bounds the time a single command holds Redis.
_LOAD_CHUNK = 1_000
#: A row on its way to a log: topic, key, value.
RelayRow = tuple[str, bytes, bytes]

_pack = msgspec.msgpack.Encoder().encode


def pack_relay(rows: Sequence[RelayRow]) -> bytes:
    """The `rows` field of one relay entry: msgpack [[topic, key, value], …] with raw bytes."""
    return _pack([[topic, key, value] for topic, key, value in rows])


class Sweep(msgspec.Struct, array_like=True):
    """How far the look at all customers for one journey (or `_stages`, `_segments`) has come."""

    name: str
    version: str
    #: The last customer looked at.
    cursor: str = ""
    #: Customers taken in so far.
    place: int = 0
    done: bool = False


class Control(msgspec.Struct, array_like=True):
    """What the log's control records have set, as of the stored offset."""

    #: Content hashes of programs, the one in force last; older ones still have runs.
    programs: list[str] = []
    #: Hash of the snapshot of shared beliefs.
    priors: str = ""
    unhealthy: list[str] = []
    #: Channels without callbacks, and since when (ms).
    stale: dict[str, int] = {}
    #: Journey with a budget → what its messages have cost in this partition.
    spent: dict[str, float] = {}
    sweeps: list[Sweep] = []
    #: Which partition this is, of how many, as the record that brought the program says.
    partition: int = 0
    partitions: int = 1
    #: Moves of runs between versions, in the order in which they were made.
    moves: list[Move] = []


@dataclass(slots=True)
class Position:
    """Where a partition stands: `offset` of the last record applied (-1: none), `clock` the last tick (ms)."""

    epoch: str
    seq: int
    offset: int
    clock: int
    control: Control


@dataclass(slots=True)
class Batch:
    """Everything one commit writes beside the position."""

    documents: dict[str, bytes] = field(default_factory=dict)
    #: customer → ms of her earliest wait; 0 removes the timer.
    timers: dict[str, int] = field(default_factory=dict)
    rows: list[OutboxRow] = field(default_factory=list)
    #: send id → relay rows that say so, written only if the send had not gone.
    withdrawn: dict[str, Sequence[RelayRow]] = field(default_factory=dict)
    relay: list[RelayRow] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    #: What is added to the partition's pooled sums of evidence.
    sums: dict[str, list[int]] = field(default_factory=dict)
    #: Customers of whom the partition heard for the first time.
    newcomers: list[str] = field(default_factory=list)


class PartitionState:
    """All partitions' state in one Redis. The client must not retry by itself: a commit is never repeated blindly."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client
        self._commit = script(client, "commit")

    async def acquire(self, partition: int) -> Position:
        """Move the fence (older owners can no longer commit), then read where the partition stands.

        The epoch counts acquisitions and carries a random part: a Redis that was rolled back would count up to an old
        owner's number again.
        """
        meta = keys.meta(partition)
        epoch = f"{await self._redis.hincrby(meta, 'acquired', 1)}-{secrets.token_hex(6)}"
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(meta, "epoch", epoch)
        pipe.hgetall(meta)
        answers: list[Any] = await pipe.execute()
        stored = answers[1]
        control = stored.get(b"control")
        return Position(
            epoch=epoch,
            seq=int(stored.get(b"seq", 0)),
            offset=int(stored.get(b"offset", -1)),
            clock=int(stored.get(b"clock", 0)),
            control=msgspec.msgpack.decode(control, type=Control) if control else Control(),
        )

    async def control(self, partition: int) -> Control:
        """What the control records have set so far, without taking the partition."""
        stored = await cast("Awaitable[bytes | None]", self._redis.hget(keys.meta(partition), "control"))
        return msgspec.msgpack.decode(stored, type=Control) if stored else Control()

    async def load(self, partition: int, customers: Sequence[str]) -> list[bytes | None]:
        """The stored documents, None for a customer never seen."""
        if not customers:
            return []
        pipe = self._redis.pipeline(transaction=False)
        for first in range(0, len(customers), _LOAD_CHUNK):
            pipe.mget([keys.customer(partition, one) for one in customers[first : first + _LOAD_CHUNK]])
        found: list[bytes | None] = []
        for chunk in await pipe.execute():
            found.extend(chunk)
        return found

    async def due(self, partition: int, until: int, limit: int) -> list[tuple[int, str]]:
        """Up to `limit` (due ms, customer) pairs due by `until`, in that order."""
        found: list[Any] = await self._redis.zrangebyscore(
            keys.timers(partition), "-inf", until, start=0, num=limit, withscores=True, score_cast_func=float
        )
        return [(int(score), member.decode()) for member, score in found]

    async def roll(self, partition: int, after: str, limit: int) -> list[str]:
        """Up to `limit` ids of the partition's customers after `after`, in order."""
        lowest = b"(" + after.encode() if after else b"-"
        found: list[Any] = await self._redis.zrangebylex(keys.customers(partition), lowest, b"+", start=0, num=limit)
        return [member.decode() for member in found]

    async def commit(self, partition: int, position: Position, batch: Batch) -> None:
        """Write the batch and the position's new offset, clock and control atomically; `position.seq` moves on.

        Raises Fenced when the epoch or sequence has moved; nothing was written then. When the answer is lost, the
        fence tells whether the commit landed: it is repeated only if it did not.
        """
        key_list, arguments = _arguments(partition, position, batch)
        try:
            answer = await self._commit(keys=key_list, args=arguments)
        except (RedisConnectionError, RedisTimeoutError):
            if not await self._landed(partition, position):
                raise
            answer = [1]
        if answer[0] != 1:
            raise Fenced(
                f"partition {partition}: epoch {position.epoch} seq {position.seq} is past, "
                f"the fence stands at {answer[1].decode()} / {answer[2].decode()}"
            )
        position.seq += 1

    async def _landed(self, partition: int, position: Position) -> bool:
        found: list[Any] = await self._redis.hmget(keys.meta(partition), "epoch", "seq")
        epoch, seq = found
        return epoch is not None and epoch.decode() == position.epoch and int(seq or 0) == position.seq + 1


def _arguments(partition: int, position: Position, batch: Batch) -> tuple[list[str], list[bytes | str | int]]:
    armed = [(due, customer) for customer, due in batch.timers.items() if due]
    disarmed = [customer for customer, due in batch.timers.items() if not due]
    sums = list(fields_of(batch.sums))
    key_list = [
        keys.meta(partition),
        keys.timers(partition),
        keys.planned(partition),
        keys.relay(partition),
        keys.count(partition),
        keys.sums(partition),
        keys.customers(partition),
        *(keys.customer(partition, customer) for customer in batch.documents),
        *(keys.send(partition, row.send_id) for row in batch.rows),
        *(keys.send(partition, send_id) for send_id in batch.withdrawn),
    ]
    arguments: list[bytes | str | int] = [
        position.epoch,
        position.seq,
        position.offset,
        position.clock,
        _pack(position.control),
        len(batch.documents),
        len(armed),
        len(disarmed),
        len(batch.rows),
        len(batch.withdrawn),
        1 if batch.relay else 0,
        len(batch.counts),
        len(sums),
        keys.FINISHED_SEND_MS,
        len(batch.newcomers),
        *batch.documents.values(),
        *_flat(armed),
        *disarmed,
    ]
    for row in batch.rows:
        arguments += (row.send_id, row.not_before, _pack(row), row.decided_at)
    for send_id, rows in batch.withdrawn.items():
        arguments += (send_id, pack_relay(rows))
    if batch.relay:
        arguments.append(pack_relay(batch.relay))
    for name, by in batch.counts.items():
        arguments += (name, by)
    for name, by in sums:
        arguments += (name, by)
    for customer in batch.newcomers:
        arguments += (0, customer)
    return key_list, arguments


def _flat(pairs: Iterable[tuple[int, str]]) -> list[int | str]:
    return [part for pair in pairs for part in pair]
