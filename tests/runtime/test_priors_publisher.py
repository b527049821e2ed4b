"""Shared beliefs: every partition keeps its own sums, one publisher merges them, all partitions decide on the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import redis.asyncio

from orchestrator.contracts import records
from orchestrator.engine import decision as decisions
from orchestrator.language.journeys import program_body
from orchestrator.learning.pooled import decode, from_fields, merged
from orchestrator.runtime.batch import Destinations
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.partitions import Partitions
from orchestrator.runtime.priors_publisher import PriorsPublisher
from orchestrator.runtime.streams_log import StreamsLog
from orchestrator.stores import keys
from orchestrator.stores.partition_state import PartitionState

START = 1_770_000_000_000
HOUR = 3_600_000
FILES = {
    "_policy.yaml": "channels:\n  email: {cost: 0.001}\n  sms: {cost: 0.01}\n",
    "messages/hello.md": "---\nsubject: Hello\nsms: Hello\n---\nHello.\n",
    "n.yaml": "name: N\nowner: t\nstatus: live\ntrigger: nudge\nreentry: always\nsteps:\n  - send: hello\n",
}


class Clock:
    """A clock set by hand."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> int:
        return self.at


class Company:
    """Two partitions, their log and their publisher, in one process."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.log = StreamsLog(client, {"events": 2})
        self.catalogue = Catalogue(client, b"seed")
        self.partitions = Partitions(PartitionState(client), self.catalogue, Destinations())
        self.clock = Clock()
        self.number = 0

    async def start(self) -> None:
        digest = await self.catalogue.publish(program_body(FILES))
        for partition in range(2):
            await self.partitions.acquire(partition)
            await self.put(partition, records.control("program", digest, START))

    def publisher(self, **options: Any) -> PriorsPublisher:
        return PriorsPublisher(self.client, self.log, self.catalogue, "events", self.clock, **options)

    async def put(self, partition: int, event: records.Event) -> None:
        await self.log.append("events", partition, [(None, records.encode(event))])

    async def happens(self, partition: int, kind: str, customer: str, **data: Any) -> None:
        self.number += 1
        event = records.Event(id=f"e{self.number}", type=kind, time=self.clock.at, customer=customer, data=data)
        await self.put(partition, event)

    async def work(self) -> None:
        for partition in range(2):
            position = self.partitions.position(partition)
            assert position is not None
            if position.offset < await self.log.end("events", partition):
                found = await self.log.read("events", partition, position.offset, 10_000)
                await self.partitions.apply(partition, found)

    async def decided(self, partition: int) -> list[decisions.Decision]:
        found = []
        for entry in await self.client.xrange(keys.relay(partition)):
            rows = msgspec.msgpack.decode(entry[1][b"rows"])
            found += [decisions.decode(value) for topic, _, value in rows if topic == "decisions"]
        return [one for one in found if one.candidates]

    async def live(self, partition: int, customers: int, first: str) -> None:
        for number in range(customers):
            who = f"{first}{number}"
            addresses = {"email": f"{who}@example.com", "phone": "+15005550006"}
            consents = {"email": {"marketing": True}, "sms": {"marketing": True}}
            await self.happens(partition, "customer_updated", who, addresses=addresses, consents=consents)
            await self.happens(partition, "nudge", who)
        await self.work()
        for one in await self.decided(partition):
            if one.channel == "sms" and one.customer.startswith(first):
                await self.happens(partition, "message_clicked", one.customer, send_id=one.id)
        await self.work()


@pytest.fixture
async def company(redis_client: redis.asyncio.Redis) -> AsyncIterator[Company]:
    made = Company(redis_client)
    await made.start()
    yield made
    await made.log.close()


async def test_all_partitions_decide_on_what_all_have_learned(company: Company) -> None:
    await company.live(0, 30, "a")
    publisher = company.publisher()
    assert await publisher.once() == 1
    await company.work()
    company.clock.at += 2 * HOUR
    await company.live(1, 1, "b")
    (there,) = await company.decided(1)
    assert there.priors == "1"
    shares = {one.channel: one.share for one in there.candidates}
    assert shares["sms"] > 0.9, "a customer of another partition profits"
    sums = merged([from_fields(await company.client.hgetall(keys.sums(n))) for n in range(2)])
    body = (await company.client.hget(keys.PRIORS, "body") or b"").decode()
    snapshot = decode(await company.client.get(keys.body(body)) or b"")
    assert snapshot.number == 1
    assert snapshot.sums != sums, "the sums have moved on"
    assert await company.client.ttl(keys.body(body)) == -1


async def test_without_news_nothing_is_published(company: Company) -> None:
    publisher = company.publisher()
    assert await publisher.once() is None
    await company.live(0, 10, "a")
    assert await publisher.once() == 1
    ends = [await company.log.end("events", n) for n in range(2)]
    assert await publisher.once() is None
    assert [await company.log.end("events", n) for n in range(2)] == ends


async def test_only_the_holder_of_the_lease_publishes(company: Company) -> None:
    await company.live(0, 10, "a")
    first, second = company.publisher(), company.publisher()
    assert await first.once() == 1
    await company.live(0, 10, "b")
    assert await second.once() is None
    assert await first.once() == 2


async def test_the_body_of_an_old_snapshot_goes_when_the_log_has_forgotten_it(company: Company) -> None:
    publisher = company.publisher(keep=1_000)
    await company.live(0, 10, "a")
    await publisher.once()
    old = (await company.client.hget(keys.PRIORS, "body") or b"").decode()
    await company.live(0, 10, "b")
    assert await publisher.once() == 2
    assert 0 < await company.client.ttl(keys.body(old)) <= 1_000


async def test_a_takeover_keeps_the_beliefs_in_force(company: Company) -> None:
    await company.live(0, 20, "a")
    await company.publisher().once()
    await company.work()
    other = Company(company.client)
    for partition in range(2):
        await other.partitions.acquire(partition)
    other.clock.at += HOUR
    other.number = 10_000
    await other.live(1, 1, "c")
    (there,) = await other.decided(1)
    await other.log.close()
    assert there.priors == "1"


async def test_a_round_goes_by_the_clock_it_is_given(company: Company) -> None:
    await company.live(0, 10, "a")
    publisher = company.publisher(every=60.0)
    assert await publisher.when_due() == 1
    await company.live(0, 10, "b")
    company.clock.at += 59_000
    assert await publisher.when_due() is None
    company.clock.at += 1_000
    assert await publisher.when_due() == 2


async def test_a_channel_without_callbacks_is_marked_by_a_control_record(company: Company) -> None:
    for at in (START + 5, START + 9):
        await company.put(0, records.control("health", f"h{at}", at, unhealthy=["sms"], stale=["email"]))
    await company.work()
    position = company.partitions.position(0)
    assert position is not None
    assert position.control.stale == {"email": START + 5}
    assert position.control.unhealthy == ["sms"]
    await company.live(0, 1, "a")
    sums = from_fields(await company.client.hgetall(keys.sums(0)))
    assert not any(any(vector) for vector in sums.values())
