"""The two commands a newcomer types, as real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest

from orchestrator.errors import DependencyUnreachable
from orchestrator.runtime.local_redis import find_server

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from orchestrator.cli import main; main()"]
SOON = 60.0


@pytest.fixture(scope="module", autouse=True)
def _server() -> None:
    try:
        find_server()
    except DependencyUnreachable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(f"NO REDIS: {error}")


def environment() -> dict[str, str]:
    """Ours without any setting of an installation on this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "COLUMNS": "200"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=SOON, check=False
    )


@contextmanager
def dev(data: Path, journeys: Path | None = None) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A running `orchestrator dev` and what it said of itself."""
    words = ["dev", "--port", "0", "--data", str(data), "--journeys", str(journeys or ROOT / "journeys")]
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, _said(process.stdout)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _said(output: IO[str]) -> dict[str, str]:
    said: dict[str, str] = {}
    for line in output:
        name, _, value = re.sub(r"\s{2,}|(?<=listening on) ", "\t", line.strip()).partition("\t")
        said[name] = value.strip()
        if name == "channels":
            return said
    raise AssertionError("it ended before it was up")


def event(number: int) -> dict[str, object]:
    return {
        "id": f"e-{number}", "type": "purchase", "time": "2026-03-01T09:30:00Z", "customer": "c-1",
        "data": {"order_id": f"o-{number}", "products": [{"name": "Coffee", "category": "coffee", "price": 9.5}]},
    }  # fmt: skip


def publish(said: dict[str, str], number: int) -> httpx.Response:
    return httpx.post(
        f"{said['listening on']}/v1/events",
        json=event(number),
        headers={"Authorization": f"Bearer {said['API key']}"},
        trust_env=False,
        timeout=SOON,
    )


def test_dev_takes_events_with_the_key_it_printed_and_keeps_everything(tmp_path: Path) -> None:
    with dev(tmp_path / "data") as (process, said):
        assert said["listening on"].startswith("http://127.0.0.1:")
        assert "refill_reminder" in said["journeys"]
        assert publish(said, 1).json() == {"accepted": 1, "rejected": [], "warnings": []}
        assert httpx.post(f"{said['listening on']}/v1/events", json=event(1), trust_env=False).status_code == 401
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SOON)
        assert process.returncode == 0, errors
        assert "publish an event" in errors
        assert str(tmp_path / "data") in errors
    with dev(tmp_path / "data") as (process, again):
        assert again["API key"] == said["API key"]
        assert publish(again, 2).status_code == 200
    secrets = [tmp_path / "data" / name for name in ("api-key", "seed")]
    assert [stat.S_IMODE(file.stat().st_mode) for file in secrets] == [0o600, 0o600]


def test_dev_puts_saved_journeys_into_force_and_keeps_the_old_ones_when_they_are_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "journeys"
    (folder / "messages").mkdir(parents=True)
    (folder / "_policy.yaml").write_text((ROOT / "journeys" / "_policy.yaml").read_text())
    with dev(tmp_path / "data", folder) as (process, said):
        assert said["journeys"].startswith("none")
        assert process.stdout is not None
        assert process.stderr is not None
        for file in ("messages/still_thinking.md", "messages/ask_us_about_it.md", "browse_follow_up.yaml"):
            (folder / file).write_text((ROOT / "journeys" / file).read_text())
        for line in process.stdout:
            if line.startswith("journeys in force: browse_follow_up"):
                break
        (folder / "browse_follow_up.yaml").write_text("name: 7\n")
        for line in process.stderr:
            if "browse_follow_up.yaml:1" in line:
                break
        assert publish(said, 1).status_code == 200


def test_dev_says_which_port_is_taken(tmp_path: Path) -> None:
    with dev(tmp_path / "data") as (_, said):
        port = said["listening on"].rpartition(":")[2]
        second = run("dev", "--port", port, "--data", str(tmp_path / "other"))
    assert second.returncode == 2
    assert f"port {port}" in second.stderr
    assert "to fix it" in second.stderr


def test_the_demo_sends_real_follow_ups_and_learns_from_the_answers(tmp_path: Path) -> None:
    played = run("demo", "--customers", "25", "--days", "150", "--json")
    assert played.returncode == 0, played.stderr
    records = [json.loads(line) for line in played.stdout.splitlines()]
    sent = [record for record in records if record["record"] == "sent"]
    summary = records[-1]
    assert summary["record"] == "summary"
    assert summary["sent"] == len(sent) > 20
    assert len({record["send_id"] for record in sent}) == len(sent)
    assert {record["journey"] for record in sent} >= {"refill_reminder", "browse_follow_up"}
    assert len({record["channel"] for record in sent}) > 1
    assert all(record["reasons"] for record in sent)
    answers = [record for record in records if record["record"] == "answered"]
    assert summary["answered"] == len(
        {a["send_id"] for a in answers if a["kind"] != "unsubscribed" and a["text"] != "STOP"}
    )
    assert summary["answered"] > 0
    assert {record["send_id"] for record in answers} <= {record["send_id"] for record in sent}


def test_the_demo_is_the_same_every_time_and_another_one_for_another_seed() -> None:
    short = ("demo", "--customers", "6", "--days", "60", "--json")
    first, second, other = (run(*short, "--seed", seed) for seed in ("1", "1", "2"))
    assert first.returncode == second.returncode == other.returncode == 0
    assert sorted(first.stdout.splitlines()) == sorted(second.stdout.splitlines())
    assert first.stdout != other.stdout


def test_an_interrupted_demo_ends_soon_with_what_there_is() -> None:
    playing = subprocess.Popen(
        [*COMMAND, "demo", "--json"], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert playing.stdout is not None
    lines = []
    for line in playing.stdout:
        lines.append(line)
        if '"sent"' in line:
            break
    playing.send_signal(signal.SIGINT)
    rest, _ = playing.communicate(timeout=SOON)
    assert playing.returncode == 130
    summary = json.loads((lines + rest.splitlines())[-1])
    assert summary["record"] == "summary"
    assert summary["sent"] >= 1


def test_the_demo_without_a_terminal_is_plain_text() -> None:
    played = run("demo", "--customers", "6", "--days", "60")
    assert played.returncode == 0, played.stderr
    assert "\x1b" not in played.stdout + played.stderr
    assert "messages that went out on the channel the customer likes" in played.stdout
    assert "orchestrator dev" in played.stdout
    assert "% of the events" in played.stderr
