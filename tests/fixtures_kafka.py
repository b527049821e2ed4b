"""The session's Kafka broker."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from orchestrator.testing.services import ServiceMissing
from orchestrator.testing.services.kafka import KafkaServer, start_kafka


def _need(what: str, problem: ServiceMissing) -> None:
    """Skip on a laptop, fail in CI: a green run there must mean that the real service was used."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is needed under CI=true: {problem}")
    pytest.skip(f"NO {what.upper()}: {problem}")


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """One broker for all tests: use topics and groups of your own. A test that kills it takes `kafka_alone`."""
    try:
        server = start_kafka()
    except ServiceMissing as problem:
        _need("Kafka", problem)
        raise
    yield server
    server.stop()


@pytest.fixture
def kafka_alone() -> Iterator[KafkaServer]:
    """A broker of this test's own, which it may kill and start again."""
    try:
        server = start_kafka()
    except ServiceMissing as problem:
        _need("Kafka", problem)
        raise
    if not server.controllable:
        pytest.skip("NO KAFKA TO KILL: the broker belongs to somebody else")
    yield server
    server.stop()
