"""The dispatcher as a process of its own, against Kafka and Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import redis.asyncio

from orchestrator.contracts import records
from orchestrator.contracts.messages import OutboxRow
from orchestrator.errors import SettingsInvalid
from orchestrator.language.program import MessageTemplate
from orchestrator.ports import Channel, Clock, EventLog
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.channels import load_channels
from orchestrator.runtime.clock import WallClock
from orchestrator.runtime.dispatcher import Dispatcher
from orchestrator.runtime.heartbeat import beat
from orchestrator.runtime.journal import Journal, KafkaJournal
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.links import callback_url, unsubscribe_url
from orchestrator.runtime.render_pool import RenderPool
from orchestrator.runtime.rollback_guard import RollbackGuard
from orchestrator.settings import Settings


def build_dispatcher(
    settings: Settings,
    client: redis.asyncio.Redis,
    log: EventLog,
    journal: Journal,
    clock: Clock,
    channels: Mapping[str, Channel[Any]],
) -> Dispatcher:
    """A dispatcher on these parts; journeys' texts come from the program each row was decided with."""
    seed = settings.seed.get_secret_value()
    catalogue = Catalogue(client, seed.encode())

    async def template_of(row: OutboxRow) -> MessageTemplate | None:
        return (await catalogue.program(row.program)).messages.get(row.message)

    return Dispatcher(
        client,
        partitions=settings.topics.partitions,
        channels=channels,
        journal=journal,
        template_of=template_of,
        clock=clock,
        seed=seed,
        settings=settings.dispatcher,
        renderer=RenderPool(),
        unsubscribe_url=lambda row: unsubscribe_url(settings, row.send_id),
        callback_url=lambda row, provider: callback_url(settings, provider),
        health_changed=_tell_log(settings, log, clock),
        topic=settings.topics.events,
    )


def _tell_log(settings: Settings, log: EventLog, clock: Clock) -> Callable[[frozenset[str]], Awaitable[None]]:
    """Channels' health is an input of decisions, so it enters through every partition's log."""

    async def tell(unhealthy: frozenset[str]) -> None:
        names = sorted(unhealthy)
        now = clock.now()
        ref = f"{'+'.join(names) or 'all-well'}-{now}"
        record = records.encode(records.control("health", ref, now, unhealthy=names))
        for partition in range(settings.topics.partitions):
            await log.append(settings.topics.events, partition, [(None, record)])

    return tell


async def serve_dispatcher(settings: Settings, stop: asyncio.Event) -> None:
    """Send until `stop`. Raises SettingsInvalid when there is no provider to send with."""
    channels = load_channels(settings.channels)
    if not channels:
        raise SettingsInvalid(
            "no provider is set up, so nothing could be sent",
            fix="add a section [channels.<provider>] to orchestrator.toml, for example [channels.console]",
        )
    clock = WallClock()
    log = KafkaLog(settings.kafka)
    journal = KafkaJournal(log, settings.topics.sends)
    guard = RollbackGuard(settings, journal, clock)
    client = guard.client()
    helpers = [
        asyncio.create_task(guard.run(stop)),
        asyncio.create_task(beat(client, "dispatcher", clock, stop)),
    ]
    dispatcher = build_dispatcher(settings, client, log, journal, clock, channels)
    try:
        await dispatcher.run(stop)
    finally:
        await dispatcher.close()
        stop.set()
        await asyncio.gather(*helpers, return_exceptions=True)
        for channel in channels.values():
            await channel.close()
        await journal.close()
        await log.close()
        await client.aclose()
