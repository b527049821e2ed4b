"""One attempt of one send, from the claim to its settlement. This is the only road to a provider.

    claim → suppression and kill switch → render → build → a place under rate limit and breaker → journal
          → suppression, kill switch and deadline again → provider → settle

Until the provider is called, everything that goes wrong means "certainly not sent". From the first byte on, only the
adapter's classification says so; every surprise is `unknown`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from orchestrator.contracts.messages import Content, OutboxRow, OutgoingMessage
from orchestrator.contracts.receipts import Next, Outcome, Receipt
from orchestrator.errors import DependencyUnreachable, MessageRefused, OrchestratorError, TemplateFailed
from orchestrator.language.program import MessageTemplate
from orchestrator.ports import Channel, Clock
from orchestrator.runtime.journal import Entry, Journal
from orchestrator.runtime.provider_limits import Admission, ProviderLimits
from orchestrator.runtime.render_pool import Renderer
from orchestrator.stores import outbox
from orchestrator.stores.outbox import Claim, Outbox, Settlement
from orchestrator.stores.recipients import Recipients
from orchestrator.stores.suppression import Gate, Suppression

log = logging.getLogger(__name__)

#: Ms (of the product's clock) a row waits that a kill switch, a missing provider or a failing dependency holds back.
HOLD = 5_000
#: Pauses between retries: full jitter below BASE * 2^tries, at most CAP (ms of the product's clock).
BASE = 2_000
CAP = 600_000
#: Longest template error kept for the marketer.
REASON_LENGTH = 300

TemplateOf = Callable[[OutboxRow], Awaitable[MessageTemplate | None]]


def boottime() -> float:
    """Seconds since boot, suspended time included where the system can tell: a frozen machine's claim runs out too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim with its limits."""

    claim: Claim
    #: `boottime()` after which no provider call may start: the call would outlive the claim.
    start_until: float
    #: `boottime()` at which the claim itself ends.
    ends: float
    #: When an outcome that stays unknown is looked at again, in ms of the outbox's shared clock.
    next_look: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A send that is ready for its provider."""

    channel: Channel[Any]
    request: Any
    admission: Admission


class Attempts:
    """Makes attempts. While `stopping()` is true, those that have not reached their provider are put back instead."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        suppression: Suppression,
        recipients: Recipients,
        journal: Journal,
        limits: ProviderLimits,
        channels: Mapping[str, Channel[Any]],
        template_of: TemplateOf,
        renderer: Renderer,
        clock: Clock,
        unsubscribe_url: Callable[[OutboxRow], str],
        callback_url: Callable[[OutboxRow, str], str],
        health_changed: Callable[[], Awaitable[None]],
        call_timeout: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.stopping: Callable[[], bool] = lambda: False
        self._outbox = outbox
        self._suppression = suppression
        self._recipients = recipients
        self._journal = journal
        self._limits = limits
        self._channels = channels
        self._template_of = template_of
        self._renderer = renderer
        self._clock = clock
        self._unsubscribe_url = unsubscribe_url
        self._callback_url = callback_url
        self._health_changed = health_changed
        self._call_timeout = call_timeout
        self._chance = chance

    async def make(self, lease: Lease) -> bool:
        """Attempt one claimed send and settle it. False when it was only put back, because something holds it.

        Never raises for what a template, an adapter or a service does.
        """
        row = lease.claim.row
        try:
            prepared = await self._prepare(lease)
        except (RedisError, OrchestratorError, OSError) as error:
            # Fail closed: whoever cannot ask whether he may send does not send.
            told = error if isinstance(error, OrchestratorError) else type(error).__name__
            log.warning("send %s held back: %s", row.send_id, told)
            prepared = self._hold("dependency")
        except Exception:
            # A fault of ours: the row waits for the repair as long as it is worth sending.
            log.exception("send %s could not be prepared", row.send_id)
            prepared = self._hold("internal", 12 * HOLD)
        if isinstance(prepared, Settlement):
            await self._settle(lease, prepared)
            return prepared.status != "planned"
        receipt = await self._call(prepared, row.send_id)
        provider = prepared.channel.name
        settlement = self._classify(lease, provider, receipt)
        await asyncio.gather(
            self._journal_outcome(lease, provider, receipt),
            self._learn(prepared, row, receipt),
            self._settle(lease, settlement),
        )
        return True

    # --- before the provider ----------------------------------------------------------------------------------------

    async def _prepare(self, lease: Lease) -> Prepared | Settlement:
        row = lease.claim.row
        if refusal := self._refusal(await self._gate(row)):
            return refusal
        template = await self._template_of(row)
        if template is None:
            return outbox.failed("template", f"message {row.message} of version {row.version} does not exist")
        serving = [one for one in self._channels.values() if one.channel == row.channel]
        if not serving:
            return self._hold("no_provider", 12 * HOLD)
        unsubscribe_url = "" if row.purpose == "service" else self._unsubscribe_url(row)
        try:
            content = await self._renderer.render(
                template,
                row.channel,
                row.facts,
                purpose=row.purpose,
                unsubscribe_url=unsubscribe_url,
                locale=row.locale,
            )
        except TemplateFailed as error:
            return outbox.failed("template", str(error)[:REASON_LENGTH])
        prepared = await self._choose(row, serving, content, unsubscribe_url)
        if isinstance(prepared, Settlement):
            return prepared
        if prepared.admission.wait:
            await asyncio.sleep(prepared.admission.wait / 1000)
        entry = self._entry("claim", lease, prepared.channel.name)
        await asyncio.gather(
            self._journal.write(entry),
            self._recipients.remember(row.send_id, row.customer, row.address),
            self._outbox.note_provider(lease.claim, prepared.channel.name),
        )
        # The last word before the first byte: a STOP that came meanwhile, a switch, a claim that ran out in a freeze.
        refusal = self._refusal(await self._gate(row))
        if refusal is None and self.stopping():
            refusal = outbox.put_back(self._clock.now() + 1, "stopping")
        if refusal is None and boottime() > lease.start_until:
            refusal = self._hold("claim_ran_out")
        if refusal is None:
            return prepared
        await self._journal_outcome(lease, prepared.channel.name, Receipt(Outcome.NOT_SENT))
        return refusal

    async def _gate(self, row: OutboxRow) -> Gate:
        return await self._suppression.gate(row.address, purpose=row.purpose, journey=row.journey, channel=row.channel)

    def _refusal(self, gate: Gate) -> Settlement | None:
        if gate.suppressed:
            return outbox.suppressed(gate.suppressed)
        if gate.killed:
            return self._hold(f"kill:{gate.killed}")
        return None

    def _hold(self, code: str, wait: int = HOLD) -> Settlement:
        """Back to planned, not counted as a try; a little jitter keeps held rows from coming back in one wave."""
        return outbox.put_back(self._clock.now() + 1 + round(wait * (1 + self._chance()) / 2), code)

    async def _choose(
        self, row: OutboxRow, serving: list[Channel[Any]], content: Content, unsubscribe_url: str
    ) -> Prepared | Settlement:
        """The first provider that can make a request of it, is well, and has a place."""
        waits: list[tuple[int, str]] = []
        refused: Settlement | None = None
        for channel in serving:
            message = OutgoingMessage(
                send_id=row.send_id,
                channel=row.channel,
                to=row.address,
                content=content,
                purpose=row.purpose,
                unsubscribe_url=unsubscribe_url,
                callback_url=self._callback_url(row, channel.name),
                ttl=max(1, (row.not_after - self._clock.now()) // 1000),
            )
            try:
                request = channel.build(message)
            except MessageRefused as error:
                # Push addresses come in kinds, each for one provider: the next one may take what this one cannot.
                dead = error.code == "invalid_address"
                refused = outbox.failed(error.code, str(error), provider=channel.name, permanent=dead)
                continue
            except Exception as error:
                # The text of an unforeseen error may quote the address; its type does not.
                log.error("adapter %s cannot build send %s: %s", channel.name, row.send_id, type(error).__name__)
                refused = outbox.failed("build", type(error).__name__, provider=channel.name)
                continue
            admission = await self._limits.admit(channel.name)
            if admission.admitted:
                return Prepared(channel, request, admission)
            waits.append((admission.wait, "breaker_open" if admission.verdict == "open" else "rate_limit"))
        if not waits:
            assert refused is not None, "every provider either refused, was admitted, or must be waited for"
            return refused
        wait, code = min(waits)
        return self._hold(code, wait)

    # --- the provider, and after ------------------------------------------------------------------------------------

    async def _call(self, prepared: Prepared, send_id: str) -> Receipt:
        try:
            async with asyncio.timeout(self._call_timeout):
                return await prepared.channel.send(prepared.request)
        except TimeoutError:
            return Receipt(Outcome.UNKNOWN, code="timeout")
        except Exception:
            log.exception("adapter %s raised on send %s", prepared.channel.name, send_id)
            return Receipt(Outcome.UNKNOWN, code="adapter_error")

    def _classify(self, lease: Lease, provider: str, receipt: Receipt) -> Settlement:
        now = self._clock.now()
        if receipt.outcome is Outcome.SENT:
            return outbox.sent(provider, receipt.provider_id)
        if receipt.outcome is Outcome.UNKNOWN:
            return outbox.unknown(receipt.code, lease.next_look, provider=provider)
        if receipt.next is Next.RETRY:
            pause = self._chance() * min(CAP, BASE * 2 ** min(lease.claim.tries, 30))
            if receipt.retry_after is not None:
                pause += receipt.retry_after * 1000
            not_before = now + 1 + round(pause)
            if not_before > lease.claim.row.not_after:
                return outbox.expired(receipt.code, provider=provider, tried=True)
            return outbox.put_back(not_before, receipt.code, provider=provider, tried=True)
        if receipt.next is Next.SUPPRESS:
            dead = receipt.code != "unsubscribed" or lease.claim.row.channel == "push"
            return outbox.suppressed(receipt.code, code=receipt.code, provider=provider, tried=True, permanent=dead)
        if receipt.next is Next.PARK:
            return outbox.parked(receipt.code, now, provider=provider)
        return outbox.failed(receipt.code, receipt.detail, provider=provider, tried=True)

    async def _journal_outcome(self, lease: Lease, provider: str, receipt: Receipt) -> None:
        if receipt.outcome is Outcome.UNKNOWN:
            return
        kind = "sent" if receipt.outcome is Outcome.SENT else "not_sent"
        try:
            await self._journal.write(self._entry(kind, lease, provider, receipt.provider_id))
        except DependencyUnreachable:
            # The claim is journalled; without this line a rolled-back Redis calls the send unknown, which is honest.
            log.warning("outcome of send %s is not journalled", lease.claim.row.send_id)

    async def _learn(self, prepared: Prepared, row: OutboxRow, receipt: Receipt) -> None:
        try:
            if receipt.outcome is Outcome.NOT_SENT and receipt.next is Next.SUPPRESS:
                await self._suppression.suppress(row.address, reason=receipt.code)
            if await self._limits.learn(prepared.channel.name, prepared.admission, receipt):
                await self._health_changed()
        except (RedisError, DependencyUnreachable, OSError) as error:
            log.warning("health of %s is not recorded: %s", prepared.channel.name, type(error).__name__)
        except Exception:
            # Whoever is told of the change (a callback of the caller's) must not keep a send from being settled.
            log.exception("health of %s is not recorded", prepared.channel.name)

    async def _settle(self, lease: Lease, settlement: Settlement) -> None:
        """Record the outcome; while Redis is away, until the claim ends. Then the claim is reaped as unknown."""
        claim, pause = lease.claim, 0.05
        while True:
            try:
                settled = await self._outbox.settle(claim, settlement, self._clock.now())
                if not settled.accepted:
                    await self._late(claim, settlement, settled.status, settled.attempt)
                return
            except (RedisError, OSError) as error:
                if boottime() + pause > lease.ends:
                    log.error("outcome of send %s is lost: %s", claim.row.send_id, type(error).__name__)
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, 1.0)

    async def _late(self, claim: Claim, settlement: Settlement, status: str, attempt: int) -> None:
        """The claim was given up before we answered. What we know still helps: it resolves the unknown."""
        log.warning("late answer for send %s: %s, found %s", claim.row.send_id, settlement.status, status)
        now = self._clock.now()
        if settlement.status == "sent":
            await self._outbox.confirm(claim.partition, claim.row.send_id, settlement, now)
        elif settlement.status != "unknown" and status == "unknown" and attempt == claim.attempt:
            state = await self._outbox.read(claim.partition, claim.row.send_id)
            if state is not None:
                await self._outbox.resolve(state, settlement, now, cleared=True)

    def _entry(self, kind: Any, lease: Lease, provider: str, provider_id: str = "") -> Entry:
        claim = lease.claim
        return Entry(
            kind=kind,
            send_id=claim.row.send_id,
            partition=claim.partition,
            attempt=claim.attempt,
            at=time.time_ns() // 1_000_000,
            customer=claim.row.customer,
            channel=claim.row.channel,
            provider=provider,
            provider_id=provider_id,
        )
