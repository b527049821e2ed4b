"""The dispatcher on real Redis with a recording provider: what goes out, what does not, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from redis.asyncio import Redis
from sends import HOUR, SEED, START, Clock, MemoryJournal, dispatcher, plan, row, state, told, until

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.contracts.receipts import Next, Outcome, Receipt
from orchestrator.errors import MessageRefused, OrchestratorError, SettingsInvalid
from orchestrator.runtime import attempt
from orchestrator.runtime.provider_limits import ProviderLimits
from orchestrator.runtime.reconcile import Reconciler
from orchestrator.stores import keys
from orchestrator.stores.outbox import Outbox
from orchestrator.stores.recipients import Recipients
from orchestrator.stores.suppression import Suppression
from orchestrator.testing.recording_channel import RecordingChannel

RATE_LIMITED = Receipt(Outcome.NOT_SENT, next=Next.RETRY, code="rate_limited", retry_after=0.2)
NO_ANSWER = Receipt(Outcome.UNKNOWN, code="timeout")
REFUSED = Receipt(Outcome.NOT_SENT, next=Next.PARK, code="auth")


async def test_a_planned_row_goes_out_rendered_and_is_told(redis_client: Redis) -> None:
    channel, journal = RecordingChannel(name="mailer"), MemoryJournal()
    await plan(redis_client, row())
    sender = dispatcher(
        redis_client,
        channel,
        journal=journal,
        unsubscribe_url=lambda one: f"https://u.example/{one.send_id}",
        callback_url=lambda one, provider: f"https://c.example/{provider}/{one.send_id}",
    )
    assert await sender.run_once() == 1
    [message] = channel.sent
    assert message.content.subject == "Hello Ada"
    assert "<strong>soap</strong>" in message.content.html
    assert (message.to, message.ttl) == ("s1@example.com", 48 * 3600)
    assert (message.unsubscribe_url, message.callback_url) == ("https://u.example/s1", "https://c.example/mailer/s1")
    assert (await state(redis_client)).status == "sent"
    assert [event.type for event in await told(redis_client)] == ["message_sent"]
    assert journal.kinds() == ["claim", "sent"]
    recipients = Recipients(redis_client, SEED)
    assert await recipients.customer_of("s1") == "customer-s1"
    assert await recipients.last_send_to("S1@Example.com ") == "s1"
    assert await sender.run_once() == 0


async def test_service_mail_carries_no_unsubscribe_link(redis_client: Redis) -> None:
    channel = RecordingChannel()
    await plan(redis_client, row(purpose="service"))
    await dispatcher(redis_client, channel, unsubscribe_url=lambda one: "https://u.example/x").run_once()
    assert channel.sent[0].unsubscribe_url == ""


async def test_two_dispatchers_send_each_row_once(redis_client: Redis) -> None:
    channel = RecordingChannel()
    rows = [row(f"s{number}") for number in range(200)]
    for number, one in enumerate(rows):
        await plan(redis_client, one, partition=number % 4)
    two = [dispatcher(redis_client, channel, partitions=4, concurrency=8) for _ in range(2)]
    stop = asyncio.Event()
    running = [asyncio.create_task(one.run(stop)) for one in two]
    await until(lambda: len(channel.sent) >= len(rows))
    stop.set()
    await asyncio.gather(*running)
    assert sorted(message.send_id for message in channel.sent) == sorted(one.send_id for one in rows)
    assert sum([len(await told(redis_client, partition)) for partition in range(4)]) == len(rows)


async def test_429_is_retried_after_the_pause_asked_for(redis_client: Redis) -> None:
    clock, channel = Clock(), RecordingChannel()
    channel.answer_with(RATE_LIMITED)
    await plan(redis_client, row())
    sender = dispatcher(redis_client, channel, clock=clock)
    await sender.run_once()
    found = await state(redis_client)
    assert (found.status, found.tries, found.doubts, found.code) == ("planned", 1, 0, "rate_limited")
    not_before = await redis_client.zscore(keys.planned(0), "s1")
    assert not_before is not None
    assert not_before >= START + 200
    assert await sender.run_once() == 0
    clock.at = int(not_before)
    # The pause holds for every dispatcher, in real time: this one waits for its place.
    began = attempt.boottime()
    assert await dispatcher(redis_client, channel, clock=clock).run_once() == 1
    assert (await state(redis_client)).status == "sent"
    assert attempt.boottime() - began < 5
    assert channel.attempts("s1") == 2


async def test_retries_end_when_the_message_is_too_late(redis_client: Redis) -> None:
    clock, channel = Clock(), RecordingChannel()
    channel.answer_with(*[Receipt(Outcome.NOT_SENT, next=Next.RETRY, code="connect")] * 100)
    await plan(redis_client, row(not_after=START + 30_000))
    limits = ProviderLimits(redis_client, failures=1000)
    sender = dispatcher(redis_client, channel, clock=clock, limits=limits)
    for _ in range(100):
        await sender.run_once()
        if (await state(redis_client)).status != "planned":
            break
        clock.at = int(await redis_client.zscore(keys.planned(0), "s1") or 0)
    found = await state(redis_client)
    assert found.status == "expired"
    # Pauses double (2, 4, 8 … seconds, halved by the chance of 0.5): four or five fit into thirty seconds.
    assert 4 <= channel.attempts("s1") <= 6
    assert [event.data["status"] for event in await told(redis_client)] == ["expired"]


async def test_a_lost_answer_is_never_retried_by_default(redis_client: Redis) -> None:
    clock, channel = Clock(), RecordingChannel(name="twilio", channel="sms")
    channel.answer_with(NO_ANSWER)
    await plan(redis_client, row(channel="sms", address="+491701234567"))
    sender = dispatcher(redis_client, channel, clock=clock)
    await sender.run_once()
    assert (await state(redis_client)).status == "unknown"
    for _ in range(3):
        clock.at += HOUR
        await sender.run_once()
    assert channel.attempts("s1") == 1
    assert await redis_client.zcard(keys.unknown(0)) == 0
    assert [event.type for event in await told(redis_client)] == ["message_unknown"]


async def test_policy_retry_allows_exactly_one_more_attempt(redis_client: Redis) -> None:
    clock, channel = Clock(), RecordingChannel()
    channel.answer_with(NO_ANSWER, NO_ANSWER, NO_ANSWER)
    await plan(redis_client, row(on_unknown="retry"))
    sender = dispatcher(redis_client, channel, clock=clock)
    for _ in range(5):
        await sender.run_once()
        clock.at += 1_000
    assert channel.attempts("s1") == 2
    found = await state(redis_client)
    assert (found.status, found.doubts) == ("unknown", 2)


async def test_policy_park_waits_for_a_person(redis_client: Redis) -> None:
    channel = RecordingChannel()
    channel.answer_with(NO_ANSWER)
    await plan(redis_client, row(on_unknown="park"))
    sender = dispatcher(redis_client, channel)
    for _ in range(3):
        await sender.run_once()
    assert (await state(redis_client)).status == "parked"
    assert channel.attempts("s1") == 1


async def test_an_adapter_that_raises_leaves_an_unknown(redis_client: Redis) -> None:
    channel = RecordingChannel()
    channel.answer_with(RuntimeError("adapter bug"))
    await plan(redis_client, row())
    await dispatcher(redis_client, channel, reconcile_after=900).run_once()
    found = await state(redis_client)
    assert (found.status, found.code) == ("unknown", "adapter_error")


async def test_a_hanging_provider_is_given_up(redis_client: Redis) -> None:
    async def hang(message: OutgoingMessage) -> Receipt:
        await asyncio.Event().wait()
        raise AssertionError

    channel = RecordingChannel()
    channel.answer_with(hang)
    await plan(redis_client, row())
    await dispatcher(redis_client, channel, reconcile_after=900, call_timeout=0.1).run_once()
    assert (await state(redis_client)).code == "timeout"


async def test_stop_between_claim_and_send(redis_client: Redis) -> None:
    """The STOP arrives after the first look, while the claim is being journalled."""
    channel, journal = RecordingChannel(), MemoryJournal()
    await plan(redis_client, row())

    async def stop_comes(entry: Any) -> None:
        await Suppression(redis_client, SEED).suppress("S1@EXAMPLE.com", reason="STOP")

    journal.before = stop_comes
    await dispatcher(redis_client, channel, journal=journal).run_once()
    assert channel.sent == []
    found = await state(redis_client)
    assert (found.status, found.reason) == ("suppressed", "STOP")
    assert journal.kinds() == ["claim", "not_sent"]


async def test_suppressed_addresses_by_purpose(redis_client: Redis) -> None:
    channel = RecordingChannel()
    suppression = Suppression(redis_client, SEED)
    await suppression.suppress("a@example.com", reason="unsubscribed", scope="marketing")
    await plan(redis_client, row("marketing", address="a@example.com"))
    await plan(redis_client, row("service", address="a@example.com", purpose="service"))
    await dispatcher(redis_client, channel).run_once()
    assert [message.send_id for message in channel.sent] == ["service"]
    assert (await state(redis_client, "marketing")).status == "suppressed"


@pytest.mark.parametrize("switch", ["all", "journey:refill", "channel:email"])
async def test_a_kill_switch_holds_and_lets_go(redis_client: Redis, switch: str) -> None:
    clock, channel = Clock(), RecordingChannel()
    suppression = Suppression(redis_client, SEED)
    await plan(redis_client, row())
    await suppression.kill(switch, reason="drill")
    await dispatcher(redis_client, channel, clock=clock).run_once()
    assert channel.sent == []
    found = await state(redis_client)
    assert (found.status, found.tries) == ("planned", 0)
    await suppression.revive(switch)
    clock.at += 60_000
    await dispatcher(redis_client, channel, clock=clock).run_once()
    assert channel.attempts("s1") == 1


async def test_a_provider_that_says_the_number_is_dead_suppresses_it(redis_client: Redis) -> None:
    channel = RecordingChannel()
    channel.answer_with(Receipt(Outcome.NOT_SENT, next=Next.SUPPRESS, code="invalid_address"))
    await plan(redis_client, row())
    sender = dispatcher(redis_client, channel)
    await sender.run_once()
    await plan(redis_client, row("s2", address="s1@example.com"))
    await sender.run_once()
    assert len(channel.sent) == 1
    first, second = await told(redis_client)
    assert first.data["permanent"] is True
    assert second.data["status"] == "suppressed"


async def test_refused_credentials_park_and_open_the_breaker(redis_client: Redis) -> None:
    changes: list[frozenset[str]] = []

    async def health_changed(channels: frozenset[str]) -> None:
        changes.append(channels)

    clock, channel = Clock(), RecordingChannel(name="mailer")
    channel.answer_with(REFUSED)
    limits = ProviderLimits(redis_client, refused_pause=150)
    await plan(redis_client, row("first"))
    sender = dispatcher(redis_client, channel, clock=clock, limits=limits, health_changed=health_changed)
    await sender.run_once()
    assert (await state(redis_client, "first")).status == "parked"
    assert await redis_client.zrange(keys.parked(0), 0, -1) == [b"first"]
    await plan(redis_client, row("second"))
    # Another dispatcher knows it too.
    other = dispatcher(redis_client, channel, clock=clock, limits=limits, health_changed=health_changed)
    await other.run_once()
    held = await state(redis_client, "second")
    assert (held.status, held.code, held.tries) == ("planned", "breaker_open", 0)
    assert await limits.open_breakers(["mailer"]) == {"mailer": "auth"}
    assert len(channel.sent) == 1

    async def healed() -> bool:
        clock.at += 60_000
        await other.run_once()
        return channel.attempts("second") == 1

    # The pause over, one probe goes, succeeds, and closes the breaker.
    await until(healed)
    assert await limits.open_breakers(["mailer"]) == {}
    assert changes == [frozenset({"email"}), frozenset()]


async def test_another_provider_of_the_channel_takes_over(redis_client: Redis) -> None:
    first, second = RecordingChannel(name="first"), RecordingChannel(name="second")
    first.answer_with(REFUSED)
    await plan(redis_client, row("a"))
    sender = dispatcher(redis_client, first, second)
    await sender.run_once()
    await plan(redis_client, row("b"))
    await sender.run_once()
    assert [message.send_id for message in second.sent] == ["b"]


async def test_push_addresses_choose_their_provider(redis_client: Redis) -> None:
    class Web(RecordingChannel):
        def build(self, message: OutgoingMessage) -> OutgoingMessage:
            if not isinstance(message.to, dict):
                raise MessageRefused("not a subscription", code="invalid_address")
            return message

    class Token(RecordingChannel):
        def build(self, message: OutgoingMessage) -> OutgoingMessage:
            if not isinstance(message.to, str):
                raise MessageRefused("not a token", code="invalid_address")
            return message

    web, token = Web(name="webpush", channel="push"), Token(name="fcm", channel="push")
    subscription = {"endpoint": "https://push.example/1", "keys": {"p256dh": "x", "auth": "y"}}
    await plan(
        redis_client,
        row("w", channel="push", address=subscription),
        row("t", channel="push", address="token:1"),
        row("x", channel="push", address=7),
    )
    await dispatcher(redis_client, web, token).run_once()
    assert [message.send_id for message in web.sent] == ["w"]
    assert [message.send_id for message in token.sent] == ["t"]
    refused = next(event for event in await told(redis_client) if event.id == "x:failed")
    assert (refused.data["code"], refused.data["permanent"]) == ("invalid_address", True)


async def test_a_channel_without_a_provider_is_held_until_it_expires(redis_client: Redis) -> None:
    clock = Clock()
    await plan(redis_client, row(channel="pigeon", address="roof 3"))
    sender = dispatcher(redis_client, clock=clock)
    await sender.run_once()
    assert (await state(redis_client)).code == "no_provider"
    clock.at += 49 * HOUR
    await sender.run_once()
    assert (await state(redis_client)).status == "expired"


async def test_what_cannot_be_made_fails_alone(redis_client: Redis) -> None:
    class Builder(RecordingChannel):
        def build(self, message: OutgoingMessage) -> OutgoingMessage:
            if message.send_id == "unbuildable":
                raise ValueError(f"bad address {message.to}")
            return message

    channel = Builder()
    await plan(
        redis_client,
        row("no-fact", facts={"customer": {}, "product": {"name": "x"}}),
        row("no-message", message="gone"),
        row("unbuildable"),
        row("good"),
    )
    await dispatcher(redis_client, channel).run_once()
    assert [message.send_id for message in channel.sent] == ["good"]
    ends = {event.data["send_id"]: event.data for event in await told(redis_client)}
    assert {one: ends[one].get("code") for one in ("no-fact", "no-message", "unbuildable")} == {
        "no-fact": "template",
        "no-message": "template",
        "unbuildable": "build",
    }
    assert "refill" in ends["no-fact"]["reason"]
    assert "example.com" not in ends["unbuildable"]["reason"]


async def test_no_provider_byte_without_the_journal(redis_client: Redis) -> None:
    clock, channel, journal = Clock(), RecordingChannel(), MemoryJournal()
    journal.broken = True
    await plan(redis_client, row())
    sender = dispatcher(redis_client, channel, clock=clock, journal=journal)
    await sender.run_once()
    assert channel.sent == []
    found = await state(redis_client)
    assert (found.status, found.code, found.tries) == ("planned", "dependency", 0)
    journal.broken = False
    clock.at += 10_000
    await sender.run_once()
    assert channel.attempts("s1") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionError("no route"), "dependency"),
        (OrchestratorError("the program is not in the store"), "dependency"),
        (KeyError("our own fault"), "internal"),
    ],
)
async def test_what_can_be_repaired_holds_the_row(redis_client: Redis, error: Exception, code: str) -> None:
    async def template_missing(one: Any) -> Any:
        raise error

    clock, channel = Clock(), RecordingChannel()
    await plan(redis_client, row())
    await dispatcher(redis_client, channel, clock=clock, template_of=template_missing).run_once()
    found = await state(redis_client)
    assert (found.status, found.code, channel.sent) == ("planned", code, [])
    clock.at += 60_001
    await dispatcher(redis_client, channel, clock=clock).run_once()
    assert channel.attempts("s1") == 1


async def test_a_claim_that_ran_out_in_a_freeze_is_not_sent(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process stands still between claim and call; its clock since boot tells."""
    channel, journal = RecordingChannel(), MemoryJournal()
    await plan(redis_client, row())
    real, frozen = attempt.boottime, 0.0

    async def freeze(entry: Any) -> None:
        nonlocal frozen
        frozen = 56.0

    journal.before = freeze
    monkeypatch.setattr(attempt, "boottime", lambda: real() + frozen)
    await dispatcher(redis_client, channel, journal=journal, claim=60, call_timeout=5).run_once()
    assert channel.sent == []
    assert (await state(redis_client)).code == "claim_ran_out"


