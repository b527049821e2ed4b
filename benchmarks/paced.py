"""Workload C: an open loop at a steady rate. Every time is taken against the schedule, so a stall counts in full."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import heapq
import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import workload
from benchmarks.stack import LOAD_BATCH, Site, meter
from orchestrator.contracts.records import Event
from orchestrator.engine import decision as decisions
from orchestrator.imports import deprecations_ignored
from orchestrator.partitioning import partition_of

with deprecations_ignored():
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

W2_MS = 10_000
#: Seconds after the last event in which what is under way may end.
TAIL = 2.0
#: Seconds between two looks at the schedule.
STEP = 0.002


class Sends:
    """Follows the decisions topic: first sends (which are answered), and when each decision became visible."""

    def __init__(self) -> None:
        self.first: list[decisions.Decision] = []
        #: Ms from the engine's own now of a decision to its arrival here.
        self.visible: list[tuple[int, int]] = []
        #: (ms at which to publish, reply).
        self.replies: list[tuple[int, int, Event]] = []
        self._numbers = itertools.count()

    async def follow(self, site: Site) -> None:
        consumer = AIOKafkaConsumer(
            site.settings.topics.decisions,
            bootstrap_servers=site.settings.kafka.bootstrap,
            group_id=None,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            async for record in consumer:
                made = decisions.decode(record.value)
                now = workload.now_ms()
                self.visible.append((made.at, now))
                if made.kind == "sent" and made.step == "steps[1]":
                    self.first.append(made)
                    self._answer(made, now)
        finally:
            await consumer.stop()

    def _answer(self, made: decisions.Decision, now: int) -> None:
        number = next(self._numbers)
        if number % 10 < round(10 * workload.REPLY_SHARE):
            at = now + round(1000 * workload.REPLY_AFTER)
            data = {"channel": made.channel, "text": "Thank you", "in_reply_to": made.id}
            reply = Event(id=f"r-{made.id}", type="reply", time=at, customer=made.customer, source="shop", data=data)
            heapq.heappush(self.replies, (at, number, reply))


async def paced(site: Site, customers: int, rate: int, *, seconds: float, warm_up: float) -> dict[str, Any]:
    """Publish `rate` events a second for `seconds`; what happens in the first `warm_up` seconds is not counted."""
    sends = Sends()
    with site.process("worker") as worker:
        await site.until_moved(worker)
        with site.process("watch") as watcher:
            following = asyncio.create_task(sends.follow(site))
            measured = meter(site.stack, worker=worker)
            published, began, late = await _publish(site, sends, customers, rate, seconds)
            used = measured.read()
            await asyncio.sleep(TAIL)
            # A worker that fell behind is waited for: what it left lying counts with its whole delay.
            await site.look_up_ends()
            await site.until_applied(worker)
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            watcher.terminate()
            watcher.wait(30)
    moves = json.loads((site.stack.folder / "watch.json").read_text())
    since = began + round(warm_up * 1000)
    until = began + round(seconds * 1000)
    committed = _latencies(
        [(at, partition, offset) for at, partition, offset in published if at >= since],
        [(ns / 1e6, partition, offset) for ns, partition, offset, _ in moves],
    )
    # A customer's second wait began at the `at` of her first send, so it is due exactly w2 later.
    due = [(made.at + W2_MS, partition_of(made.customer, workload.PARTITIONS)) for made in sends.first]
    due = [(at, partition) for at, partition in due if since <= at < until]
    # The clock of a partition moves in the commit that fires the last timer due by then.
    fired = _latencies(
        [(at, partition, at) for at, partition in due],
        [(ns / 1e6, partition, clock) for ns, partition, _, clock in moves],
    )
    return {
        "rate": rate,
        "customers": customers,
        "events": len(published),
        "sends": len(sends.first),
        "timers_measured": len(due),
        "cpu_share": {name: round(spent / used["wall"], 3) for name, spent in used.items() if name != "wall"},
        # Beyond a few ms this program, not the worker, was what the machine had no time for.
        "publisher_late_ms": _percentiles(late),
        "event_to_committed_ms": _percentiles(committed),
        "timer_due_to_committed_row_ms": _percentiles(fired),
        "event_to_visible_decision_ms": _percentiles([now - at for at, now in sends.visible if since <= at < until]),
    }


async def _publish(
    site: Site, sends: Sends, customers: int, rate: int, seconds: float
) -> tuple[list[tuple[int, int, int]], int, list[int]]:
    """(scheduled ms, partition, offset) of each event, when the loop began (ms), and by how many ms each was late."""
    count = round(rate * seconds)
    chance = np.random.default_rng(11)
    who, kinds = workload.zipf(customers, count, chance), chance.random(count)
    producer = AIOKafkaProducer(bootstrap_servers=site.settings.kafka.bootstrap, acks="all", max_batch_size=LOAD_BATCH)
    await producer.start()
    try:
        began = workload.now_ms() + 200
        sent: list[tuple[list[int], asyncio.Future[Any]]] = []
        late: list[int] = []
        number = 0
        while number < count:
            now = workload.now_ms()
            ready: dict[int, list[tuple[int, workload.Row]]] = {}
            for place in range(number, min(count, (now - began) * rate // 1000)):
                at = began + place * 1000 // rate
                # Replies come from real sends here, so the mix has none of its own: the rest are views and purchases.
                kind = float(kinds[place]) * (workload.VIEWS + workload.PURCHASES)
                partition, row = workload.row_of(workload.one_of_the_mix(f"e{place}", int(who[place]), kind, at))
                ready.setdefault(partition, []).append((at, row))
                number = place + 1
            while sends.replies and sends.replies[0][0] <= now:
                at, _, reply = heapq.heappop(sends.replies)
                partition, row = workload.row_of(reply)
                ready.setdefault(partition, []).append((at, row))
            for partition, rows in ready.items():
                sent.append(([at for at, _ in rows], await _send(producer, site, partition, rows)))
                late += [workload.now_ms() - at for at, _ in rows]
            await asyncio.sleep(STEP)
        published = []
        for times, done in sent:
            written = await done
            published += [(at, written.partition, written.offset + place) for place, at in enumerate(times)]
    finally:
        await producer.stop()
    return published, began, late


async def _send(
    producer: AIOKafkaProducer, site: Site, partition: int, rows: Sequence[tuple[int, workload.Row]]
) -> asyncio.Future[Any]:
    """One batch; its future tells the offset of its first record. A producer's future per event would be too slow."""
    batch = producer.create_batch()
    for _, (key, value) in rows:
        if batch.append(key=key, value=value, timestamp=None) is None:
            raise RuntimeError(f"{len(rows)} events of {STEP} s do not fit one batch: this program is too far behind")
    batch.close()
    written: asyncio.Future[Any] = await producer.send_batch(batch, site.settings.topics.events, partition=partition)
    return written


def _latencies(wanted: Sequence[tuple[int, int, int]], moves: Sequence[tuple[float, int, int]]) -> list[float]:
    """Ms from each (at, partition, mark) to the first move of that partition at or past the mark."""
    times: dict[int, list[float]] = {}
    marks: dict[int, list[int]] = {}
    for at, partition, mark in moves:
        times.setdefault(partition, []).append(at)
        marks.setdefault(partition, []).append(mark)
    found = []
    for began, partition, mark in wanted:
        place = bisect.bisect_left(marks[partition], mark)
        if place == len(times[partition]):
            raise RuntimeError(f"partition {partition} never came to {mark}")
        found.append(times[partition][place] - began)
    return found


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1), "max": round(float(max(values)), 1)}
