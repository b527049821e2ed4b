"""Topics of a test's own on the session's broker, and worker processes on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka_tools import WorkerProcess, settings_for

from orchestrator.runtime import topics
from orchestrator.settings import Settings
from orchestrator.testing.services.kafka import KafkaServer


@pytest.fixture
def settings(kafka: KafkaServer) -> Settings:
    """Settings of this test, its topics created."""
    found = settings_for(kafka)
    topics.create(found)
    return found


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[[Settings], WorkerProcess]]:
    """Start worker processes that share the ledger in tmp_path; they end with the test."""
    started: list[WorkerProcess] = []

    def start(settings: Settings) -> WorkerProcess:
        started.append(WorkerProcess(settings, tmp_path))
        return started[-1]

    yield start
    for worker in started:
        worker.end()
