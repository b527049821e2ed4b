"""The processes under measurement, each started as `python -m benchmarks.processes NAME`, settings by environment.

    worker       the production worker: `serve_worker`, nothing added
    per_message  the baseline: a plain Faust agent that does the same work one message at a time
    dispatcher   the production dispatcher with three channels that answer "sent" at once
    watch        notes when each partition's committed offset and clock moved, as a client of Redis

`BENCHMARK_PROFILE=file` writes a cProfile of the process there.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import redis
from pydantic import BaseModel

from orchestrator import settings as configuration
from orchestrator.contracts.messages import ADDRESS_OF_CHANNEL, OutgoingMessage
from orchestrator.contracts.receipts import Callback, Feedback, Outcome, Receipt
from orchestrator.runtime.clock import FastClock
from orchestrator.runtime.dispatcher_process import build_dispatcher
from orchestrator.runtime.journal import KafkaJournal
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.runtime.signals import stop_on_signals
from orchestrator.settings import Settings
from orchestrator.stores import keys
from orchestrator.stores.client import connect

#: Seconds between two looks of `watch`: bounds what it adds to a latency.
LOOK_EVERY = 0.001


async def worker(settings: Settings, stop: asyncio.Event) -> None:
    from orchestrator.runtime.worker import serve_worker

    await serve_worker(settings, stop)


async def per_message(settings: Settings, stop: asyncio.Event) -> None:
    from benchmarks.per_message import serve

    await serve(settings, stop)


class NullChannel:
    """Takes every message and answers at once."""

    # Class variables in the port; here each instance serves another channel.
    name: Any
    channel: Any
    address: Any

    class Settings(BaseModel):
        """Nothing to set."""

    def __init__(self, channel: str) -> None:
        self.name = f"null_{channel}"
        self.channel = channel
        self.address = ADDRESS_OF_CHANNEL[channel]

    def build(self, message: OutgoingMessage) -> OutgoingMessage:
        return message

    async def send(self, request: OutgoingMessage) -> Receipt:
        return Receipt(Outcome.SENT, provider_id=request.send_id)

    def verify(self, callback: Callback) -> None:
        """Nobody calls back."""

    def parse(self, callback: Callback) -> tuple[Feedback, ...]:
        return ()

    async def close(self) -> None:
        """Nothing is open."""


async def dispatcher(settings: Settings, stop: asyncio.Event) -> None:
    client = connect(settings.redis)
    log = KafkaLog(settings.kafka)
    journal = KafkaJournal(log, settings.topics.sends)
    # The storm lies an hour ahead of the wall clock.
    clock = FastClock(int(os.environ["BENCHMARK_CLOCK"]))
    channels: dict[str, Any] = {one.name: one for one in map(NullChannel, ("email", "sms", "push"))}
    try:
        await build_dispatcher(settings, client, log, journal, clock, channels).run(stop)
    finally:
        await journal.close()
        await log.close()
        await client.aclose()


async def watch(settings: Settings, stop: asyncio.Event) -> None:
    """Write [ns, partition, offset, clock] of every change to the file that BENCHMARK_OUTPUT names."""
    moves: list[tuple[int, int, int, int]] = []
    partitions = range(settings.topics.partitions)
    last = [(-2, -2)] * len(partitions)
    with redis.Redis.from_url(settings.redis.url.get_secret_value()) as client:
        looks = client.pipeline(transaction=False)
        while not stop.is_set():
            for partition in partitions:
                looks.hmget(keys.meta(partition), "offset", "clock")
            found = looks.execute()
            at = time.time_ns()
            for partition, (offset, clock) in enumerate(found):
                here = int(-1 if offset is None else offset), int(clock or 0)
                if here != last[partition]:
                    last[partition] = here
                    moves.append((at, partition, *here))
            await asyncio.sleep(LOOK_EVERY)
    await asyncio.to_thread(Path(os.environ["BENCHMARK_OUTPUT"]).write_text, json.dumps(moves))


PROCESSES: dict[str, Callable[[Settings, asyncio.Event], Awaitable[None]]] = {
    "worker": worker,
    "per_message": per_message,
    "dispatcher": dispatcher,
    "watch": watch,
}


async def _main(name: str) -> None:
    await PROCESSES[name](configuration.load(), stop_on_signals())


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    profile = os.environ.get("BENCHMARK_PROFILE")
    if not profile:
        asyncio.run(_main(sys.argv[1]))
        return
    with cProfile.Profile() as profiler:
        asyncio.run(_main(sys.argv[1]))
    profiler.dump_stats(profile)


if __name__ == "__main__":
    main()
