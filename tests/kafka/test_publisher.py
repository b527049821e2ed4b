"""Publishing from Python and from the command line into a source topic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.errors import DependencyUnreachable
from orchestrator.ports import LogRecord
from orchestrator.publisher import Publisher
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.settings import Settings


async def published(settings: Settings) -> dict[int, list[LogRecord]]:
    """Everything in the source topic, by partition."""
    log = KafkaLog(settings.kafka)
    topic = settings.topics.sources[0]
    try:
        found = {}
        for partition in range(await log.partitions(topic)):
            if await log.end(topic, partition) >= 0:
                found[partition] = list(await log.read(topic, partition, -1, 10_000))
        return found
    finally:
        await log.close()


async def test_events_of_one_customer_share_a_partition_and_keep_their_order(settings: Settings) -> None:
    with Publisher(settings.kafka.bootstrap, settings.topics.sources[0]) as publisher:
        for number in range(300):
            publisher.publish({"id": f"e{number}", "customer": f"c{number % 7}", "data": {"name": "Käse"}})
    found = await published(settings)
    assert sum(map(len, found.values())) == 300
    where: dict[str, int] = {}
    last: dict[str, int] = {}
    for partition, records in found.items():
        for record in records:
            event = json.loads(record.value)
            assert record.key == event["customer"].encode()
            assert where.setdefault(event["customer"], partition) == partition
            number = int(event["id"][1:])
            assert number > last.get(event["customer"], -1)
            last[event["customer"]] = number


def test_what_json_cannot_say_is_refused_at_once(settings: Settings) -> None:
    with Publisher(settings.kafka.bootstrap, settings.topics.sources[0]) as publisher:
        with pytest.raises(ValueError, match="JSON"):
            publisher.publish({"price": float("nan")})
        with pytest.raises(ValueError, match="set"):
            publisher.publish({"tags": {"a"}})


def test_no_broker() -> None:
    with pytest.raises(DependencyUnreachable, match="nothing listens"):
        Publisher("127.0.0.1:1")


@pytest.fixture
def command(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("ORCHESTRATOR_KAFKA__BOOTSTRAP", settings.kafka.bootstrap)
    monkeypatch.setenv("ORCHESTRATOR_TOPICS__SOURCES", json.dumps(settings.topics.sources))
    return CliRunner()


async def test_the_command_reads_lines_and_tells_the_bad_ones(
    settings: Settings, command: CliRunner, tmp_path: Path
) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(b'{"id": "1"}\n\n{"id": \n[1]\n{"id": "2"}\n{"id": "\xff"}\n')
    result = command.invoke(app, ["events", "publish", str(file)])
    assert result.exit_code == 1
    assert f"{file}:3: not JSON" in result.stderr
    assert f"{file}:4: not a JSON object" in result.stderr
    assert f"{file}:6: not JSON" in result.stderr
    assert f"published 2 events to {settings.topics.sources[0]}, 3 refused" in result.stderr
    values = [json.loads(record.value) for records in (await published(settings)).values() for record in records]
    assert sorted(value["id"] for value in values) == ["1", "2"]


async def test_the_command_reads_an_array_from_standard_input(settings: Settings, command: CliRunner) -> None:
    result = command.invoke(app, ["events", "publish", "-"], input='\n[{"id": "1"},\n {"id": "2"}, {"id": "3"}]')
    assert result.exit_code == 0, result.stderr
    assert sum(map(len, (await published(settings)).values())) == 3


def test_the_command_says_that_a_file_is_missing(command: CliRunner) -> None:
    result = command.invoke(app, ["events", "publish", "no-such-file"])
    assert result.exit_code == 2
    assert "cannot read no-such-file" in result.stderr


def test_the_command_says_that_kafka_is_away(
    command: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    file = tmp_path / "one.ndjson"
    file.write_text("{}\n")
    result = command.invoke(app, ["events", "publish", str(file)])
    assert isinstance(result.exception, DependencyUnreachable)
