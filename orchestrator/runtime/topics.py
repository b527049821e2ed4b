"""The topics in Kafka: what they must be like, creating them, and finding what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import DependencyUnreachable
from orchestrator.imports import deprecations_ignored
from orchestrator.runtime.kafka_admin import admin_client
from orchestrator.runtime.kafka_security import client_security
from orchestrator.settings import Settings

with deprecations_ignored():
    from kafka.admin import ConfigResource, ConfigResourceType
    from kafka.errors import KafkaError

#: Seconds until a broker that does not answer is called unreachable.
TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it has to be."""

    name: str
    partitions: int
    replication: int
    #: Only the log's own clock orders ticks and events: publishers' clocks differ.
    append_time: bool
    retention_ms: int

    @property
    def in_sync(self) -> int:
        """Replicas that must have a record before it counts as written: one may be down."""
        return max(1, self.replication - 1)

    @property
    def configs(self) -> dict[str, str]:
        return {
            "cleanup.policy": "delete",
            "message.timestamp.type": "LogAppendTime" if self.append_time else "CreateTime",
            "min.insync.replicas": str(self.in_sync),
            "retention.ms": str(self.retention_ms),
        }


@dataclass(frozen=True, slots=True)
class TopicFinding:
    """One thing that is wrong. `topic` is empty when it is the broker."""

    topic: str
    message: str
    fix: str
    level: str = "error"

    def __str__(self) -> str:
        return f"{self.topic + ': ' if self.topic else ''}{self.message}. {self.fix}"


def wanted(settings: Settings) -> list[Topic]:
    """Every topic this installation needs."""
    topics = settings.topics

    def topic(name: str, partitions: int, append_time: bool) -> Topic:
        return Topic(name, partitions, topics.replication, append_time, round(topics.retention * 1000))

    return [
        topic(topics.events, topics.partitions, True),
        *(topic(source, topics.partitions, True) for source in topics.sources),
        topic(topics.dead, 1, False),
        topic(topics.sends, topics.partitions, False),
        topic(topics.decisions, topics.partitions, False),
    ]


def create(settings: Settings) -> list[str]:
    """Create what is missing and wait until it is usable; the names created. What exists is left as it is.

    Raises DependencyUnreachable when Kafka does not answer or cannot create (too few brokers for the replication).
    """
    with _admin(settings) as admin:
        try:
            there = set(admin.list_topics())
            missing = [topic for topic in wanted(settings) if topic.name not in there]
            if missing:
                admin.create_topics(
                    {
                        topic.name: {
                            "num_partitions": topic.partitions,
                            "replication_factor": topic.replication,
                            "configs": topic.configs,
                        }
                        for topic in missing
                    },
                    wait_for_metadata=True,
                )
        except KafkaError as problem:
            raise DependencyUnreachable(
                f"Kafka does not create the topics: {problem}",
                fix="topics.replication must not exceed the number of brokers; the user needs the right to create",
            ) from problem
        return [topic.name for topic in missing]


def check(settings: Settings) -> list[TopicFinding]:
    """What is wrong with broker and topics, with what to do about it. Empty: all is well."""
    try:
        with _admin(settings) as admin:
            there = set(admin.list_topics())
            topics = [topic for topic in wanted(settings) if topic.name in there]
            names = [topic.name for topic in topics]
            described = {found["name"]: found for found in admin.describe_topics(names)} if names else {}
            resources = [ConfigResource(ConfigResourceType.TOPIC, name, None) for name in names]
            configs = admin.describe_configs(resources, config_filter="all")["topic"] if names else {}
    except DependencyUnreachable as problem:
        return [TopicFinding("", problem.message, problem.fix)]
    except KafkaError as problem:
        return [TopicFinding("", f"Kafka does not describe its topics: {problem}", "see the broker's log and rights")]
    findings = [
        TopicFinding(topic.name, "is missing", "run `orchestrator topics create`")
        for topic in wanted(settings)
        if topic.name not in there
    ]
    for topic in topics:
        findings += _compare(topic, described[topic.name]["partitions"], configs[topic.name], settings)
    return findings


def _compare(
    topic: Topic, partitions: list[dict[str, Any]], configs: Mapping[str, Any], settings: Settings
) -> list[TopicFinding]:
    findings = []

    def wrong(message: str, fix: str, level: str = "error") -> None:
        findings.append(TopicFinding(topic.name, message, fix, level))

    def set_config(name: str) -> str:
        return (
            f"run kafka-configs.sh --bootstrap-server {settings.kafka.bootstrap} --alter --topic {topic.name} "
            f"--add-config {name}={topic.configs[name]}"
        )

    values = {name: str(entry["value"]) for name, entry in configs.items()}
    if topic.name == settings.topics.events and len(partitions) != topic.partitions:
        wrong(
            f"has {len(partitions)} partitions, topics.partitions says {topic.partitions}",
            "set topics.partitions to the number the state was written with: customers live on fixed partitions",
        )
    if topic.append_time and values["message.timestamp.type"] != "LogAppendTime":
        wrong("orders records by the publishers' clocks (CreateTime)", set_config("message.timestamp.type"))
    if topic.name in {settings.topics.events, settings.topics.sends} and "compact" in values["cleanup.policy"]:
        wrong("is compacted: events would vanish", set_config("cleanup.policy"))
    retention = int(values["retention.ms"])
    if topic.name == settings.topics.events and 0 <= retention < topic.retention_ms:
        wrong(f"keeps records for {retention / 1000:.0f} s, less than topics.retention", set_config("retention.ms"))
    replicas = min((len(partition["replica_nodes"]) for partition in partitions), default=0)
    in_sync = int(values["min.insync.replicas"])
    if replicas < topic.replication:
        wrong(
            f"has {replicas} replicas, topics.replication says {topic.replication}",
            "add replicas with kafka-reassign-partitions.sh, or lower topics.replication",
        )
    elif in_sync < topic.in_sync:
        wrong(
            f"counts a record as written on {in_sync} of {replicas} replicas: a broker's end would lose it",
            set_config("min.insync.replicas"),
        )
    elif in_sync >= replicas > 1:
        wrong(
            f"needs all {replicas} replicas for every write: one broker's end stops it",
            set_config("min.insync.replicas"),
            "warning",
        )
    return findings


def _admin(settings: Settings) -> Any:
    return admin_client(settings.kafka.bootstrap, TIMEOUT, **client_security(settings.kafka))
