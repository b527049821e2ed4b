"""Sends whose outcome nobody told us: callback, look-up, policy, and the journal after a roll-back."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sends import HOUR, START, Clock, MemoryJournal, dispatcher, plan, row, state, told, until

from orchestrator.contracts.receipts import FeedbackKind, Outcome, Receipt
from orchestrator.runtime.journal import FileJournal
from orchestrator.runtime.reconcile import Reconciler, fold_journal, resolve_from_feedback
from orchestrator.stores import keys
from orchestrator.stores.outbox import Outbox
from orchestrator.testing.recording_channel import RecordingChannel

NO_ANSWER = Receipt(Outcome.UNKNOWN, code="timeout")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FeedbackKind.DELIVERED, "sent"),
        (FeedbackKind.BOUNCED, "sent"),
        (FeedbackKind.FAILED, "failed"),
        (FeedbackKind.UNKNOWN, "unknown"),
    ],
)
async def test_the_callback_settles_the_unknown(redis_client: Redis, kind: FeedbackKind, status: str) -> None:
    channel = RecordingChannel()
    channel.answer_with(NO_ANSWER)
    await plan(redis_client, row())
    await dispatcher(redis_client, channel, reconcile_after=900).run_once()
    await resolve_from_feedback(Outbox(redis_client), "s1", 0, kind, START, provider="p", provider_id="m1")
    assert (await state(redis_client)).status == status


async def test_a_callback_cancels_the_retry(redis_client: Redis) -> None:
    clock, channel = Clock(), RecordingChannel()
    channel.answer_with(NO_ANSWER)
    await plan(redis_client, row(on_unknown="retry"))
    sender = dispatcher(redis_client, channel, clock=clock)
    await sender.run_once()
    store = Outbox(redis_client)
    clock.at += 1_000
    # Policy plans it again; before it goes, the provider reports the first one delivered.
    await Reconciler(store, {}, clock, partitions=1, wait=0).run_once()
    assert (await state(redis_client)).status == "planned"
    await resolve_from_feedback(store, "s1", 0, FeedbackKind.DELIVERED, clock.at)
    await sender.run_once()
    assert channel.attempts("s1") == 1
    assert (await state(redis_client)).status == "sent"


class Asking(RecordingChannel):
    """A provider that can be asked."""

    knows: Any = None

    async def lookup(self, send_id: str, to: Any, since: int) -> Receipt | None:
        assert (to, since) == (f"{send_id}@example.com", START)
        if isinstance(self.knows, Exception):
            raise self.knows
        found: Receipt | None = self.knows
        return found


@pytest.mark.parametrize(
    ("knows", "status", "attempts", "doubts"),
    [
        (Receipt(Outcome.SENT, provider_id="m9"), "sent", 1, 1),
        (Receipt(Outcome.NOT_SENT), "sent", 2, 0),
        (None, "unknown", 1, 1),
        (RuntimeError("look-up is down"), "unknown", 1, 1),
    ],
)
async def test_the_provider_is_asked_before_policy_decides(
    redis_client: Redis, knows: Any, status: str, attempts: int, doubts: int
) -> None:
    channel = Asking()
    channel.knows = knows
    channel.answer_with(NO_ANSWER)
    await plan(redis_client, row())
    sender = dispatcher(redis_client, channel)
    for _ in range(3):
        await sender.run_once()
    found = await state(redis_client)
    assert (found.status, channel.attempts("s1"), found.doubts) == (status, attempts, doubts)


async def test_a_provider_that_never_got_it_too_late_to_send_again(redis_client: Redis) -> None:
    clock, channel = Clock(), Asking()
    channel.knows = Receipt(Outcome.NOT_SENT)
    channel.answer_with(NO_ANSWER)
    await plan(redis_client, row())
    sender = dispatcher(redis_client, channel, clock=clock)
    await sender.run_once()
    clock.at += 49 * HOUR
    await sender.run_once()
    assert (await state(redis_client)).status == "expired"
    assert [event.type for event in await told(redis_client)] == ["message_failed"]


KILLED = """
import asyncio, sys
sys.path[:0] = [sys.argv[2]]
from pathlib import Path
from redis.asyncio import Redis
from sends import dispatcher
from orchestrator.runtime.journal import FileJournal
from orchestrator.testing.recording_channel import RecordingChannel

async def hang(message):
    print("called", flush=True)
    await asyncio.Event().wait()

async def main():
    channel = RecordingChannel()
    channel.answer_with(hang)
    sender = dispatcher(
        Redis.from_url(sys.argv[1]), channel, journal=FileJournal(Path(sys.argv[3])), claim=1.0, call_timeout=0.9
    )
    await sender.run(asyncio.Event())

asyncio.run(main())
"""


@pytest.mark.parametrize(("policy", "attempts_after"), [("drop", 0), ("retry", 1)])
async def test_a_dispatcher_killed_inside_a_call(
    redis_client: Redis, redis_url: str, tmp_path: Path, policy: str, attempts_after: int
) -> None:
    """SIGKILL after the first byte: unknown when the claim runs out, then the step's policy."""
    await plan(redis_client, row(on_unknown=policy))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        KILLED,
        redis_url,
        str(Path(__file__).parent),
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"called\n"
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    known = await state(redis_client)
    assert (known.status, known.provider) == ("sending", "recording")
    assert [one.kind for one in await FileJournal(tmp_path).read(0, 0)] == ["claim"]

    channel = RecordingChannel()
    sender = dispatcher(redis_client, channel)

    async def settled() -> bool:
        await sender.run_once()
        return await redis_client.zcard(keys.sending(0)) + await redis_client.zcard(keys.unknown(0)) == 0

    await until(settled)
    await sender.run_once()
    assert channel.attempts("s1") == attempts_after
    found = await state(redis_client)
    assert (found.status, found.doubts) == ("unknown" if policy == "drop" else "sent", 1)


async def test_after_a_roll_back_the_journal_keeps_sends_from_going_twice(redis_client: Redis) -> None:
    """Redis is put back to the moment before the sends; the replay plans them again; none goes out twice."""
    channel, journal = RecordingChannel(), MemoryJournal()
    channel.answer_with(Receipt(Outcome.SENT, provider_id="m1"), NO_ANSWER, Receipt(Outcome.NOT_SENT, code="http_400"))
    rows = [row("sent"), row("doubt"), row("refused"), row("untouched", not_before=START + HOUR)]
    await plan(redis_client, *rows)
    clock = Clock()
    await dispatcher(redis_client, channel, journal=journal, concurrency=1, reconcile_after=900).run_once()
    # Attempts go in the order of their ids when their times are equal.
    outcomes = {message.send_id for message in channel.sent}
    assert outcomes == {"sent", "doubt", "refused"}
    gone = {entry.send_id: entry.kind for entry in journal.entries}

    await redis_client.flushdb()
    folded = await fold_journal(Outbox(redis_client), journal, 0, 0, now=START, next_look=START * 2)
    assert folded == 2
    assert await fold_journal(Outbox(redis_client), journal, 0, 0, now=START, next_look=START * 2) == 0
    await plan(redis_client, *rows)
    again = RecordingChannel()
    clock.at += HOUR
    await dispatcher(redis_client, again, clock=clock, journal=journal, reconcile_after=900).run_once()
    not_sent = next(send_id for send_id, kind in gone.items() if kind == "not_sent")
    assert sorted(message.send_id for message in again.sent) == sorted([not_sent, "untouched"])
