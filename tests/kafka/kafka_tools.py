"""Settings and topics of a test's own, records in them, and worker processes on them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.settings import Kafka, Settings, Topics, Worker
from orchestrator.testing.services.kafka import KafkaServer

PARTITIONS = 4


def settings_for(server: KafkaServer, *, partitions: int = PARTITIONS, watchdog: float = 60.0) -> Settings:
    """Settings with topics and a group that no other test uses."""
    name = uuid.uuid4().hex[:8]
    return Settings(
        kafka=Kafka(bootstrap=server.bootstrap, group=f"g-{name}", session_timeout=6.0),
        topics=Topics(
            events=f"events-{name}",
            sources=[f"source-{name}"],
            dead=f"dead-{name}",
            sends=f"sends-{name}",
            decisions=f"decisions-{name}",
            partitions=partitions,
        ),
        worker=Worker(watchdog=watchdog, max_batch=500),
    )


async def until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for a condition; how long it took. Fails after `seconds`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def fill(settings: Settings, count: int, *, first: int = 0) -> None:
    """Append `count` numbered records to every partition of events."""
    log = KafkaLog(settings.kafka)
    try:
        for partition in range(settings.topics.partitions):
            values = [(b"key", b"%d %d" % (number, partition)) for number in range(first, first + count)]
            await log.append(settings.topics.events, partition, values)
    finally:
        await log.close()


class WorkerProcess:
    """`file_ledger.py` as a process of its own."""

    def __init__(self, settings: Settings, folder: Path, *kind: str) -> None:
        environment = {
            "ORCHESTRATOR_KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
            "ORCHESTRATOR_KAFKA__GROUP": settings.kafka.group,
            "ORCHESTRATOR_KAFKA__SESSION_TIMEOUT": str(settings.kafka.session_timeout),
            "ORCHESTRATOR_TOPICS__EVENTS": settings.topics.events,
            "ORCHESTRATOR_TOPICS__PARTITIONS": str(settings.topics.partitions),
            "ORCHESTRATOR_WORKER__WATCHDOG": str(settings.worker.watchdog),
            "ORCHESTRATOR_WORKER__MAX_BATCH": str(settings.worker.max_batch),
        }
        self.output = folder / f"output-{uuid.uuid4().hex[:4]}.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", str(Path(__file__).with_name("file_ledger.py")), str(folder), *kind],
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def name(self) -> str:
        return str(self.process.pid)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
