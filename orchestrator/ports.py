"""The seams: what the runtime needs from the outside, as Protocols. No implementation here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

from pydantic import BaseModel

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.contracts.receipts import Callback, Feedback, Receipt

Request = TypeVar("Request")


class Clock(Protocol):
    """Wall time in ms UTC. The engine never asks it; ticks carry it into the log."""

    def now(self) -> int: ...


class Channel(Protocol[Request]):
    """One provider behind one channel: build (pure) → send (I/O) → verify (pure) → parse (pure).

    Arrives by the entry-point group `orchestrator.channels`; the entry point's name is the provider's name.
    """

    #: The provider's name: `sendgrid`.
    name: ClassVar[str]
    #: The channel it serves: `email`, `sms`, `push`, or a new word.
    channel: ClassVar[str]
    #: Which of the customer's addresses it writes to: `email`, `phone`, `push`, or a new word.
    address: ClassVar[str]
    #: The adapter's settings: a pydantic model; secrets are SecretStr.
    Settings: ClassVar[type[BaseModel]]

    def build(self, message: OutgoingMessage) -> Request: ...

    async def send(self, request: Request) -> Receipt:
        """One attempt, inside a total timeout. Never raises for what a provider or a network can do."""
        ...

    def verify(self, callback: Callback) -> None:
        """Raise WebhookRefused unless the provider signed this callback. All secrets in use are tried (rotation)."""
        ...

    def parse(self, callback: Callback) -> Sequence[Feedback]:
        """The facts of a verified callback. Never raises for a word it does not know: that is Feedback.UNKNOWN."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of one partition of a log. `timestamp` is the log's append time in ms."""

    offset: int
    value: bytes
    timestamp: int = 0
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class EventLog(Protocol):
    """An ordered, partitioned, durable log (Kafka, or Redis Streams in embedded mode)."""

    async def append(self, topic: str, partition: int, values: Sequence[tuple[bytes | None, bytes]]) -> None:
        """Append (key, value) pairs in order; returns after the log has acknowledged all (acks=all, fsync)."""
        ...

    async def read(self, topic: str, partition: int, after: int, limit: int) -> Sequence[LogRecord]:
        """Up to `limit` records with offset > `after`, waiting shortly when there are none."""
        ...

    async def end(self, topic: str, partition: int) -> int:
        """The offset of the last record, -1 when empty."""
        ...

    async def partitions(self, topic: str) -> int: ...

    async def close(self) -> None: ...


class PartitionOwner(Protocol):
    """What the log's consumer drives: one call at a time per partition, in offset order."""

    async def acquire(self, partition: int) -> int:
        """Take the partition (a new fence epoch, state position read) and return the first offset to fetch."""
        ...

    async def apply(self, partition: int, records: Sequence[LogRecord]) -> None:
        """Apply the records and commit state and position atomically. Returns when committed.

        Raises Fenced when another owner took the partition: the caller drops what it prefetched and gives it up.
        Never skips: while Redis is away it waits and retries.
        """
        ...

    async def release(self, partition: int) -> None:
        """Forget caches of a partition that was revoked; a commit under way finishes or is refused by the fence."""
        ...
