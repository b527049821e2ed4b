"""`orchestrator journeys publish` and `replay --from-topic` on a real log: estimate, question, refusal."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.contracts import records
from orchestrator.contracts.normalise import normalise
from orchestrator.partitioning import partition_of
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.settings import Settings

SHIPPED = Path(__file__).parents[2] / "journeys"
PEOPLE = 60


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["journeys", *map(str, arguments)])


async def _append(settings: Settings) -> None:
    """Sixty customers who each look at something twice, in the log as ingest writes it, with ticks between."""
    log, topics = KafkaLog(settings.kafka), settings.topics
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    product = {"product_id": "p-1", "name": "Plate", "category": "kitchen", "price": 12}
    try:
        for day, kind in ((0, "customer_updated"), (1, "view"), (20, "view")):
            for number in range(PEOPLE):
                customer, time = f"c-{number}", at + timedelta(days=day, minutes=number)
                known = {
                    "addresses": {"email": f"{customer}@example.com"},
                    "consents": {"email": {"marketing": True}},
                }
                event = normalise(
                    {
                        "id": f"{customer}-{day}",
                        "type": kind,
                        "customer": customer,
                        "time": time.isoformat(),
                        "data": product if kind == "view" else known,
                    },
                    received=round(time.timestamp() * 1000),
                )
                partition = partition_of(customer, topics.partitions)
                values = [(customer.encode(), records.encode(event)), (None, records.encode(records.tick(event.time)))]
                await log.append(topics.events, partition, values)
    finally:
        await log.close()


@pytest.fixture
def folder(settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("ORCHESTRATOR_KAFKA__BOOTSTRAP", settings.kafka.bootstrap)
    monkeypatch.setenv("ORCHESTRATOR_TOPICS__EVENTS", settings.topics.events)
    monkeypatch.setenv("ORCHESTRATOR_TOPICS__PARTITIONS", str(settings.topics.partitions))
    monkeypatch.setenv("ORCHESTRATOR_REDIS__URL", redis_url)
    shutil.copytree(SHIPPED, tmp_path / "journeys")
    asyncio.run(_append(settings))
    return tmp_path / "journeys"


def controls(settings: Settings) -> list[str]:
    async def read() -> list[str]:
        log = KafkaLog(settings.kafka)
        try:
            found = []
            for partition in range(settings.topics.partitions):
                if await log.end(settings.topics.events, partition) >= 0:
                    for record in await log.read(settings.topics.events, partition, -1, 10_000):
                        event = records.decode(record.value)
                        if event.type == records.CONTROL:
                            found.append(str(event.data["ref"]))
            return found
        finally:
            await log.close()

    return asyncio.run(read())


def test_it_estimates_asks_and_publishes_once(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = json.loads(run("publish", folder, "--dry-run", "--json").stdout)
    assert shown["events"] == 3 * PEOPLE
    assert PEOPLE / 2 < shown["people"] <= PEOPLE
    monkeypatch.setenv("ORCHESTRATOR_PUBLISH_ASK_ABOVE", "10")
    refused = run("publish", folder)
    assert refused.exit_code == 1
    assert "more than publish_ask_above = 10" in refused.stderr
    assert controls(settings) == []
    published = json.loads(run("publish", folder, "--yes", "--json").stdout)
    assert published["changed"] is True
    assert controls(settings) == [published["version"]] * settings.topics.partitions
    assert "is in force already" in run("publish", folder, "--yes").stdout
    assert len(controls(settings)) == settings.topics.partitions


def test_a_broken_file_publishes_nothing_and_says_so_loudly(settings: Settings, folder: Path) -> None:
    text = (folder / "refill_reminder.yaml").read_text()
    (folder / "refill_reminder.yaml").write_text(text.replace("wait_for:", "wiat_for:"))
    result = run("publish", folder, "--yes")
    assert result.exit_code == 1
    assert "did you mean 'wait_for'?" in result.stdout
    assert "NOTHING WAS PUBLISHED. The journeys before these stay in force." in result.stderr
    assert controls(settings) == []


def test_replay_from_the_log_equals_replay_from_a_file(settings: Settings, folder: Path) -> None:
    report = json.loads(run("replay", "--from-topic", "--dir", folder, "--json").stdout)
    assert report["events"] == 3 * PEOPLE
    assert report["people"] > PEOPLE / 2
    assert (
        run("replay", "--from-topic", "--dir", folder, "--json").stdout
        == json.dumps(report, ensure_ascii=False, separators=(",", ":")) + "\n"
    )
