"""Publishing events to Kafka from Python: what an upstream system uses.

    with Publisher("kafka:9092") as publisher:
        publisher.publish({"id": "o-1", "type": "purchase", "time": "2026-03-01T09:30:00Z", "customer": "c-1", ...})

Any other producer will do as well that writes one JSON event per record to a source topic, with acks=all.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

from orchestrator.errors import DependencyUnreachable
from orchestrator.imports import deprecations_ignored
from orchestrator.runtime.kafka_admin import connected

with deprecations_ignored():
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

#: Seconds until a broker that does not answer is called unreachable, and until an event that cannot be sent has failed.
TIMEOUT = 30.0


class Publisher:
    """Publishes events with acks=all and an idempotent producer: what was flushed is in the log once, on all replicas.

    Events of one customer share a key, so they keep their order. Not safe to use from several threads at once.
    """

    def __init__(
        self, bootstrap: str, topic: str = "source-events", *, timeout: float = TIMEOUT, **security: Any
    ) -> None:
        """`security` are kafka-python's own arguments. Raises DependencyUnreachable when no broker answers."""
        self.topic = topic
        self._bootstrap = bootstrap
        self._timeout = timeout
        self._failure: KafkaError | None = None
        self._producer = connected(
            KafkaProducer,
            bootstrap,
            timeout,
            acks="all",
            enable_idempotence=True,
            compression_type="gzip",
            linger_ms=5,
            max_block_ms=round(timeout * 1000),
            delivery_timeout_ms=round(timeout * 1000),
            request_timeout_ms=round(timeout * 500),
            **security,
        )

    def publish(self, event: dict[str, Any]) -> None:
        """Hand an event over; `flush` tells whether it arrived.

        Raises ValueError for what JSON cannot say (NaN, an object of yours), DependencyUnreachable when an earlier
        event could not be written.
        """
        try:
            value = json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except TypeError as problem:
            raise ValueError(str(problem)) from None
        customer = event.get("customer") or event.get("anonymous")
        key = customer.encode() if isinstance(customer, str) else None
        self._raise_failure()
        try:
            self._producer.send(self.topic, value, key).add_errback(self._failed)
        except KafkaError as problem:
            raise self._unreachable(problem) from problem

    def flush(self) -> None:
        """Return when every event so far is acknowledged. Raises DependencyUnreachable when one was not."""
        try:
            self._producer.flush(timeout=self._timeout)
        except KafkaError as problem:
            raise self._unreachable(problem) from problem
        self._raise_failure()

    def close(self) -> None:
        """Flush and disconnect."""
        try:
            self.flush()
        finally:
            self._producer.close(timeout=self._timeout)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self._producer.close(timeout=self._timeout)

    def _failed(self, problem: KafkaError) -> None:
        self._failure = self._failure or problem

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._unreachable(self._failure)

    def _unreachable(self, problem: KafkaError) -> DependencyUnreachable:
        return DependencyUnreachable(
            f"an event was not written to {self.topic} at {self._bootstrap}: {problem}",
            fix="publish again what was not flushed: an event with an id counts once",
        )
