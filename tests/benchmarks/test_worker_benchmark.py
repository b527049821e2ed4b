"""The benchmark of the worker at a tiny size, on real Kafka and Redis: it runs, and its two rows do the same work."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from benchmarks import workload
from benchmarks.paced import paced
from benchmarks.stack import Stack, new_site, stack
from benchmarks.worker import Size, catch_up, known_customers, storm
from orchestrator.testing.services import kafka as kafka_service
from orchestrator.testing.services import redis as redis_service
from orchestrator.testing.services.kafka import KafkaServer

CUSTOMERS = 60

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="NO /proc: CPU seconds are read there"),  # noqa: PTH110
]


@pytest.fixture
async def parts(kafka: KafkaServer, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stack]:
    """The session's services, under the names a developer would give them."""
    monkeypatch.setenv(kafka_service.ENVIRONMENT, kafka.bootstrap)
    monkeypatch.setenv(redis_service.VARIABLE, redis_url)
    async with stack() as found:
        yield found


async def test_the_baseline_and_the_worker_make_the_same_transitions(parts: Stack) -> None:
    rows = [
        await catch_up(parts, Size(), CUSTOMERS, 600, name=name, weigh=name == "worker")
        for name in ("per_message", "worker")
    ]
    assert rows[0]["ledger"] == rows[1]["ledger"]
    assert rows[1]["ledger"]["entered:browse"] > CUSTOMERS / 2
    assert rows[1]["transitions"] > CUSTOMERS
    assert "duplicates" not in rows[1]["ledger"]
    weighed = rows[1]["bytes"]["in_flight"]
    assert weighed["in_redis"] > weighed["in_redis_without_duplicate_ids"] > 100


async def test_every_timer_of_the_storm_is_counted_to_its_row(parts: Stack) -> None:
    found = await storm(parts, Size(), CUSTOMERS)
    assert found["timers"]["count"] == CUSTOMERS
    assert found["timers"]["outbox_rows"] + found["timers"]["held_back_by_the_holdout"] == CUSTOMERS
    assert found["timers"]["outbox_rows"] > CUSTOMERS / 2
    assert found["sends"]["count"] >= 0


async def test_a_paced_run_measures_every_event_it_published(parts: Stack) -> None:
    site = await new_site(parts)
    await known_customers(site, CUSTOMERS, workload.journey_files("5s", "10s"), workload.now_ms())
    found = await paced(site, CUSTOMERS, 100, seconds=2.0, warm_up=0.0)
    assert found["events"] == 200
    assert 0 < found["event_to_committed_ms"]["p50"] <= found["event_to_committed_ms"]["p99"]
