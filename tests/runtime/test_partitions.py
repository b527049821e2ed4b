"""A partition's records to Redis: the fence, the boundaries of batches, poison, and Redis away. Real Redis."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.contracts import records
from orchestrator.errors import Fenced, TooManyPoison
from orchestrator.language.journeys import program_body
from orchestrator.ports import LogRecord
from orchestrator.runtime.batch import Destinations
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.partitions import Partitions
from orchestrator.stores import keys
from orchestrator.stores.partition_state import PartitionState
from orchestrator.testing.services.redis import RedisServer

FILES = {
    "_policy.yaml": "channels:\n  email: {cost: 0.001}\n  sms: {cost: 0.05}\ncap: 3 per 1d\n",
    "messages/hello.md": "---\nsubject: Hello\nsms: Hello\n---\nHello.\n",
    "follow_up.yaml": (
        "name: F\nowner: t\nstatus: live\ntrigger: purchase\nreentry: always\n"
        "goal: {event: review, within: 9d}\n"
        "steps:\n  - wait: 2h\n  - send: hello\n  - {wait_for: response, up_to: 1d}\n"
        "  - {send: hello, if: not response}\n"
    ),
}
START = 1_770_000_000_000
HOUR = 3_600_000


def log_of(seed: int, customers: int = 12, length: int = 300) -> list[bytes]:
    """A partition's log: a program, customers, ticks, and the events of a few weeks."""
    chance = random.Random(seed)
    body = program_body(FILES)
    from orchestrator.language.journeys import version_of_body

    made = [records.control("program", version_of_body(body), START)]
    now = START
    for number in range(customers):
        data = {
            "addresses": {"email": f"c{number}@example.com", "phone": "+15005550006"},
            "consents": {"email": {"marketing": True}, "sms": {"marketing": True}},
        }
        made.append(records.Event(id=f"u{number}", type="customer_updated", time=now, customer=f"c{number}", data=data))
    for number in range(length):
        now += chance.randrange(HOUR)
        customer = f"c{chance.randrange(customers)}"
        kind = chance.choice(["purchase", "purchase", "view", "review", "reply", "tick", "tick", "bad"])
        if kind == "tick":
            made.append(records.tick(now))
        elif kind == "bad":
            made.append(None)
        else:
            data: dict[str, Any] = {
                "purchase": {"order_id": f"o{number}", "total": 9.5},
                "reply": {"channel": "sms", "text": "ok"},
            }.get(kind, {})
            made.append(records.Event(id=f"e{number}", type=kind, time=now, customer=customer, data=data))
    made.append(records.tick(now + 90 * 24 * HOUR))
    return [b"{broken" if one is None else records.encode(one) for one in made]


def as_records(values: list[bytes]) -> list[LogRecord]:
    return [LogRecord(offset, value) for offset, value in enumerate(values)]


async def partitions_of(client: redis.asyncio.Redis, **options: Any) -> Partitions:
    catalogue = Catalogue(client, b"seed")
    await catalogue.publish(program_body(FILES))
    return Partitions(PartitionState(client), catalogue, Destinations(), **options)


async def everything(
    client: redis.asyncio.Redis, partition: int
) -> tuple[dict[bytes, bytes], list[bytes], list[Any], set[bytes]]:
    """Documents, decisions and dead letters in order, planned sends, and withdrawals of a partition.

    Withdrawals are what the outbox answered, so they stand beside the decisions, in no order with them.
    """

    documents = {key: await client.get(key) async for key in client.scan_iter(keys.customer(partition, "*"))}
    relayed = []
    for _, fields in await client.xrange(keys.relay(partition)):
        relayed += [value for _, _, value in msgspec.msgpack.decode(fields[b"rows"])]
    planned = await client.zrange(keys.planned(partition), 0, -1, withscores=True)
    withdrawn = {value for value in relayed if b":withdrawn" in value}
    return documents, [value for value in relayed if value not in withdrawn], planned, withdrawn


async def run(
    client: redis.asyncio.Redis, partition: int, log: list[LogRecord], cuts: list[int], **options: Any
) -> Any:
    owner = await partitions_of(client, **options)
    assert await owner.acquire(partition) == 0
    for first, last in zip([0, *cuts], [*cuts, len(log)], strict=True):
        await owner.apply(partition, log[first:last])
    return await everything(client, partition)


