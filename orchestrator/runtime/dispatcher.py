"""The dispatcher: takes planned sends of all partitions and makes attempts, a bounded number at a time.

Any number of dispatchers may run; a claim belongs to one of them until its deadline. What a dead one leaves behind
becomes `unknown` and is reconciled (`reconcile.py`). One attempt is `attempt.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from orchestrator import settings as configuration
from orchestrator.contracts.messages import OutboxRow
from orchestrator.errors import DependencyUnreachable, SettingsInvalid
from orchestrator.ports import Channel, Clock
from orchestrator.runtime.attempt import Attempts, Lease, TemplateOf, boottime
from orchestrator.runtime.journal import Journal
from orchestrator.runtime.provider_limits import ProviderLimits, Rate
from orchestrator.runtime.reconcile import Reconciler
from orchestrator.runtime.render_pool import Renderer, RenderHere
from orchestrator.stores.outbox import RETENTION, Outbox
from orchestrator.stores.recipients import Recipients
from orchestrator.stores.suppression import Suppression

log = logging.getLogger(__name__)

#: Seconds of real time. Pause of an idle loop; after rows that only had to be put back; after a call ended while all
#: places were taken, so that a claim takes several rows; while Redis is away; between two looks at sends in doubt.
IDLE = 0.05
HELD = 0.02
GATHER = 0.005
AWAY = 1.0
UPKEEP = 1.0


async def _nobody(channels: frozenset[str]) -> None:
    """Nobody wants to know about channels' health."""


