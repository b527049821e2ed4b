"""Decision records from where they lie: a file of JSON lines, the log of a running embedded mode, or Kafka."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec

from orchestrator.engine import decision as decisions
from orchestrator.engine.decision import Decision
from orchestrator.errors import OrchestratorError, PositionTooOld
from orchestrator.ports import EventLog
from orchestrator.settings import Settings

#: Records read at a time.
CHUNK = 2_000


def read_file(file: str) -> Iterator[Decision]:
    """The records of a file with one JSON object a line; `-` is standard input. Raises OrchestratorError."""
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _decoded(line, f"{file}:{number}")
    except OSError as problem:
        raise OrchestratorError(f"cannot read {file}: {problem.strerror}", fix="name an existing file") from problem


def _decoded(raw: bytes, where: str) -> Decision:
    try:
        return decisions.decode(raw)
    except msgspec.DecodeError as problem:
        raise OrchestratorError(
            f"{where}: not a decision record: {problem}", fix="give the records of the decisions topic, one a line"
        ) from problem


async def read_log(settings: Settings) -> list[Decision]:
    """All records the decisions topic still holds. Embedded mode's, where it runs on this data folder; else Kafka's.

    Raises DependencyUnreachable.
    """
    found: list[Decision] = []
    socket = settings.data / "redis" / "redis.sock"
    if socket.exists():
        from pydantic import SecretStr

        from orchestrator.runtime.streams_log import StreamsLog
        from orchestrator.stores.client import connect

        url = SecretStr(f"unix://{socket.absolute()}")
        client = connect(settings.redis.model_copy(update={"url": url}))
        log: EventLog = StreamsLog(client, {settings.topics.decisions: settings.topics.partitions})
        try:
            found = [one async for one in _all(log, settings.topics.decisions)]
        finally:
            await log.close()
            await client.aclose()
        return found
    from orchestrator.runtime.kafka_log import KafkaLog

    log = KafkaLog(settings.kafka)
    try:
        return [one async for one in _all(log, settings.topics.decisions)]
    finally:
        await log.close()


async def _all(log: EventLog, topic: str) -> AsyncIterator[Decision]:
    for partition in range(await log.partitions(topic)):
        end = await log.end(topic, partition)
        offset = await _before_first(log, topic, partition, end)
        while offset < end:
            records = await log.read(topic, partition, offset, CHUNK)
            if not records:
                break
            for record in records:
                offset = record.offset
                yield _decoded(record.value, f"{topic}/{partition}/{record.offset}")


async def _before_first(log: EventLog, topic: str, partition: int, end: int) -> int:
    """The offset before the first record that is still held: the log only says of an offset that it is too old."""
    low, high = -1, end
    if end < 0:
        return end
    while low < high:
        middle = (low + high) // 2
        try:
            await log.read(topic, partition, middle, 1)
        except PositionTooOld:
            low = middle + 1
        else:
            high = middle
    return low
