"""Everything in one process, on a Redis of its own: a small shop's production, `orchestrator dev`, and the demo.

    gateway → log on Redis Streams → partitions → commit in Redis → relay → log
                                                      └→ dispatcher → providers

The same engine, Lua and gate as the distributed installation; only the log, its consumer and the journal of sends
differ. Two ways to run it: `serve` goes with the wall clock; `settle` does all work that is due at this moment of a
clock that somebody steps, and returns when none is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import SecretStr
from redis.exceptions import RedisError

from orchestrator.errors import DependencyUnreachable, SettingsInvalid
from orchestrator.language.program import Program
from orchestrator.ports import Channel, Clock
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.channels import load_channels
from orchestrator.runtime.dispatcher_process import build_dispatcher
from orchestrator.runtime.gateway import build_gateway
from orchestrator.runtime.gateway_process import http_server
from orchestrator.runtime.inner_server import InnerServer
from orchestrator.runtime.journal import FileJournal
from orchestrator.runtime.journey_files import read_journeys
from orchestrator.runtime.listening import listen
from orchestrator.runtime.local_redis import LocalRedis
from orchestrator.runtime.partitions import Partitions
from orchestrator.runtime.priors_publisher import PriorsPublisher
from orchestrator.runtime.publish_journeys import publish_program
from orchestrator.runtime.relay import Relay
from orchestrator.runtime.relay_loop import RelayLoop
from orchestrator.runtime.retention import trim_older
from orchestrator.runtime.rollback_guard import RollbackGuard
from orchestrator.runtime.streams_log import StreamsLog
from orchestrator.runtime.ticker import Ticker
from orchestrator.runtime.worker import check_partition_count, destinations
from orchestrator.settings import Settings
from orchestrator.stores import keys
from orchestrator.stores.client import connect
from orchestrator.stores.partition_state import PartitionState

logger = logging.getLogger(__name__)

#: Records read from the log at a time.
FETCH = 2_000
#: Seconds: between looks at a server that may have died, while the log is away, between two rounds of retention.
WATCH = 0.25
AWAY = 0.25
RETENTION_ROUND = 3_600.0


class Embedded:
    """One installation in one process. `async with` starts and stops it.

    `settings.data` is its folder. Topics of upstream sources do not exist here: everything comes in by HTTP. What of
    `gateway.public_url` was not set follows the port. `channels` replaces the adapters that the settings name. With
    `persistent=False` the state lives in memory only, for a folder that is thrown away.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        channels: Mapping[str, Channel[Any]] | None = None,
        persistent: bool = True,
    ) -> None:
        #: Its own server.
        self.redis = LocalRedis(settings.data / "redis", persistent=persistent)
        try:
            self._listener = listen(settings.gateway.host, settings.gateway.port)
        except OSError as error:
            raise SettingsInvalid(
                f"cannot listen on {settings.gateway.host} port {settings.gateway.port}: {error.strerror}",
                fix="stop what uses it, or set gateway.port (`--port`) to another one; 0 takes a free one",
            ) from error
        port: int = self._listener.getsockname()[1]
        host = settings.gateway.host
        #: Where the gateway listens.
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        given = settings.gateway.model_fields_set
        gateway: dict[str, Any] = {"port": port} | ({} if "public_url" in given else {"public_url": self.url})
        self.settings = settings.model_copy(
            update={
                "redis": settings.redis.model_copy(update={"url": SecretStr(self.redis.url)}),
                "topics": settings.topics.model_copy(update={"sources": []}),
                "gateway": settings.gateway.model_copy(update=gateway),
            }
        )
        self._clock = clock
        self._channels = channels
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Embedded:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        settings, topics = self.settings, self.settings.topics
        self._stack.callback(self._listener.close)
        self._stack.callback(self.redis.stop)
        await asyncio.to_thread(self.redis.start)
        self.client = connect(settings.redis)
        self._stack.push_async_callback(self.client.aclose)
        self.log = StreamsLog(self.client, {topics.events: topics.partitions, topics.decisions: topics.partitions})
        self._stack.push_async_callback(self.log.close)
        await check_partition_count(self.client, topics.partitions)
        if self._channels is None:
            self._channels = load_channels(settings.channels)
        for channel in self._channels.values():
            self._stack.push_async_callback(channel.close)
        journal = FileJournal(settings.data / "sends")
        self._stack.push_async_callback(journal.close)
        self._catalogue = Catalogue(self.client, settings.seed.get_secret_value().encode())
        self._partitions = Partitions(
            PartitionState(self.client),
            self._catalogue,
            destinations(topics),
            max_batch=settings.worker.max_batch,
            max_poison=settings.worker.max_consecutive_poison,
            on_commit=lambda partition: self._relays.announce(partition),
        )
        self._relay = Relay(self.client, self.log)
        self._relays = RelayLoop(self._relay, self._partitions.owned)
        self._ticker = Ticker(self.client, self.log, settings, self._clock)
        self._beliefs = PriorsPublisher(self.client, self.log, self._catalogue, topics.events, self._clock)
        guard = RollbackGuard(settings, journal, self._clock)
        guarded = guard.client()
        self._stack.push_async_callback(guarded.aclose)
        self._dispatcher = build_dispatcher(settings, guarded, self.log, journal, self._clock, self._channels)
        self._stack.push_async_callback(self._dispatcher.close)
        watching = asyncio.Event()
        self._stack.push_async_callback(_end, watching, asyncio.create_task(guard.run(watching)))
        while not guard.folds:  # noqa: ASYNC110 - its own loop is shorter than what an event would need
            await asyncio.sleep(0.005)
        #: Partition → offset of the last record that was applied.
        self._applied = {n: await self._partitions.acquire(n) - 1 for n in range(topics.partitions)}
        app = build_gateway(settings, self.log, self._channels, self.client, self._clock)
        server = InnerServer(http_server(app, settings.gateway.host, settings.gateway.port).config)
        serving = asyncio.create_task(server.serve(sockets=[self._listener]))
        self._stack.push_async_callback(_stop_server, server, serving)
        await server.up.wait()

    async def publish_journeys(self, folder: Path) -> tuple[Program, bool]:
        """Put the folder's journeys into force; True when they changed. Raises JourneysInvalid."""
        files = read_journeys(folder)
        return await publish_program(
            self.client, self.log, self._catalogue, self.settings.topics.events, files, self._clock
        )

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until `stop`. Raises what stops a worker: a wrong partition count, too many poison records in a row."""
        done = asyncio.Event()
        parts = [
            *(self._consume(partition, done) for partition in self._applied),
            self._relays.run(done),
            self._ticker.run(done),
            self._beliefs.run(done),
            self._dispatcher.run(done),
            self._keep_redis(done),
            self._retain(done),
        ]
        tasks = [asyncio.ensure_future(part) for part in parts]
        asked = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({asked, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            done.set()
            asked.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, BaseException):
                raise outcome

    async def settle(self) -> None:
        """Do all work that is due at the clock's time: share what was learned, tick, apply, relay, send.

        Returns when nothing is left. For a clock that stands while this runs. Raises DependencyUnreachable and
        redis.exceptions.RedisError.
        """
        await self._beliefs.when_due()
        await self._ticker.once()
        while True:
            moved = 0
            for partition in self._applied:
                while self._applied[partition] < await self.log.end(self.settings.topics.events, partition):
                    moved += await self._take(partition)
            for partition in self._applied:
                moved += await self._relay.drain(partition)
            moved += await self._dispatcher.run_once()
            if not moved:
                return

    async def next_due(self) -> int | None:
        """When the earliest wait ends or the earliest planned send may go, in ms UTC; None when nothing waits."""
        async with self.client.pipeline(transaction=False) as pipe:
            for partition in self._applied:
                pipe.zrange(keys.timers(partition), 0, 0, withscores=True)
                pipe.zrange(keys.planned(partition), 0, 0, withscores=True)
            found = await pipe.execute()
        return min((int(entry[0][1]) for entry in found if entry), default=None)

    async def _consume(self, partition: int, done: asyncio.Event) -> None:
        while not done.is_set():
            try:
                await self._take(partition)
            except DependencyUnreachable:
                # The server is being brought back; nothing was skipped, for the position lies with the state.
                await asyncio.sleep(AWAY)

    async def _take(self, partition: int) -> int:
        """Read and apply what comes next; returns the number of records."""
        topic = self.settings.topics.events
        records = await self.log.read(topic, partition, self._applied[partition], FETCH)
        if records:
            await self._partitions.apply(partition, records)
            self._applied[partition] = records[-1].offset
        return len(records)

    async def _keep_redis(self, done: asyncio.Event) -> None:
        """A server that died comes back on its data, without a person."""
        while not done.is_set():
            if self.redis.pid is None:
                logger.error("the Redis server ended; starting it again")
                try:
                    await asyncio.to_thread(self.redis.start)
                except DependencyUnreachable as problem:
                    logger.error("%s", problem)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), WATCH)

    async def _retain(self, done: asyncio.Event) -> None:
        topics = self.settings.topics
        while not done.is_set():
            since = round((time.time() - topics.retention) * 1000)
            try:
                for partition, applied in self._applied.items():
                    await trim_older(self.log, topics.events, partition, since, keep_from=applied + 1)
                for topic in (topics.decisions, topics.dead):
                    for partition in range(await self.log.partitions(topic)):
                        end = await self.log.end(topic, partition)
                        await trim_older(self.log, topic, partition, since, keep_from=end + 1)
            except (DependencyUnreachable, RedisError) as problem:
                logger.warning("old records stay a while longer: %s", problem)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), RETENTION_ROUND)


async def _end(told: asyncio.Event, task: asyncio.Task[None]) -> None:
    told.set()
    await task


async def _stop_server(server: InnerServer, serving: asyncio.Task[None]) -> None:
    server.should_exit = True
    await serving
