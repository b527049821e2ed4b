"""The relay moves rows to the log, at least once and in order, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from redis.asyncio import Redis
from sends import dispatcher, plan, row

from orchestrator.contracts import records
from orchestrator.errors import DependencyUnreachable
from orchestrator.partitioning import partition_of
from orchestrator.ports import LogRecord
from orchestrator.runtime.relay import CHUNK, Relay
from orchestrator.stores import keys
from orchestrator.stores.partition_state import pack_relay


class Log:
    def __init__(self) -> None:
        self.got: list[tuple[str, int, bytes | None, bytes]] = []
        self.fail_at = -1

    async def append(self, topic: str, partition: int, values: Sequence[tuple[bytes | None, bytes]]) -> None:
        if self.fail_at == len(self.got):
            self.fail_at = -1
            raise DependencyUnreachable("no broker")
        self.got += [(topic, partition, key, value) for key, value in values]

    async def read(self, topic: str, partition: int, after: int, limit: int) -> Sequence[LogRecord]:
        return ()

    async def end(self, topic: str, partition: int) -> int:
        return -1

    async def partitions(self, topic: str) -> int:
        return 4 if topic == "events" else 2

    async def close(self) -> None:
        pass


async def test_outcomes_reach_the_customers_partition(redis_client: Redis) -> None:
    await plan(redis_client, row("a"), row("b"), partition=3)
    await dispatcher(redis_client, partitions=4).run_once()
    log = Log()
    assert await Relay(redis_client, log).drain(3) == 2
    assert await redis_client.xlen(keys.relay(3)) == 0
    for topic, partition, key, value in log.got:
        event = records.decode(value)
        assert (topic, key) == ("events", event.customer.encode())
        assert partition == partition_of(event.customer, 4)
    assert await Relay(redis_client, log).drain(3) == 0


async def test_order_is_kept_over_many_chunks(redis_client: Redis) -> None:
    total = CHUNK * 2 + 3
    pipeline = redis_client.pipeline(transaction=False)
    for number in range(total):
        rows = [("events", b"ada", b"%d" % number), ("decisions", b"\xff", b"x")]
        pipeline.xadd(keys.relay(0), {"rows": pack_relay(rows)})
    await pipeline.execute()
    log = Log()
    assert await Relay(redis_client, log).drain(0) == 2 * total
    assert [value for topic, _, _, value in log.got if topic == "events"] == [b"%d" % n for n in range(total)]


async def test_what_the_log_did_not_take_is_moved_again(redis_client: Redis) -> None:
    for topic in ("events", "decisions"):
        await redis_client.xadd(keys.relay(0), {"rows": pack_relay([(topic, b"ada", b"1")])})
    log = Log()
    log.fail_at = 1
    relay = Relay(redis_client, log)
    with pytest.raises(DependencyUnreachable):
        await relay.drain(0)
    assert await redis_client.xlen(keys.relay(0)) == 2
    assert await relay.drain(0) == 2
    assert [topic for topic, *_ in log.got] == ["events", "events", "decisions"]
    assert await redis_client.xlen(keys.relay(0)) == 0
