"""The checks behind `orchestrator doctor`: each says what it found and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import redis.asyncio
from redis.exceptions import RedisError

from orchestrator.errors import JourneysInvalid, SettingsInvalid
from orchestrator.runtime import topics
from orchestrator.runtime.channels import load_channels
from orchestrator.runtime.heartbeat import alive, here
from orchestrator.runtime.journey_files import load_program
from orchestrator.settings import Settings
from orchestrator.stores import keys
from orchestrator.stores.client import connect

#: The oldest Redis whose commands we use.
OLDEST_REDIS = (6, 2)


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; `unreachable` when the part did not answer at all."""

    part: str
    ok: bool
    message: str
    fix: str = ""
    unreachable: bool = False


async def examine(settings: Settings) -> Sequence[Check]:
    """All checks, each by itself: one that fails does not hide the next."""
    kafka = await asyncio.to_thread(_kafka, settings)
    return [*kafka, *await _redis(settings), *_providers(settings), *_journeys(settings), *_secrets(settings)]


def _kafka(settings: Settings) -> list[Check]:
    findings = topics.check(settings)
    broker = [finding for finding in findings if not finding.topic]
    if broker:
        return [Check("kafka", False, finding.message, finding.fix, unreachable=True) for finding in broker]
    checks = [Check("kafka", True, f"{settings.kafka.bootstrap} answers")]
    for finding in findings:
        checks.append(Check("topics", finding.level != "error", f"{finding.topic} {finding.message}", finding.fix))
    if all(finding.level != "error" for finding in findings):
        checks.append(Check("topics", True, f"{len(topics.wanted(settings))} topics are fit for use"))
    return checks


async def _redis(settings: Settings) -> list[Check]:
    client = connect(settings.redis)
    try:
        server = await client.info("server")
        checks = [Check("redis", True, f"version {server['redis_version']} answers")]
        if tuple(int(part) for part in str(server["redis_version"]).split(".")[:2]) < OLDEST_REDIS:
            checks.append(Check("redis", False, "older than 6.2", "upgrade the server"))
        checks += await _keeping(client)
        checks.append(await _partition_count(client, settings.topics.partitions))
        return checks
    except (RedisError, OSError) as error:
        fix = "start Redis, or correct redis.url (ORCHESTRATOR_REDIS__URL)"
        return [Check("redis", False, f"does not answer: {error}", fix, unreachable=True)]
    finally:
        await client.aclose()


async def _keeping(client: redis.asyncio.Redis) -> list[Check]:
    """Redis must never drop a key by itself, and must write every change down."""
    memory, persistence = await client.info("memory"), await client.info("persistence")
    policy = memory.get("maxmemory_policy", "noeviction")
    evicts = policy != "noeviction" and int(memory.get("maxmemory", 0)) > 0
    writes = bool(persistence.get("aof_enabled"))
    return [
        Check("redis", not evicts, f"maxmemory-policy {policy}", "set maxmemory-policy noeviction" if evicts else ""),
        Check(
            "redis",
            writes,
            "writes its append-only file" if writes else "keeps nothing after a crash",
            "" if writes else "set appendonly yes",
        ),
    ]


async def _partition_count(client: redis.asyncio.Redis, wanted: int) -> Check:
    recorded = await client.get(keys.PARTITIONS)
    if recorded is None:
        return Check("partitions", True, f"{wanted}, not recorded yet: no worker has started")
    if int(recorded) == wanted:
        return Check("partitions", True, f"{wanted}, as the state was written with")
    message = f"the settings say {wanted}, the state was written with {int(recorded)}"
    return Check("partitions", False, message, f"set topics.partitions to {int(recorded)}")


def _providers(settings: Settings) -> list[Check]:
    if not settings.channels:
        return [Check("providers", False, "none is set up", "add a section [channels.<provider>] to orchestrator.toml")]
    checks = []
    for name, values in settings.channels.items():
        try:
            channel = load_channels({name: values})[name]
        except SettingsInvalid as error:
            checks.append(Check("providers", False, f"{name}: {error.message}", error.fix))
        else:
            checks.append(Check("providers", True, f"{name} serves {channel.channel}"))
    return checks


def _journeys(settings: Settings) -> list[Check]:
    try:
        program = load_program(settings.journeys)
    except JourneysInvalid as error:
        first = error.findings[0]
        more = f" and {len(error.findings) - 1} more" if len(error.findings) > 1 else ""
        return [Check("journeys", False, f"{first}{more}", "run `orchestrator journeys check`")]
    live = [journey.slug for journey in program.journeys.values() if journey.status == "live"]
    return [Check("journeys", True, f"{len(program.journeys)} load, live: {', '.join(live) or 'none'}")]


def _secrets(settings: Settings) -> list[Check]:
    if settings.seed.get_secret_value() == "change-me":
        fix = "set ORCHESTRATOR_SEED to a long random value and keep it: changing it later changes every draw and link"
        return [Check("seed", False, "the installation's secret is the one everybody knows", fix)]
    return [Check("seed", True, "set")]


async def heartbeat_here(settings: Settings, stage: str) -> Sequence[str]:
    """Processes of a stage on this host that beat lately."""
    client = connect(settings.redis)
    try:
        return await alive(client, stage, here())
    finally:
        await client.aclose()