@given(
    seed=st.integers(0, 50),
    cuts=st.lists(st.integers(0, 300), max_size=12),
    due=st.integers(1, 5),
    cached=st.sampled_from([0, 3, 100]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_batches_timers_and_caches_never_change_what_is_decided(
    redis_url: str, seed: int, cuts: list[int], due: int, cached: int
) -> None:
    """Wherever batches are cut, however few due customers are loaded at once: the same bytes."""

    async def both() -> None:
        client = redis.asyncio.Redis.from_url(redis_url)
        try:
            await client.flushdb()
            log = as_records(log_of(seed))
            whole = await run(client, 0, log, [])
            cut = await run(
                client, 1, log, sorted(cut for cut in cuts if cut <= len(log)), max_due=due, max_cached=cached
            )
            # Dead letters name their partition.
            in_other = [value.replace(b"events/1/", b"events/0/") for value in cut[1]]
            assert [*whole[0].values()] == [cut[0][key.replace(b"{0}", b"{1}")] for key in whole[0]]
            assert in_other == whole[1]
            assert cut[2] == whole[2]
            assert cut[3] == whole[3]
            assert whole[2]
        finally:
            await client.aclose()

    asyncio.run(both())


async def test_the_position_moves_with_the_state_and_records_are_applied_once(
    redis_client: redis.asyncio.Redis,
) -> None:
    log = as_records(log_of(1))
    owner = await partitions_of(redis_client)
    await owner.acquire(0)
    await owner.apply(0, log[:100])
    again = await partitions_of(redis_client)
    assert await again.acquire(0) == 100
    await again.apply(0, log[50:200])
    assert await again.acquire(0) == 200
    position = again.position(0)
    assert position is not None
    assert position.offset == 199


async def test_a_zombie_cannot_commit(redis_client: redis.asyncio.Redis) -> None:
    """An owner that slept through a rebalance wakes with a full batch: all of it is refused."""
    log = as_records(log_of(2))
    zombie, owner = await partitions_of(redis_client), await partitions_of(redis_client)
    await zombie.acquire(0)
    await zombie.apply(0, log[:50])
    assert await owner.acquire(0) == 50
    before = await everything(redis_client, 0)
    with pytest.raises(Fenced):
        await zombie.apply(0, log[50:100])
    assert await everything(redis_client, 0) == before
    assert zombie.owned() == []
    await owner.apply(0, log[50:])


async def test_a_lost_answer_is_not_repeated_blindly(redis_client: redis.asyncio.Redis) -> None:
    """The commit lands but its answer is lost: the fence says so, and nothing is applied twice."""
    owner = await partitions_of(redis_client)
    await owner.acquire(0)
    log = as_records(log_of(3))
    commit, lost = owner._store._commit, []

    async def losing(**arguments: Any) -> Any:
        answer = await commit(**arguments)
        if not lost:
            lost.append(answer)
            raise redis.exceptions.ConnectionError("the answer was lost")
        return answer

    owner._store._commit = losing
    await owner.apply(0, log)
    assert lost
    alone = await partitions_of(redis_client)
    await alone.acquire(1)
    await alone.apply(1, log)
    assert await redis_client.hget(keys.meta(0), "offset") == await redis_client.hget(keys.meta(1), "offset")
    assert (await everything(redis_client, 0))[2] == (await everything(redis_client, 1))[2]


async def test_redis_killed_and_started_again_loses_nothing(redis_alone: RedisServer) -> None:
    client = redis.asyncio.Redis.from_url(redis_alone.url)
    try:
        owner = await partitions_of(client)
        await owner.acquire(0)
        log = as_records(log_of(4))
        await owner.apply(0, log[:100])
        redis_alone.kill()
        applying = asyncio.create_task(owner.apply(0, log[100:]))
        done, _ = await asyncio.wait({applying}, timeout=0.3)
        assert not done, "the worker must wait, not fail or skip"
        redis_alone.start()
        await asyncio.wait_for(applying, 20)
        survived = await everything(client, 0)
        fresh = await partitions_of(client)
        await fresh.acquire(1)
        await fresh.apply(1, log)
        clean = await everything(client, 1)
        assert survived[2] == clean[2]
        assert len(survived[1]) == len(clean[1])
    finally:
        await client.aclose()


async def test_an_event_the_engine_raises_on_is_parked_and_the_next_is_processed(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    import orchestrator.runtime.batch as batch

    real = batch.step

    def raising(context: Any, customer_id: str, customer: Any, event: Any, clock: int) -> Any:
        if event.id == "e7":
            customer.orders = 999
            raise ZeroDivisionError("a defect")
        return real(context, customer_id, customer, event, clock)

    monkeypatch.setattr(batch, "step", raising)
    owner = await partitions_of(redis_client)
    await owner.acquire(0)
    await owner.apply(
        0,
        [
            LogRecord(
                n,
                records.encode(
                    records.Event(
                        id=f"e{n}", type="purchase", time=START + n, customer="ada", data={"order_id": str(n)}
                    )
                ),
            )
            for n in range(20)
        ],
    )
    from orchestrator.engine.state import decode

    raw = await redis_client.get(keys.customer(0, "ada"))
    assert raw is not None
    assert decode(raw).orders == 19
    dead = [value for value in (await everything(redis_client, 0))[1] if b"ZeroDivisionError" in value]
    assert len(dead) == 1


async def test_nothing_but_bad_records_stops_the_worker(redis_client: redis.asyncio.Redis) -> None:
    owner = await partitions_of(redis_client, max_poison=50, max_batch=20)
    await owner.acquire(0)
    # Ticks between them are no sign of health.
    tick = records.encode(records.tick(START))
    log = [LogRecord(n, tick if n % 3 else b"\xff broken") for n in range(400)]
    with pytest.raises(TooManyPoison, match="in a row"):
        await owner.apply(0, log)


async def test_no_reminder_overtakes_a_purchase_in_the_backlog(redis_client: redis.asyncio.Redis) -> None:
    """The goal's event was published before the wait was over but is read late: ticks, not wall clocks, fire timers."""
    owner = await partitions_of(redis_client)
    await owner.acquire(0)
    log = log_of(5, length=0)[:-1]
    bought = records.Event(id="b", type="purchase", time=START, customer="c1", data={"order_id": "o"})
    log += [records.encode(bought), records.encode(records.tick(START + 1000))]
    await owner.apply(0, as_records(log))
    assert (await redis_client.zrange(keys.timers(0), 0, -1, withscores=True)) == [(b"c1", float(START + 2 * HOUR))]
    # Hours pass; the worker was away. The review lies in the log, before the first tick that reaches the due time.
    review = records.Event(id="r", type="review", time=START + HOUR, customer="c1", data={})
    backlog = [records.encode(review), records.encode(records.tick(START + 5 * HOUR))]
    await owner.apply(0, [LogRecord(len(log) + n, value) for n, value in enumerate(backlog)])
    assert await redis_client.zcard(keys.planned(0)) == 0
    # The same log with the wall clock as the timer (fire first, read later) would have sent it.
    wall = await partitions_of(redis_client)
    await wall.acquire(1)
    await wall.apply(1, as_records([*log, backlog[1]]))
    assert await redis_client.zcard(keys.planned(1)) == 1


@given(seed=st.integers(0, 50), chance=st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_customers_may_be_shuffled_among_each_other(redis_url: str, seed: int, chance: random.Random) -> None:
    """Between two ticks any order that keeps each customer's own gives each customer the same state."""

    async def both() -> None:
        client = redis.asyncio.Redis.from_url(redis_url)
        try:
            await client.flushdb()
            values = [value for value in log_of(seed) if value != b"{broken"]
            first = await run(client, 0, as_records(values), [])
            second = await run(client, 1, as_records(_shuffled(values, chance)), [])
            assert {key: first[0][key] for key in sorted(first[0])} == {
                key.replace(b"{1}", b"{0}"): second[0][key] for key in sorted(second[0])
            }
            assert first[2] == second[2]
        finally:
            await client.aclose()

    asyncio.run(both())


def _shuffled(values: list[bytes], chance: random.Random) -> list[bytes]:
    """The log with customers interleaved anew between its ticks and control records."""
    shuffled: list[bytes] = []
    queues: dict[str, list[bytes]] = {}

    def empty() -> None:
        while queues:
            name = chance.choice(sorted(queues))
            shuffled.append(queues[name].pop(0))
            if not queues[name]:
                del queues[name]

    for value in values:
        customer = records.decode(value).customer
        if customer:
            queues.setdefault(customer, []).append(value)
        else:
            empty()
            shuffled.append(value)
    empty()
    return shuffled
