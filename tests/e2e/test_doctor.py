"""`orchestrator doctor` names what is wrong and the fix, on a healthy installation and on a sick one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from installation import Installation, installed
from test_exactly_once import set_up

from orchestrator.stores import keys
from orchestrator.testing.services.kafka import KafkaServer


def examined(installation: Installation) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    done = installation.command("doctor", "--json")
    parts: dict[str, list[dict[str, Any]]] = {}
    for check in json.loads(done.stdout):
        parts.setdefault(check["part"], []).append(check)
    return done.returncode, parts


@pytest.mark.timeout(120)
async def test_a_healthy_installation_and_what_spoils_it(kafka: KafkaServer, redis_url: str, tmp_path: Path) -> None:
    with installed(kafka.bootstrap, redis_url, tmp_path) as installation:
        before, sick = examined(installation)
        assert before == 1
        assert any("is missing" in check["message"] for check in sick["topics"])
        assert "no such folder" in sick["journeys"][0]["message"]
        assert "none is set up" in sick["providers"][0]["message"]
        await set_up(installation)
        code, well = examined(installation)
        wrong = [check for checks in well.values() for check in checks if not check["ok"]]
        assert (code, wrong) == (0, [])
        with redis.Redis.from_url(redis_url) as client:
            client.set(keys.PARTITIONS, 7)
        code, well = examined(installation)
        assert code == 1
        assert well["partitions"][0]["fix"] == "set topics.partitions to 7"


def test_nothing_answers(tmp_path: Path) -> None:
    with installed("127.0.0.1:1", "redis://127.0.0.1:1/0", tmp_path) as installation:
        code, parts = examined(installation)
    assert code == 3
    for part in ("kafka", "redis"):
        (check,) = parts[part]
        assert not check["ok"]
        assert "start" in check["fix"]
