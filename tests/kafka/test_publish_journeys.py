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
from orchestrator.runtime.batch import Destinations
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.partitions import Partitions
from orchestrator.settings import Settings, load
from orchestrator.stores.client import connect
from orchestrator.stores.partition_state import PartitionState

SHIPPED = Path(__file__).parents[2] / "journeys"
PEOPLE = 60


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["journeys", *map(str, arguments)])


async def _append(settings: Settings, name: str = "c") -> None:
    """Sixty customers who each look at something twice, in the log as ingest writes it, with ticks between."""
    log, topics = KafkaLog(settings.kafka), settings.topics
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    product = {"product_id": "p-1", "name": "Plate", "category": "kitchen", "price": 12}
    try:
        for day, kind in ((0, "customer_updated"), (1, "view"), (20, "view")):
            for number in range(PEOPLE):
                customer, time = f"{name}-{number}", at + timedelta(days=day, minutes=number)
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


async def _work(settings: Settings) -> None:
    """Apply all the log holds, as a worker does."""
    client, log = connect(settings.redis), KafkaLog(settings.kafka)
    topics = settings.topics
    try:
        owner = Partitions(
            PartitionState(client),
            Catalogue(client, settings.seed.get_secret_value().encode()),
            Destinations(topics.events, topics.decisions, topics.dead),
        )
        for partition in range(topics.partitions):
            first = await owner.acquire(partition)
            if await log.end(topics.events, partition) >= first:
                await owner.apply(partition, await log.read(topics.events, partition, first - 1, 10_000))
    finally:
        await log.close()
        await client.aclose()


def test_runs_are_moved_by_the_log(settings: Settings, folder: Path) -> None:
    settings = load()
    text = (folder / "browse_follow_up.yaml").read_text()
    first = json.loads(run("publish", folder, "--yes", "--no-estimate", "--json").stdout)["version"]
    asyncio.run(_append(settings, "later"))
    asyncio.run(_work(settings))
    (folder / "browse_follow_up.yaml").write_text(text.replace("expires: 24h", "expires: 30h"))
    assert json.loads(run("publish", folder, "--yes", "--no-estimate", "--json").stdout)["version"] != first
    asyncio.run(_work(settings))
    old, new = json.loads(run("move", "browse_follow_up", "--json").stdout)
    assert old["runs"] > 0
    assert (new["runs"], new["in_force"]) == (0, True)
    shown = json.loads(run("move", "browse_follow_up", "--from", old["version"], "--dry-run", "--json").stdout)
    assert shown["stranded"] == 0
    assert shown["faults"] == {}
    assert shown["rehearsed"] == old["runs"]
    assert shown["moved"] is False
    assert run("move", "browse_follow_up", "--from", old["version"]).exit_code == 1
    assert run("move", "browse_follow_up", "--from", old["version"], "--yes").exit_code == 0
    asyncio.run(_work(settings))
    after = {row["version"]: row["runs"] for row in json.loads(run("move", "browse_follow_up", "--json").stdout)}
    assert after == {old["version"]: 0, new["version"]: old["runs"]}
    back = ("--from", new["version"], "--to", old["version"])
    stranding = run("move", "browse_follow_up", *back, "--map", "steps[0]=steps[1]")
    assert stranding.exit_code == 1
    assert "steps[1] does another kind of thing" in stranding.stdout
    assert "nobody was moved" in stranding.stderr
    # And back again.
    assert run("move", "browse_follow_up", *back, "--yes").exit_code == 0
    asyncio.run(_work(settings))
    after = {row["version"]: row["runs"] for row in json.loads(run("move", "browse_follow_up", "--json").stdout)}
    assert after == {old["version"]: old["runs"], new["version"]: 0}
