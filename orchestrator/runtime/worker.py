"""The worker process: partitions of the events log, their relay, the ticker's lease and a heartbeat, on one loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import redis.asyncio
from redis.exceptions import RedisError

from orchestrator.errors import PartitionCountChanged
from orchestrator.runtime.app import run_worker
from orchestrator.runtime.batch import Destinations
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.clock import WallClock
from orchestrator.runtime.collector import calm
from orchestrator.runtime.heartbeat import beat
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.partitions import Partitions
from orchestrator.runtime.priors_publisher import PriorsPublisher
from orchestrator.runtime.relay import Relay
from orchestrator.runtime.relay_loop import RelayLoop
from orchestrator.runtime.ticker import Ticker
from orchestrator.settings import Settings, Topics
from orchestrator.stores import keys
from orchestrator.stores.client import connect
from orchestrator.stores.partition_state import PartitionState

log = logging.getLogger(__name__)

#: Seconds between looks for a Redis that is not there yet.
REDIS_RETRY = 1.0


def destinations(topics: Topics) -> Destinations:
    """Where a commit's rows go."""
    return Destinations(events=topics.events, decisions=topics.decisions, dead=topics.dead)


async def check_partition_count(client: redis.asyncio.Redis, count: int) -> None:
    """Record the number of partitions on first start; refuse another one later, for customers would move unseen."""
    await client.set(keys.PARTITIONS, count, nx=True)
    recorded = int(await client.get(keys.PARTITIONS) or 0)
    if recorded != count:
        raise PartitionCountChanged(
            f"the log has {count} partitions, the state in Redis was written for {recorded}",
            fix=f"set topics.partitions and the topic back to {recorded}; another number needs a new, empty Redis "
            "that reads the log from its start",
        )


async def _redis_is_there(client: redis.asyncio.Redis, settings: Settings, stop: asyncio.Event) -> bool:
    """Wait for Redis and check the partition count; False when `stop` came first."""
    while not stop.is_set():
        try:
            await check_partition_count(client, settings.topics.partitions)
        except (RedisError, OSError) as problem:
            log.warning("waiting for Redis: %s", problem)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), REDIS_RETRY)
        else:
            return True
    return False


async def serve_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Run until `stop`. Raises what must end the process: the state is safe, position and state move together."""
    calm()
    clock = WallClock()
    client = connect(settings.redis)
    events = KafkaLog(settings.kafka)
    try:
        if not await _redis_is_there(client, settings, stop):
            return
        seed = settings.seed.get_secret_value().encode()
        catalogue = Catalogue(client, seed)
        partitions = Partitions(
            PartitionState(client),
            catalogue,
            destinations(settings.topics),
            max_batch=settings.worker.max_batch,
            max_poison=settings.worker.max_consecutive_poison,
            on_commit=lambda partition: relays.announce(partition),
        )
        relays = RelayLoop(Relay(client, events), partitions.owned)
        ticker = Ticker(client, events, settings, clock)
        beliefs = PriorsPublisher(client, events, catalogue, settings.topics.events, clock)
        # The helpers outlive the worker: what its last commit left is still relayed.
        done = asyncio.Event()
        helpers = [
            asyncio.create_task(relays.run(done)),
            asyncio.create_task(ticker.run(done)),
            asyncio.create_task(beliefs.run(done)),
            asyncio.create_task(beat(client, "worker", clock, done)),
        ]
        try:
            await run_worker(settings, partitions, stop, excused=partitions.redis_away, commits=partitions.commits)
        finally:
            done.set()
            await asyncio.gather(*helpers, return_exceptions=True)
    finally:
        await events.close()
        await client.aclose()