class Dispatcher:
    """Sends what the outbox holds.

    `channels` maps a provider's name to its adapter, in order of preference. `clock` is the product's clock (it may be
    accelerated): not-before, not-after and pauses between retries follow it. Claims' deadlines, timeouts, rate limits
    and breakers are real time. `seed` keys the hashes of addresses. `template_of` finds a row's message in the program
    of the row's version, `renderer` makes its content (in this process when none is given). `health_changed` is told
    the channels none of whose providers may be called, when a breaker opens or closes.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        partitions: int,
        channels: Mapping[str, Channel[Any]],
        journal: Journal,
        template_of: TemplateOf,
        clock: Clock,
        seed: str,
        settings: configuration.Dispatcher | None = None,
        renderer: Renderer | None = None,
        unsubscribe_url: Callable[[OutboxRow], str] = lambda row: "",
        callback_url: Callable[[OutboxRow, str], str] = lambda row, provider: "",
        health_changed: Callable[[frozenset[str]], Awaitable[None]] = _nobody,
        topic: str = "events",
        retention: int = RETENTION,
        call_timeout: float = 30.0,
        limits: ProviderLimits | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings or configuration.Dispatcher()
        if call_timeout >= self._settings.claim:
            raise SettingsInvalid(
                f"a claim of {self._settings.claim} s is shorter than a provider call of up to {call_timeout} s",
                fix="raise dispatcher.claim",
            )
        self._partitions = partitions
        self._channels = channels
        self._clock = clock
        self._call_timeout = call_timeout
        self._report_health = health_changed
        self._outbox = Outbox(redis, topic=topic, retention=retention)
        self._suppression = Suppression(redis, seed)
        self._limits = limits or ProviderLimits(
            redis, {name: Rate(per_second) for name, per_second in self._settings.rates.items()}
        )
        self._renderer = renderer or RenderHere()
        self._attempts = Attempts(
            outbox=self._outbox,
            suppression=self._suppression,
            recipients=Recipients(redis, seed),
            journal=journal,
            limits=self._limits,
            channels=channels,
            template_of=template_of,
            renderer=self._renderer,
            clock=clock,
            unsubscribe_url=unsubscribe_url,
            callback_url=callback_url,
            health_changed=self._health_changed,
            call_timeout=call_timeout,
            chance=chance,
        )
        wait = round(self._settings.reconcile_after * 1000)
        self._reconciler = Reconciler(self._outbox, channels, clock, partitions=partitions, wait=wait)
        self._name = f"d-{secrets.token_hex(6)}"
        self._claims = itertools.count()
        self._first = 0
        self._held = False

    async def close(self) -> None:
        """End what renders messages."""
        await self._renderer.close()

    async def run_once(self) -> int:
        """Make every attempt that may be made at this moment of the clock; returns how many claims were taken.

        For embedded and virtual time. Raises redis.exceptions.RedisError when Redis is away.
        """
        await self._reconciler.run_once()
        now = self._clock.now()
        made = 0
        while await self._outbox.ready(self._partitions, now) and "all" not in await self._suppression.kills():
            leases = await self._take(now, self._settings.concurrency)
            await asyncio.gather(*(self._attempts.make(lease) for lease in leases))
            made += len(leases)
        return made

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish the calls under way and put back what has not reached a provider."""
        self._attempts.stopping = stop.is_set
        stopping = asyncio.create_task(stop.wait())
        upkeep = asyncio.create_task(self._upkeep())
        running: set[asyncio.Task[bool]] = set()
        try:
            while not stop.is_set():
                running |= await self._start_some(self._settings.concurrency - len(running))
                if len(running) >= self._settings.concurrency:
                    await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.sleep(HELD if self._held else GATHER)
                else:
                    await asyncio.wait({stopping}, timeout=HELD if self._held else IDLE)
                self._held = False
                running = {task for task in running if not task.done()}
        finally:
            self._attempts.stopping = lambda: True
            upkeep.cancel()
            stopping.cancel()
            if running:
                await asyncio.wait(running, timeout=self._call_timeout + AWAY)
            with contextlib.suppress(asyncio.CancelledError):
                await upkeep

    async def _start_some(self, free: int) -> set[asyncio.Task[bool]]:
        try:
            if free <= 0 or "all" in await self._suppression.kills():
                return set()
            return {asyncio.create_task(self._make(lease)) for lease in await self._take(self._clock.now(), free)}
        except (RedisError, OSError) as error:
            log.warning("the outbox cannot be read: %s", type(error).__name__)
            await asyncio.sleep(AWAY)
            return set()

    async def _make(self, lease: Lease) -> bool:
        went = await self._attempts.make(lease)
        self._held = self._held or not went
        return went

    async def _take(self, now: int, limit: int) -> list[Lease]:
        """Claim up to `limit` rows; partitions take turns at being first."""
        leases: list[Lease] = []
        ready = await self._outbox.ready(self._partitions, now)
        self._first += 1
        for place in range(len(ready)):
            if len(leases) >= limit:
                break
            partition = ready[(self._first + place) % len(ready)]
            # Our own clock starts before Redis' does, so we give the claim up before anybody else may.
            began = boottime()
            shared_now = await self._outbox.shared_now()
            claims = await self._outbox.claim(
                partition,
                now,
                limit - len(leases),
                f"{self._name}-{next(self._claims)}",
                shared_now + round(self._settings.claim * 1000),
            )
            leases += [
                Lease(
                    claim=claim,
                    start_until=began + self._settings.claim - self._call_timeout,
                    ends=began + self._settings.claim,
                    next_look=shared_now + round(self._settings.reconcile_after * 1000),
                )
                for claim in claims
            ]
        return leases

    async def _upkeep(self) -> None:
        while True:
            try:
                await self._reconciler.run_once()
            except (RedisError, OSError) as error:
                log.warning("sends in doubt cannot be looked at: %s", type(error).__name__)
            except Exception:
                log.exception("sends in doubt were not looked at")
            await asyncio.sleep(UPKEEP)

    async def _health_changed(self) -> None:
        open_now = await self._limits.open_breakers(list(self._channels))
        well = {channel.channel for name, channel in self._channels.items() if name not in open_now}
        ill = frozenset(channel.channel for channel in self._channels.values()) - well
        log.warning(
            "breakers open: %s", ", ".join(f"{name} ({why})" for name, why in sorted(open_now.items())) or "none"
        )
        try:
            await self._report_health(ill)
        except DependencyUnreachable as error:
            log.warning("the change of health is not published: %s", error)
