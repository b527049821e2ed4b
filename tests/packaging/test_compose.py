"""compose.yaml without Docker: every image is pinned, every process is checked for health, every setting exists."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from orchestrator.cli import app
from orchestrator.settings import load

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())
    return loaded


def test_every_service_is_pinned_and_checked(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        image = service["image"]
        assert image == "journey-orchestrator" or image.rpartition(":")[2] not in ("", "latest"), name
        assert name == "setup" or "healthcheck" in service, name


def test_only_the_gateway_is_reached_from_outside_and_on_loopback(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"gateway": ["127.0.0.1:8080:8080"]}


def test_the_settings_exist_and_fit(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)
    for name, value in compose["x-process"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.kafka.bootstrap == "kafka:9092"
    assert settings.gateway.keys[0].sha256 == hashlib.sha256(b"dev-key-change-me").hexdigest()
    assert set(settings.channels) == {"console", "console_sms", "console_push"}


def test_the_commands_exist(compose: dict[str, Any]) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, service in compose["services"].items():
        if service["image"] == "journey-orchestrator" and service["command"]:
            assert service["command"][0] in commands, name


def test_redis_keeps_everything(compose: dict[str, Any]) -> None:
    command = " ".join(compose["services"]["redis"]["command"])
    assert "--appendonly yes" in command
    assert "noeviction" in command


def test_the_example_settings_load(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)
    assert load(ROOT / "orchestrator.example.toml").topics.partitions == 8
