"""The baseline: what one writes first with Faust. One message → GET its customer → engine → one fenced commit.

The same decoding, engine, Lua commit, relay and decision records as the worker, so that the difference is the shape of
the work alone: no batches, no cache of documents, Faust's own stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from orchestrator.engine import state
from orchestrator.engine.context import Context
from orchestrator.engine.state import Customer
from orchestrator.imports import deprecations_ignored
from orchestrator.ports import LogRecord
from orchestrator.runtime.batch import BatchRun, Due, read
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.relay import Relay
from orchestrator.runtime.relay_loop import RelayLoop
from orchestrator.runtime.worker import destinations
from orchestrator.settings import Settings
from orchestrator.stores.client import connect
from orchestrator.stores.partition_state import PartitionState, Position

with deprecations_ignored():
    import faust


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Apply every message of the events topic by itself, until `stop`."""
    client = connect(settings.redis)
    log = KafkaLog(settings.kafka)
    store = PartitionState(client)
    catalogue = Catalogue(client, settings.seed.get_secret_value().encode())
    topics = destinations(settings.topics)
    positions: dict[int, Position] = {}
    contexts: dict[int, Context] = {}
    relays = RelayLoop(Relay(client, log), lambda: sorted(positions))

    app = faust.App(
        settings.kafka.group,
        broker=[f"kafka://{settings.kafka.bootstrap}"],
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        web_enabled=False,
        autodiscover=False,
        store="memory://",
    )

    @app.agent(app.topic(settings.topics.events, key_serializer="raw", value_serializer="raw"))
    async def apply(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            partition = message.partition
            if partition not in positions:
                positions[partition] = await store.acquire(partition)
                contexts[partition] = await catalogue.context(positions[partition].control.programs)
            if message.offset <= positions[partition].offset:
                continue
            one = read(LogRecord(message.offset, message.value, round(message.timestamp * 1000), message.key))
            due, documents, switches = Due(), {}, {}
            if one.event is not None and one.event.customer:
                (raw,) = await store.load(partition, [one.event.customer])
                documents[one.event.customer] = state.decode(raw) if raw is not None else Customer()
            elif one.event is not None and one.event.data.get("kind") == "program":
                ref = str(one.event.data["ref"])
                switches[ref] = await catalogue.context([ref])
            run = BatchRun(contexts[partition], positions[partition], documents, due, switches, topics, "baseline")
            run.run([one])
            await store.commit(partition, run.position, run.batch)
            positions[partition], contexts[partition] = run.position, run.context
            relays.announce(partition)

    app.conf.web_enabled = False
    app.BootStrategy.enable_web = False
    done = asyncio.Event()
    relaying = asyncio.create_task(relays.run(done))
    try:
        await app.start()
        await stop.wait()
    finally:
        done.set()
        await relaying
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(app.stop(), 10)
        await log.close()
        await client.aclose()
