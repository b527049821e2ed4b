"""No send goes out twice because Redis went back in time.

A Redis that was restarted, failed over or restored may have forgotten claims; its rows look planned again. So a
dispatcher's connections are refused until the server behind them is known, and a server becomes known only after the
journal of claims was folded back into it. A server is known by its run id and replication id: both change when another
process answers or a replica is promoted, and a new process means a new connection, so no command slips past.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from orchestrator.errors import DependencyUnreachable
from orchestrator.ports import Clock
from orchestrator.runtime.journal import Journal
from orchestrator.runtime.reconcile import fold_journal
from orchestrator.settings import Settings
from orchestrator.stores.client import connect
from orchestrator.stores.outbox import Outbox

log = logging.getLogger(__name__)

#: Seconds between looks while a server is not known, or not there.
LOOK_EVERY = 0.25


class UnknownServer(RedisConnectionError):
    """The server behind a new connection has not been compared with the journal yet; it will be, shortly."""


class RollbackGuard:
    """Lends a client whose every connection goes to a server that knows all journalled claims."""

    def __init__(self, settings: Settings, journal: Journal, clock: Clock) -> None:
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._known = ""
        self._asked = asyncio.Event()
        #: How often a server was folded into, the start included.
        self.folds = 0

    def client(self) -> redis.asyncio.Redis:
        """A client that answers only from a known server; commands fail with UnknownServer meanwhile."""
        return connect(self._settings.redis, on_connect=self._verify)

    async def run(self, stop: asyncio.Event) -> None:
        """Make servers known whenever one is not, until `stop`."""
        plain = connect(self._settings.redis)
        try:
            while not stop.is_set():
                try:
                    if await _identity_of(plain) != self._known:
                        await self._fold(plain)
                except (RedisError, OSError, DependencyUnreachable) as error:
                    log.warning("Redis or the journal does not answer, no send is claimed: %s", error)
                self._asked.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._asked.wait(), LOOK_EVERY)
        finally:
            await plain.aclose()

    async def _fold(self, plain: redis.asyncio.Redis) -> None:
        identity = await _identity_of(plain)
        store = Outbox(plain, topic=self._settings.topics.events)
        shared_now = await store.shared_now()
        since = shared_now - round(self._settings.dispatcher.fold_window * 1000)
        next_look = shared_now + round(self._settings.dispatcher.reconcile_after * 1000)
        changed = 0
        for partition in range(self._settings.topics.partitions):
            changed += await fold_journal(
                store, self._journal, partition, since, now=self._clock.now(), next_look=next_look
            )
        if await _identity_of(plain) == identity:
            self._known = identity
            self.folds += 1
            if changed:
                log.error("Redis had forgotten %d claimed sends; the journal has told it again", changed)

    async def _verify(self, connection: Any) -> None:
        await connection.on_connect()
        if await _ask(connection) != self._known:
            self._asked.set()
            raise UnknownServer("this Redis has not been compared with the journal of sends yet")


async def _identity_of(client: redis.asyncio.Redis) -> str:
    server, replication = await client.info("server"), await client.info("replication")
    return f"{server['run_id']}/{replication['master_replid']}"


async def _ask(connection: Any) -> str:
    found: dict[str, str] = {}
    for section in ("server", "replication"):
        await connection.send_command("INFO", section)
        answer = await connection.read_response()
        text = answer.decode() if isinstance(answer, bytes) else str(answer)
        for line in text.splitlines():
            name, _, value = line.partition(":")
            found[name] = value
    return f"{found['run_id']}/{found['master_replid']}"