async def test_a_late_answer_resolves_what_was_reaped(redis_client: Redis) -> None:
    """The claim is given up during the call. `sent` then cancels the retry that policy planned."""
    store, clock = Outbox(redis_client), Clock()

    async def slow(message: OutgoingMessage) -> Receipt:
        await store.reap(0, START * 2, now=START, next_look=START)
        await Reconciler(store, {}, Clock(), partitions=1, wait=0).run_once()
        return Receipt(Outcome.SENT, provider_id="m1")

    async def slow_refusal(message: OutgoingMessage) -> Receipt:
        await store.reap(0, START * 2, now=START, next_look=START * 2)
        return Receipt(Outcome.NOT_SENT, next=Next.FAIL, code="http_400")

    channel = RecordingChannel()
    channel.answer_with(slow, slow_refusal)
    await plan(redis_client, row(on_unknown="retry"))
    sender = dispatcher(redis_client, channel, clock=clock)
    await sender.run_once()
    found = await state(redis_client)
    assert (found.status, found.provider_id) == ("sent", "m1")
    assert await redis_client.zcard(keys.planned(0)) == 0
    await plan(redis_client, row("s2"))
    await sender.run_once()
    found = await state(redis_client, "s2")
    assert (found.status, found.code, found.doubts) == ("failed", "http_400", 0)


