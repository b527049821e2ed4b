"""The session's Kafka broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fixtures_redis import service_missing

from orchestrator.testing.services import ServiceMissing
from orchestrator.testing.services.kafka import KafkaServer, start_kafka


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """One broker for all tests: use topics and groups of your own. A test that kills it takes `kafka_alone`."""
    try:
        server = start_kafka()
    except ServiceMissing as problem:
        service_missing(str(problem))
        raise  # Not reached: both outcomes above raise.
    yield server
    server.stop()


@pytest.fixture
def kafka_alone() -> Iterator[KafkaServer]:
    """A broker of this test's own, which it may kill and start again."""
    try:
        server = start_kafka()
    except ServiceMissing as problem:
        service_missing(str(problem))
        raise  # Not reached: both outcomes above raise.
    if not server.controllable:
        pytest.skip("SERVICE MISSING: a Kafka that may be killed; this one belongs to somebody else")
    yield server
    server.stop()
