"""Throughput, latency and memory of the worker on real Kafka and Redis: `python -m benchmarks.worker`.

    A  catch-up: a preloaded log of N first views and Zipf events, on many cold and on a thousand hot customers
    B  storm: N customers with one due time, counted to the committed outbox row; sends by a dispatcher apart
    C  paced: an open loop at a steady rate; event → committed, timer due → committed outbox row

and, in the same run, a plain Faust agent that does A's work one message at a time. Prints one JSON object; progress
goes to stderr. CPU seconds come from /proc, so this runs on Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import workload
from benchmarks.paced import paced
from benchmarks.stack import Site, Stack, meter, new_site, stack
from orchestrator.contracts import records
from orchestrator.engine import state
from orchestrator.partitioning import partition_of
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.stores import keys

HOUR_MS = 3_600_000
#: What a run at scale 1 is made of.
CUSTOMERS, EVENTS = 200_000, 2_000_000
HOT_CUSTOMERS, HOT_EVENTS = 1_000, 500_000
BASELINE_EVENTS = 20_000
RATES, PACED_SECONDS = "1000,5000", 45.0
#: Customers whose documents are weighed.
WEIGHED = 5_000
SENDING_SECONDS = 15.0


@dataclass(frozen=True)
class Size:
    """How large a run is; waits and rates never change."""

    scale: float = 1.0
    profile: Path | None = None

    def of(self, full: int) -> int:
        return max(100, round(full * self.scale))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def known_customers(
    site: Site, customers: int, files: dict[str, str], at: int, before: Sequence[Any] = ()
) -> None:
    """Journeys in force, every customer with addresses and consents (and `before` applied): none of it is measured."""
    await site.publish_journeys(files)
    await site.publish(workload.arrivals(customers, at))
    await site.publish(before)
    with site.process("worker") as process:
        await site.until_applied(process)


def rates(count: int, used: dict[str, float], names: Sequence[str] = ("worker", "redis", "kafka")) -> dict[str, Any]:
    """Per wall second, and per CPU second of the worker alone, with Redis, and with Redis and the broker."""
    # The clock of /proc ticks a hundred times a second; a run shorter than that says nothing but divides by something.
    cpu = {name: max(used[name], 0.01) for name in names if name in used}
    found: dict[str, Any] = {
        "count": count,
        "wall_s": round(used["wall"], 2),
        "cpu_s": {name: round(seconds, 2) for name, seconds in cpu.items()},
        "per_s": round(count / used["wall"]),
        "per_core_s": round(count / cpu[names[0]]),
        "per_core_s_with_redis": round(count / (cpu[names[0]] + cpu["redis"])),
    }
    if "kafka" in cpu:
        found["per_core_s_with_redis_and_broker"] = round(count / sum(cpu.values()))
    return found


async def catch_up(
    stack: Stack, size: Size, customers: int, events: int, *, name: str, weigh: bool = False
) -> dict[str, Any]:
    """Workload A by the worker, or by the baseline."""
    site = await new_site(stack)
    at = workload.now_ms()
    await known_customers(site, customers, workload.journey_files("1h", "2d"), at)
    await site.publish(workload.first_views(customers, at + 1))
    await site.publish(workload.mixed(customers, events, at + 2))
    before = await site.counts()
    with site.process(name, profile=size.profile if name == "worker" else None) as process:
        await site.until_moved(process)
        measured, left = meter(stack, **{name: process}), await site.backlog()
        await site.until_applied(process)
        found = rates(left, measured.read(), (name, "redis", "kafka"))
    found["customers"] = customers
    found["ledger"] = {key: by - before.get(key, 0) for key, by in (await site.counts()).items()}
    found["transitions"] = sum(
        by for key, by in found["ledger"].items() if key.startswith(("entered:", "sent:", "ended:"))
    )
    if weigh:
        found["bytes"] = await weights(stack, customers)
    return found


async def weights(stack: Stack, customers: int) -> dict[str, Any]:
    """Bytes of a customer in Redis: document, key and timer, without and with a run under way."""
    groups: dict[str, list[tuple[int, int, int]]] = {"idle": [], "in_flight": []}
    step = max(1, customers // WEIGHED)
    for number in range(0, customers, step):
        who = workload.customer(number)
        key = keys.customer(partition_of(who, workload.PARTITIONS), who)
        raw: Any = await stack.client.get(key)
        if raw is None:
            continue
        document = state.decode(raw)
        kept = await stack.client.memory_usage(key)
        document.seen = b""
        group = "in_flight" if document.runs else "idle"
        groups[group].append((len(raw), len(state.encode(document)), int(kept or 0)))
    timers = members = 0
    for partition in range(workload.PARTITIONS):
        timers += int(await stack.client.memory_usage(keys.timers(partition), samples=0) or 0)
        members += await stack.client.zcard(keys.timers(partition))
    found: dict[str, Any] = {"timer": round(timers / members) if members else 0}
    for group, sizes in groups.items():
        if sizes:
            document_bytes, without_ring, in_redis = (statistics.fmean(column) for column in zip(*sizes, strict=True))
            overhead = in_redis - document_bytes
            found[group] = {
                "customers_weighed": len(sizes),
                "document": round(document_bytes),
                "redis_overhead": round(overhead),
                "in_redis": round(in_redis),
                "in_redis_without_duplicate_ids": round(without_ring + overhead),
            }
    return found


async def storm(stack: Stack, size: Size, customers: int) -> dict[str, Any]:
    """Workload B: every customer's first wait ends with one tick."""
    site = await new_site(stack)
    at = workload.now_ms() + HOUR_MS
    await known_customers(
        site, customers, workload.journey_files("1h", "2d"), at, list(workload.first_views(customers, at))
    )
    due = at + HOUR_MS
    with site.process("worker", profile=size.profile) as process:
        await site.until_moved(process)
        measured = meter(stack, worker=process)
        await tick(site, due)
        await site.until_clock(process, due)
        found = rates(customers, measured.read())
        rows = await site.planned()
        found["outbox_rows"] = rows
        found["held_back_by_the_holdout"] = customers - rows
        sends = await sending(site, process, due)
    return {"timers": found, "sends": sends}


