"""Independent checks of a whole installation: the log against the state, the outbox and the providers.

Nothing here asks the system how it fared. Documents are compared with a replay of the topic; orders with a count that
knows nothing of engines; sends with the providers' own ledger.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import redis.asyncio

from orchestrator.engine.state import decode
from orchestrator.language.journeys import program_from_body
from orchestrator.ports import LogRecord
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.worker import destinations
from orchestrator.settings import Settings
from orchestrator.stores import keys
from orchestrator.testing.replay import Replayed, replay


@dataclass
class Findings:
    """What the checks counted, for the test's own assertions."""

    events: int
    sends: Counter[str]
    ledger: int


async def read_partition(log: KafkaLog, topic: str, partition: int) -> list[LogRecord]:
    """Every record of a partition."""
    found: list[LogRecord] = []
    end = await log.end(topic, partition)
    while (found[-1].offset if found else -1) < end:
        found += await log.read(topic, partition, found[-1].offset if found else -1, 10_000)
    return found


async def settled(settings: Settings, client: redis.asyncio.Redis, log: KafkaLog) -> bool:
    """True when every partition is applied to its end, its relay is empty, and no send is on its way."""
    for partition in range(settings.topics.partitions):
        offset = int(await client.hget(keys.meta(partition), "offset") or -1)
        # Ticks go on for ever: near the end is at the end, but for ticks.
        if offset < await log.end(settings.topics.events, partition) - 5:
            return False
        if await client.xlen(keys.relay(partition)):
            return False
        for waiting in (keys.timers, keys.planned, keys.sending):
            if await client.zcard(waiting(partition)):
                return False
    return True


async def check(
    settings: Settings,
    client: redis.asyncio.Redis,
    log: KafkaLog,
    ledger: list[dict[str, Any]],
    published: dict[str, set[str]],
) -> Findings:
    """Every check, over all partitions. `published` is customer → order ids acknowledged by the log."""
    body_of: dict[str, bytes] = {}
    async for key in client.scan_iter(keys.body("*")):
        body_of[key.decode().rsplit(":", 1)[1]] = await client.get(key)
    accepted = Counter(entry["send_id"] for entry in ledger)
    assert all(count == 1 for count in accepted.values()), f"sent twice: {[i for i, n in accepted.items() if n > 1]}"
    statuses: Counter[str] = Counter()
    events = 0
    counted: dict[str, int] = {}
    planned: set[str] = set()
    for partition in range(settings.topics.partitions):
        records = await read_partition(log, settings.topics.events, partition)
        offset = int(await client.hget(keys.meta(partition), "offset"))
        applied = [record for record in records if record.offset <= offset]
        again = replay(
            applied,
            lambda ref: program_from_body(body_of[ref]),
            settings.seed.get_secret_value().encode(),
            topics=destinations(settings.topics),
            partition=partition,
        )
        events += len(applied)
        await _same_documents(client, partition, again)
        await _same_decisions(settings, log, client, partition, again)
        planned |= again.rows.keys()
        for send_id in again.rows:
            status = (await client.hget(keys.send(partition, send_id), "status") or b"lost").decode()
            statuses[status] += 1
            if status == "sent":
                assert accepted[send_id] == 1, f"{send_id} counts as sent, no provider has it"
            elif status != "unknown":
                assert accepted[send_id] == 0, f"{send_id} went out and counts as {status}"
            assert status in ("sent", "unknown", "withdrawn", "failed", "expired", "suppressed", "skipped"), (
                send_id,
                status,
            )
        stored = {key async for key in client.scan_iter(keys.send(partition, "*"))}
        assert len(stored) == len(again.rows), "the outbox has sends that the log does not explain"
        for customer, raw in again.documents.items():
            counted[customer] = decode(raw).orders
    # The second model: a count of distinct order ids, by a program of one line.
    assert counted.keys() >= published.keys()
    for customer, orders in published.items():
        assert counted[customer] == len(orders), (
            f"{customer}: {counted[customer]} orders counted, {len(orders)} published"
        )
    assert not accepted.keys() - planned, "the providers have sends nobody planned"
    return Findings(events, statuses, len(ledger))


async def _same_documents(client: redis.asyncio.Redis, partition: int, again: Replayed) -> None:
    stored = {}
    async for key in client.scan_iter(keys.customer(partition, "*")):
        stored[key.decode().split(":c:", 1)[1]] = await client.get(key)
    assert stored.keys() == again.documents.keys()
    different = [name for name in stored if stored[name] != again.documents[name]]
    assert not different, f"state and replay differ for {different[:5]}"


async def _same_decisions(
    settings: Settings, log: KafkaLog, client: redis.asyncio.Redis, partition: int, again: Replayed
) -> None:
    """Decision records in the topic are those of the replay: none missing, and repeated only as whole records."""
    wanted = {json.loads(decision)["id"] + json.loads(decision)["kind"]: decision for decision in again.decisions}
    relayed = {}
    for record in await read_partition(log, settings.topics.decisions, partition):
        decision = json.loads(record.value)
        relayed[decision["id"] + decision["kind"]] = record.value
    assert relayed.keys() == wanted.keys()
    assert relayed == wanted
