"""`orchestrator journeys replay` on a small recorded history."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app

SHIPPED = Path(__file__).parents[2] / "journeys"
CUSTOMERS = 40


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["journeys", "replay", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(SHIPPED, tmp_path / "journeys")
    return tmp_path / "journeys"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Forty customers, reachable by e-mail and SMS, who each look at something and buy twice."""
    at = datetime(2026, 1, 5, 9, tzinfo=UTC)
    events: list[dict[str, Any]] = []
    for number in range(CUSTOMERS):
        customer = f"c-{number}"
        addresses = {"email": f"{customer}@example.com", "phone": "+15005550006"}
        consents = {"email": {"marketing": True}, "sms": {"marketing": True}}
        product = {"product_id": "p-1", "name": "Plate", "category": "kitchen", "price": 12}
        for kind, day, data in (
            ("customer_updated", 0, {"addresses": addresses, "consents": consents}),
            ("purchase", 1, {"order_id": f"{customer}-1", "products": [product]}),
            ("view", 10, product),
            ("purchase", 31, {"order_id": f"{customer}-2", "products": [product]}),
        ):
            time = at + timedelta(days=day, minutes=number)
            events.append(
                {
                    "id": f"{customer}-{kind}-{day}",
                    "type": kind,
                    "customer": customer,
                    "time": time.isoformat(),
                    "data": data,
                }
            )
    events.sort(key=lambda event: event["time"])
    lines = [json.dumps(event) for event in events]
    lines.insert(2, '{"id": "x", "type": "view", "time": "2026-01-05T09:00:00Z"}')
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_it_counts_people_messages_cost_and_what_was_held_back(folder: Path, recorded: Path) -> None:
    result = run("--events", recorded, "--dir", folder, "--days-after", 60, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["events"] == 4 * CUSTOMERS
    assert report["refused"] == 1
    assert "events.jsonl:3: customer is missing" in report["faults"][0]
    browse = report["journeys"]["browse_follow_up"]
    # Everybody looked; holdouts hear nothing, the others get one or two notes.
    assert browse["entered"] == CUSTOMERS
    withheld = report["suppressed"]["withheld holdout"]
    assert 0 < browse["people"] < CUSTOMERS
    assert withheld > 0
    assert report["people"] <= report["customers"] == CUSTOMERS
    assert report["messages"] == sum(row["messages"] for row in report["by_channel"].values())
    assert report["messages"] == sum(row["messages"] for row in report["by_step"])
    assert report["messages"] == sum(count for day in report["by_day"].values() for count in day.values())
    assert report["cost"] == pytest.approx(sum(row["cost"] for row in report["by_channel"].values()))
    assert report["by_channel"]["email"]["cost"] == pytest.approx(0.0008 * report["by_channel"]["email"]["messages"])
    assert report["not_entered"]["refill_reminder"]["audience"] == CUSTOMERS


def test_two_replays_are_the_same_to_the_byte_and_another_seed_is_not(folder: Path, recorded: Path) -> None:
    first = run("--events", recorded, "--dir", folder, "--days-after", 60, "--json").stdout_bytes
    assert run("--events", recorded, "--dir", folder, "--days-after", 60, "--json").stdout_bytes == first
    assert run("--events", recorded, "--dir", folder, "--days-after", 60, "--json", "--seed", 2).stdout_bytes != first


def test_a_diff_is_told_in_people(folder: Path, recorded: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    same = json.loads(run("--events", recorded, "--dir", folder, "--diff", other, "--json").stdout)
    assert same["people"]["only_before"] == same["people"]["only_after"] == 0
    assert same["journeys"]["browse_follow_up"]["both_but_different"] == 0
    text = (folder / "browse_follow_up.yaml").read_text()
    (folder / "browse_follow_up.yaml").write_text(text.replace("over 4", "over 400"))
    fewer = json.loads(run("--events", recorded, "--dir", folder, "--diff", other, "--json").stdout)
    browse = fewer["journeys"]["browse_follow_up"]
    assert browse["only_before"] > 0
    assert browse["only_after"] == browse["both_the_same"] == browse["both_but_different"] == 0
    assert fewer["people"]["before"] >= fewer["people"]["after"]
    told = run("--events", recorded, "--dir", folder, "--diff", other).stdout
    assert f"{fewer['people']['before']} → {fewer['people']['after']} customers" in told


def test_it_reads_aloud(folder: Path, recorded: Path) -> None:
    result = run("--events", recorded, "--dir", folder, "--days-after", 60)
    assert "would have written to" in result.stdout
    assert "not sent because" in result.stdout
    assert "next: orchestrator journeys publish" in result.stderr


def test_what_it_is_not_told_it_asks_for(folder: Path) -> None:
    assert run("--dir", folder).exit_code == 2
    missing = run("--dir", folder, "--events", folder / "nowhere.jsonl")
    assert missing.exit_code == 2
    assert "cannot read" in missing.stderr