async def tick(site: Site, at: int) -> None:
    log = KafkaLog(site.settings.kafka)
    try:
        record = records.encode(records.tick(at))
        for partition in range(workload.PARTITIONS):
            await log.append(site.settings.topics.events, partition, [(None, record)])
    finally:
        await log.close()


async def sending(site: Site, worker: subprocess.Popen[bytes], due: int) -> dict[str, Any]:
    """The dispatcher on the storm's rows, for a fixed time; the worker takes in what it reports."""
    rows = await site.planned()

    async def started() -> bool:
        return await site.planned() < rows

    with site.process("dispatcher", clock=due) as process:
        await site.until(process, started, "the first send is claimed")
        measured, before = meter(site.stack, dispatcher=process, worker=worker), await site.planned()
        end = time.monotonic() + SENDING_SECONDS

        async def over() -> bool:
            return time.monotonic() > end or not await site.planned()

        await site.until(process, over, "the rows are sent")
        used = measured.read()
        sent = before - await site.planned()
    return rates(sent, used, ("dispatcher", "redis", "kafka", "worker"))


def machine() -> dict[str, Any]:
    """What it ran on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {"cpu": model, "cores": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}


async def run(only: set[str], size: Size, rates_of_c: Sequence[int], seconds: float) -> dict[str, Any]:
    """The chosen workloads, one after the other on one broker and one Redis."""
    found: dict[str, Any] = {"machine": machine(), "scale": size.scale}
    async with stack() as parts:
        server = await parts.client.info("server")
        found["redis"] = f"{server['redis_version']}, unix socket, AOF everysec"
        if "A" in only:
            hot, few = size.of(HOT_CUSTOMERS), size.of(BASELINE_EVENTS)
            say(f"baseline: {few} events of {hot} customers, one message at a time")
            baseline = await catch_up(parts, size, hot, few, name="per_message")
            say("worker: the same events")
            same = await catch_up(parts, size, hot, few, name="worker")
            if same["ledger"] != baseline["ledger"]:
                raise RuntimeError(f"worker and baseline disagree: {same['ledger']} and {baseline['ledger']}")
            found["baseline_hot"] = baseline
            say(f"A: {size.of(HOT_EVENTS)} events of {hot} hot customers")
            found["A_hot"] = hot_run = await catch_up(parts, size, hot, size.of(HOT_EVENTS), name="worker")
            found["ratio_to_baseline"] = {
                name: round(hot_run[name] / baseline[name], 1) for name in ("per_s", "per_core_s") if baseline[name]
            }
            say(f"A: {size.of(EVENTS)} events of {size.of(CUSTOMERS)} customers")
            found["A_cold"] = await catch_up(
                parts, size, size.of(CUSTOMERS), size.of(EVENTS), name="worker", weigh=True
            )
        if "B" in only:
            say(f"B: {size.of(CUSTOMERS)} timers at once")
            found["B"] = await storm(parts, size, size.of(CUSTOMERS))
        if "C" in only:
            found["C"] = []
            for rate in rates_of_c:
                say(f"C: {rate} events a second")
                site = await new_site(parts)
                customers = size.of(CUSTOMERS)
                await known_customers(site, customers, workload.journey_files("5s", "10s"), workload.now_ms())
                found["C"].append(await paced(site, customers, rate, seconds=seconds, warm_up=seconds / 3))
                say(json.dumps(found["C"][-1]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="A,B,C", help="workloads to run, such as A or A,C")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1 for a tenth of customers and events")
    parser.add_argument("--profile", type=Path, help="write a cProfile of the last worker there (slows it down)")
    parser.add_argument("--rates", default=RATES, help="events a second of C, one run each")
    parser.add_argument(
        "--seconds", type=float, default=PACED_SECONDS, help="length of each C; the first third is dropped"
    )
    chosen = parser.parse_args()
    # Asked to end, it still ends the broker and Redis it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    profile = chosen.profile.absolute() if chosen.profile else None
    paces = [int(rate) for rate in chosen.rates.split(",")]
    found = asyncio.run(run(set(chosen.only.split(",")), Size(chosen.scale, profile), paces, chosen.seconds))
    json.dump(found, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
