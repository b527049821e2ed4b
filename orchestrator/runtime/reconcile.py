"""What becomes of sends whose outcome nobody told us: a claim whose dispatcher died, a call without an answer.

In this order: the provider's own callback (`resolve_from_feedback`), a look-up where the adapter offers one, then the
step's policy: never again (drop), once more (retry), a person decides (park). After Redis went back in time, the
journal of claims says which sends must not be planned afresh (`fold_journal`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from orchestrator.contracts.receipts import FeedbackKind, Outcome, Receipt
from orchestrator.ports import Channel, Clock
from orchestrator.runtime.journal import Entry, Journal
from orchestrator.stores import outbox
from orchestrator.stores.outbox import Outbox, SendState, Settled, Settlement

log = logging.getLogger(__name__)

#: Feedback that proves that the provider took the send. A bounce does: it left us, and came back.
_TAKEN = frozenset(FeedbackKind) - {FeedbackKind.FAILED, FeedbackKind.UNKNOWN}


@runtime_checkable
class LookUp(Protocol):
    """An adapter that can ask its provider about a send."""

    async def lookup(self, send_id: str, to: Any, since: int) -> Receipt | None:
        """What the provider knows of a send to `to`, decided at `since` (ms): SENT, NOT_SENT, None = it cannot tell."""
        ...


async def resolve_from_feedback(
    store: Outbox,
    send_id: str,
    partition: int,
    kind: FeedbackKind,
    now: int,
    *,
    provider: str = "",
    provider_id: str = "",
    reason: str = "",
) -> Settled | None:
    """Settle an open send by what its provider reports later. None when the report says nothing about the outcome.

    A send that is planned again (policy retry) when the first attempt is confirmed does not go out twice. `now` in ms;
    `reason` is the provider's own word for a failure.
    """
    if kind in _TAKEN:
        return await store.confirm(partition, send_id, outbox.sent(provider, provider_id), now)
    if kind is FeedbackKind.FAILED:
        return await store.confirm(partition, send_id, outbox.failed("reported", provider=provider, reason=reason), now)
    return None


class Reconciler:
    """Looks after claims that were given up and sends in doubt, in all partitions."""

    def __init__(
        self, store: Outbox, channels: Mapping[str, Channel[Any]], clock: Clock, *, partitions: int, wait: int
    ) -> None:
        """`wait`: ms a provider's callback is awaited before anything else is tried."""
        self._store = store
        self._channels = channels
        self._clock = clock
        self._partitions = partitions
        self._wait = wait

    async def run_once(self) -> int:
        """One round; returns how many sends changed."""
        changed = 0
        shared_now = await self._store.shared_now()
        for partition in await self._store.overdue(self._partitions, shared_now):
            next_look = shared_now + self._wait
            lost = await self._store.reap(partition, shared_now, now=self._clock.now(), next_look=next_look)
            if lost:
                log.warning("partition %d: %d claims were given up; their sends are unknown", partition, lost)
            changed += lost
        for partition in await self._store.to_reconcile(self._partitions, shared_now):
            for state in await self._store.unknowns(partition, shared_now):
                changed += await self._resolve(state)
        return changed

    async def _resolve(self, state: SendState) -> bool:
        found = await self._look_up(state)
        now = self._clock.now()
        if found is not None and found.outcome is Outcome.SENT:
            settlement = outbox.sent(state.provider, found.provider_id)
            return (await self._store.resolve(state, settlement, now)).accepted
        if found is not None and found.outcome is Outcome.NOT_SENT:
            return (await self._store.resolve(state, _after_clearing(state, now), now, cleared=True)).accepted
        return (await self._store.resolve(state, _by_policy(state, now), now)).accepted

    async def _look_up(self, state: SendState) -> Receipt | None:
        channel = self._channels.get(state.provider)
        if state.row is None or not isinstance(channel, LookUp):
            return None
        try:
            return await channel.lookup(state.send_id, state.row.address, state.row.decided_at)
        except Exception:
            log.exception("look-up of send %s at %s failed", state.send_id, state.provider)
            return None


def _after_clearing(state: SendState, now: int) -> Settlement:
    """The provider never got it: nothing is in doubt any more, so it may go as if new."""
    if state.row is None or now > state.row.not_after:
        return outbox.expired("not_received", provider=state.provider)
    return outbox.put_back(now, "not_received", provider=state.provider)


def _by_policy(state: SendState, now: int) -> Settlement:
    """Nobody will tell. `retry` allows one more attempt, ever; a send without its body cannot be retried."""
    row = state.row
    if row is not None and row.on_unknown == "retry" and state.doubts <= 1 and now <= row.not_after:
        return outbox.put_back(now, "retry_once", provider=state.provider)
    if row is not None and row.on_unknown == "park":
        return outbox.parked("unknown", now, provider=state.provider, tried=False)
    return Settlement("unknown", provider=state.provider, code=state.code or "unknown", reason="never known")


async def fold_journal(store: Outbox, journal: Journal, partition: int, since: int, *, now: int, next_look: int) -> int:
    """Take over from the journal what a rolled-back Redis forgot. Returns how many sends it changed.

    Call it with the partition's dispatchers idle, before the log is replayed. `since`: real time in ms, safely before
    the moment Redis went back to. Repeating it is harmless. `now` and `next_look` as for the outbox.
    """
    last: dict[str, Entry] = {}
    for entry in await journal.read(partition, since):
        known = last.get(entry.send_id)
        # `sent` stands for good; else the later attempt counts, and of one attempt its outcome.
        if known is None or entry.kind == "sent" or (known.kind != "sent" and entry.attempt >= known.attempt):
            last[entry.send_id] = entry
    changed = 0
    for send_id, entry in last.items():
        changed += bool(
            await store.fold(
                partition,
                send_id,
                attempt=entry.attempt,
                outcome="" if entry.kind == "claim" else entry.kind,
                now=now,
                next_look=next_look,
                customer=entry.customer,
                channel=entry.channel,
                provider=entry.provider,
                provider_id=entry.provider_id,
            )
        )
    return changed
