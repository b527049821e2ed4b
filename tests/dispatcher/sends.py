"""What the dispatcher's tests share: clock, rows, planning as the commit does it, a journal in memory, a dispatcher."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from orchestrator import settings
from orchestrator.contracts import records
from orchestrator.contracts.messages import OnUnknown, OutboxRow
from orchestrator.errors import DependencyUnreachable
from orchestrator.language.program import MessageTemplate
from orchestrator.runtime.dispatcher import Dispatcher
from orchestrator.runtime.journal import Entry
from orchestrator.runtime.provider_limits import ProviderLimits
from orchestrator.stores import keys
from orchestrator.stores.outbox import Outbox, SendState, encode_row
from orchestrator.testing.recording_channel import RecordingChannel

SEED = "test-seed"
START = 1_700_000_000_000
HOUR = 3_600_000

TEMPLATE = MessageTemplate(
    name="refill",
    version="v1",
    channels={
        "email": {"subject": "Hello {{ customer.name }}", "body": "Time for **{{ product.name }}**."},
        "sms": {"text": "Hello {{ customer.name }}"},
        "push": {"title": "Hello", "body": "Hello {{ customer.name }}"},
    },
)


class Clock:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> int:
        return self.at


class MemoryJournal:
    """Keeps entries; `before` runs at each write (a STOP that comes just then), `broken` makes writes fail."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.broken = False
        self.before: Callable[[Entry], Any] | None = None

    async def write(self, entry: Entry) -> None:
        if self.before is not None:
            await self.before(entry)
        if self.broken:
            raise DependencyUnreachable("no journal")
        self.entries.append(entry)

    async def read(self, partition: int, since: int) -> Sequence[Entry]:
        return [entry for entry in self.entries if entry.partition == partition and entry.at >= since]

    async def close(self) -> None:
        pass

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries]


def row(send_id: str = "s1", **changes: Any) -> OutboxRow:
    on_unknown: OnUnknown = changes.pop("on_unknown", "drop")
    fields: dict[str, Any] = {
        "customer": f"customer-{send_id}",
        "run_id": "r1",
        "journey": "refill",
        "version": "v1",
        "program": "p1",
        "step": "steps[0]",
        "message": "refill",
        "channel": "email",
        "address": f"{send_id}@example.com",
        "purpose": "marketing",
        "facts": {"customer": {"name": "Ada"}, "product": {"name": "soap"}},
        "decided_at": START,
        "not_before": START,
        "not_after": START + 48 * HOUR,
    }
    return OutboxRow(send_id=send_id, on_unknown=on_unknown, **(fields | changes))


async def plan(redis: Redis, *rows: OutboxRow, partition: int = 0) -> None:
    """As the engine's commit does: once, ever, per send id."""
    for one in rows:
        key = keys.send(partition, one.send_id)
        if await redis.hsetnx(key, "status", "planned"):
            await redis.hset(key, mapping={"row": encode_row(one), "decided": one.decided_at})
            await redis.zadd(keys.planned(partition), {one.send_id: one.not_before})


async def told(redis: Redis, partition: int = 0) -> list[records.Event]:
    """The log records that wait in the partition's relay."""
    found = []
    for _, fields in await redis.xrange(keys.relay(partition)):
        for topic, key, value in msgspec.msgpack.decode(fields[b"rows"]):
            event = records.decode(value)
            assert topic == "events"
            assert key == event.customer.encode()
            found.append(event)
    return found


async def state(redis: Redis, send_id: str = "s1", partition: int = 0) -> SendState:
    found = await Outbox(redis).read(partition, send_id)
    assert found is not None
    return found


async def template_of(one: OutboxRow) -> MessageTemplate | None:
    return TEMPLATE if one.message == "refill" else None


def dispatcher(
    redis: Redis,
    *channels: Any,
    clock: Clock | None = None,
    journal: Any = None,
    partitions: int = 1,
    reconcile_after: float = 0.0,
    claim: float = 60.0,
    call_timeout: float = 5.0,
    concurrency: int = 32,
    limits: ProviderLimits | None = None,
    **more: Any,
) -> Dispatcher:
    serving = channels or (RecordingChannel(),)
    return Dispatcher(
        redis,
        partitions=partitions,
        channels={channel.name: channel for channel in serving},
        journal=journal or MemoryJournal(),
        template_of=more.pop("template_of", template_of),
        clock=clock or Clock(),
        seed=SEED,
        settings=settings.Dispatcher(
            concurrency=concurrency, claim=claim, reconcile_after=reconcile_after, rates=more.pop("rates", {})
        ),
        call_timeout=call_timeout,
        limits=limits,
        chance=more.pop("chance", lambda: 0.5),
        **more,
    )


async def until(condition: Callable[[], Any], *, seconds: float = 5.0) -> None:
    """Wait for a condition (plain or async), with a deadline."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.01)