async def test_a_graceful_stop_finishes_calls_and_puts_the_rest_back(redis_client: Redis) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def wait(message: OutgoingMessage) -> Receipt:
        inside.set()
        await go_on.wait()
        return Receipt(Outcome.SENT)

    channel, journal = RecordingChannel(), MemoryJournal()
    channel.answer_with(wait)
    at_journal, journal_goes_on = asyncio.Event(), asyncio.Event()

    async def hold_second(entry: Any) -> None:
        if entry.send_id == "s2" and entry.kind == "claim":
            at_journal.set()
            await journal_goes_on.wait()

    journal.before = hold_second
    stop = asyncio.Event()
    await plan(redis_client, row("s1"))
    running = asyncio.create_task(dispatcher(redis_client, channel, journal=journal).run(stop))
    await asyncio.wait_for(inside.wait(), 5)
    await plan(redis_client, row("s2"))
    await asyncio.wait_for(at_journal.wait(), 5)
    stop.set()
    journal_goes_on.set()
    go_on.set()
    await asyncio.wait_for(running, 5)
    assert (await state(redis_client, "s1")).status == "sent"
    assert (await state(redis_client, "s2")).status == "planned"
    assert [message.send_id for message in channel.sent] == ["s1"]


async def test_redis_away_is_waited_out(
    redis_alone: Any, redis_client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    channel = RecordingChannel()
    stop = asyncio.Event()
    running = asyncio.create_task(dispatcher(redis_client, channel).run(stop))
    redis_alone.kill()
    await until(lambda: "the outbox cannot be read" in caplog.text)
    assert not running.done()
    redis_alone.start()
    with contextlib.suppress(ConnectionError):
        await redis_client.ping()
    await plan(redis_client, row())
    await until(lambda: channel.attempts("s1") == 1, seconds=10)
    stop.set()
    await asyncio.wait_for(running, 5)


def test_a_claim_shorter_than_a_call_is_refused(redis_client: Redis) -> None:
    with pytest.raises(SettingsInvalid, match=r"dispatcher\.claim"):
        dispatcher(redis_client, claim=5, call_timeout=5)


async def test_the_rate_of_the_settings_holds(redis_client: Redis) -> None:
    channel = RecordingChannel(name="mailer")
    await plan(redis_client, *(row(f"s{number}") for number in range(20)))
    sender = dispatcher(redis_client, channel, rates={"mailer": 50.0})
    began = attempt.boottime()
    assert await sender.run_once() == 20
    # The first goes at once, then one every 20 ms.
    assert attempt.boottime() - began >= 19 * 0.02
    assert len(channel.sent) == 20
