"""Topics are created as they must be, and whatever is wrong with them is found with what to do about it."""

from __future__ import annotations

import time

import pytest
from kafka_tools import settings_for
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.imports import deprecations_ignored
from orchestrator.runtime import topics
from orchestrator.runtime.kafka_admin import admin_client
from orchestrator.settings import Settings
from orchestrator.testing.services.kafka import KafkaServer

with deprecations_ignored():
    from kafka.admin import ConfigResource, ConfigResourceType


def alter(settings: Settings, topic: str, name: str, value: str) -> None:
    """Change a topic's setting, and wait until the broker knows it."""
    deadline = time.monotonic() + 10
    with admin_client(settings.kafka.bootstrap, 10.0) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, None)
        while admin.describe_configs([resource], config_filter="all")["topic"][topic][name]["value"] != value:
            assert time.monotonic() < deadline


def test_creates_what_is_missing_and_leaves_the_rest(kafka: KafkaServer) -> None:
    settings = settings_for(kafka)
    assert {finding.message for finding in topics.check(settings)} == {"is missing"}
    assert len(topics.create(settings)) == 5
    assert topics.check(settings) == []
    assert topics.create(settings) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("message.timestamp.type", "CreateTime", "publishers' clocks"),
        ("cleanup.policy", "compact", "is compacted"),
        ("retention.ms", "60000", "less than topics.retention"),
    ],
)
def test_finds_a_wrong_setting(settings: Settings, name: str, value: str, words: str) -> None:
    alter(settings, settings.topics.events, name, value)
    (finding,) = topics.check(settings)
    assert words in finding.message
    assert name in finding.fix
    assert settings.topics.events in finding.fix


def test_finds_a_source_with_the_publishers_time(settings: Settings) -> None:
    alter(settings, settings.topics.sources[0], "message.timestamp.type", "CreateTime")
    assert [finding.topic for finding in topics.check(settings)] == settings.topics.sources


def test_finds_another_number_of_partitions_and_missing_replicas(settings: Settings) -> None:
    settings.topics.partitions += 1
    settings.topics.replication = 3
    messages = [finding.message for finding in topics.check(settings)]
    assert "has 4 partitions, topics.partitions says 5" in messages
    assert messages.count("has 1 replicas, topics.replication says 3") == 5


def test_an_unreachable_broker_is_a_finding() -> None:
    (finding,) = topics.check(Settings.model_validate({"kafka": {"bootstrap": "127.0.0.1:1"}}))
    assert "nothing listens" in finding.message
    assert "kafka.bootstrap" in finding.fix


def test_the_command(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(kafka)
    for name in ("events", "dead", "sends", "decisions"):
        monkeypatch.setenv(f"ORCHESTRATOR_TOPICS__{name.upper()}", getattr(settings.topics, name))
    monkeypatch.setenv("ORCHESTRATOR_TOPICS__SOURCES", f'["{settings.topics.sources[0]}"]')
    monkeypatch.setenv("ORCHESTRATOR_KAFKA__BOOTSTRAP", kafka.bootstrap)
    runner = CliRunner()
    assert runner.invoke(app, ["topics", "check"]).exit_code == 1
    created = runner.invoke(app, ["topics", "create"])
    assert created.exit_code == 0
    assert f"created  {settings.topics.events}" in created.stdout
    assert runner.invoke(app, ["topics", "check"]).exit_code == 0
