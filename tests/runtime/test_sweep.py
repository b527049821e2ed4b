"""A journey on an absence goes live on a partition with customers: the sweep, its cuts, its replay. Real Redis."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.contracts import records
from orchestrator.engine import state
from orchestrator.language.journeys import compile_program, program_body, version_of_body
from orchestrator.ports import LogRecord
from orchestrator.runtime.batch import Destinations
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.partitions import Partitions
from orchestrator.stores import keys
from orchestrator.stores.partition_state import PartitionState
from orchestrator.testing.replay import replay

BEFORE = {
    "_policy.yaml": "channels:\n  email: {cost: 0.001}\n",
    "messages/hello.md": "---\nsubject: Hello\n---\nHello.\n",
    "other.yaml": "name: O\nowner: t\nstatus: live\ntrigger: view\nsteps: [{send: hello}]\n",
}
MISSED = (
    "name: M\nowner: t\nstatus: live\ntrigger: {missing: purchase, for: 60d}\n"
    "start: existing at 24/day\nsteps: [{send: hello}]\n"
)
AFTER = BEFORE | {
    "missed.yaml": MISSED,
    "_stages.yaml": "stages: {dormant: missing purchase for 90d, new: {customer.orders: at least 1}, visitor: else}\n",
}
START, HOUR, DAY = 1_770_000_000_000, 3_600_000, 86_400_000


def log_of(seed: int, customers: int = 40) -> list[LogRecord]:
    """Customers who bought long ago, the new journey, then ticks with events of old and new customers between them."""
    chance = random.Random(seed)
    made = [records.control("program", version_of_body(program_body(BEFORE)), START, partition=0, partitions=2)]
    for number in range(customers):
        name = f"c{chance.randrange(10**6):06}"
        data = {"addresses": {"email": "a@example.com"}, "consents": {"email": {"marketing": True}}}
        made.append(records.Event(id=f"u{number}", type="customer_updated", time=START, customer=name, data=data))
        bought = START + chance.randrange(80) * DAY
        order = {"order_id": f"o{number}", "total": 9.5}
        made.append(records.Event(id=f"o{number}", type="purchase", time=bought, customer=name, data=order))
    now = START + 81 * DAY
    made.append(records.tick(now))
    made.append(records.control("program", version_of_body(program_body(AFTER)), now, partition=0, partitions=2))
    for number in range(120):
        now += chance.randrange(2 * HOUR)
        if chance.random() < 0.6:
            made.append(records.tick(now))
        else:
            name = chance.choice([f"c{chance.randrange(10**6):06}", made[1 + 2 * chance.randrange(customers)].customer])
            made.append(records.Event(id=f"v{number}", type="view", time=now, customer=name, data={"product_id": "p"}))
    made.append(records.tick(now + 30 * DAY))
    return [LogRecord(offset, records.encode(one)) for offset, one in enumerate(made)]


async def applied(client: redis.asyncio.Redis, log: list[LogRecord], cuts: list[int], **options: Any) -> Any:
    await client.flushdb()
    catalogue = Catalogue(client, b"seed")
    for files in (BEFORE, AFTER):
        await catalogue.publish(program_body(files))
    owner = Partitions(PartitionState(client), catalogue, Destinations(), **options)
    await owner.acquire(0)
    for first, last in zip([0, *cuts], [*cuts, len(log)], strict=True):
        await owner.apply(0, log[first:last])
    documents = {
        key.decode().removeprefix(keys.customer(0, "")): await client.get(key)
        async for key in client.scan_iter(keys.customer(0, "*"))
    }
    position = owner.position(0)
    assert position is not None
    return documents, position.control, await client.zrange(keys.customers(0), 0, -1)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sweep", "batch", "partitions"):
        monkeypatch.setattr(f"orchestrator.runtime.{module}.PER_TICK", 3)


@given(seed=st.integers(0, 30), cuts=st.lists(st.integers(1, 200), max_size=10), due=st.sampled_from([3, 4, 7, 2_000]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cuts_and_replay_sweep_alike(small_steps: None, redis_url: str, seed: int, cuts: list[int], due: int) -> None:
    async def compare() -> None:
        client = redis.asyncio.Redis.from_url(redis_url)
        try:
            log = log_of(seed)
            found = await applied(client, log, sorted({cut for cut in cuts if cut < len(log)}), max_due=due)
            programs = {version_of_body(program_body(files)): compile_program(files) for files in (BEFORE, AFTER)}
            replayed = replay(log, programs.__getitem__, b"seed")
            assert found[0] == replayed.documents
            assert found[1] == replayed.position.control
            assert [one.decode() for one in found[2]] == sorted(found[0])
        finally:
            await client.aclose()

    asyncio.run(compare())


async def test_everybody_is_looked_at_and_who_fits_comes_in(
    small_steps: None, redis_client: redis.asyncio.Redis
) -> None:
    log = log_of(3)
    documents, control, _ = await applied(redis_client, log, [])
    assert [(one.name, one.done) for one in control.sweeps] == [("missed", True), ("_stages", True)]
    customers = {name: state.decode(raw) for name, raw in documents.items()}
    assert all(one.stage for one in customers.values())
    taken_in = next(one.place for one in control.sweeps if one.name == "missed")
    assert taken_in > 3
    came_in = sum("missed" in one.ended for one in customers.values())
    assert came_in >= taken_in
