"""The dispatcher with the shipped adapters over real HTTP: our record of every send equals the providers' ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sends import Clock, dispatcher, plan, row, state, until

from orchestrator.contracts.receipts import FeedbackKind
from orchestrator.runtime.channels import load_channels
from orchestrator.runtime.dispatcher import Dispatcher
from orchestrator.runtime.provider_limits import ProviderLimits
from orchestrator.runtime.reconcile import resolve_from_feedback
from orchestrator.stores import keys
from orchestrator.stores.outbox import Outbox
from orchestrator.testing.fakes import Fault, ProviderFakes

NUMBER = "+4915112345678"


@pytest.fixture
async def fakes() -> AsyncIterator[ProviderFakes]:
    async with ProviderFakes() as started:
        yield started


@pytest.fixture
async def channels(fakes: ProviderFakes) -> AsyncIterator[dict[str, Any]]:
    # SMTP serves e-mail too; one provider per channel keeps the ledger easy to read.
    loaded = load_channels({name: values for name, values in fakes.channel_settings().items() if name != "smtp"})
    yield loaded
    for channel in loaded.values():
        await channel.close()


def linked(redis: Redis, *channels: Any, **more: Any) -> Dispatcher:
    """A dispatcher whose messages carry the installation's addresses."""
    return dispatcher(
        redis,
        *channels,
        unsubscribe_url=lambda one: f"https://shop.example/u/{one.send_id}",
        callback_url=lambda one, provider: f"https://shop.example/v1/webhooks/{provider}",
        **more,
    )


def sms(send_id: str = "s1", **changes: Any) -> Any:
    return row(send_id, channel="sms", address=NUMBER, **changes)


async def test_every_channel_goes_out_by_its_provider(
    redis_client: Redis, fakes: ProviderFakes, channels: dict[str, Any]
) -> None:
    await plan(
        redis_client,
        row("mail"),
        sms("text"),
        row("web", channel="push", address=fakes.subscribe()),
        row("app", channel="push", address="token-of-an-app"),
    )
    sender = linked(redis_client, *channels.values())
    assert await sender.run_once() == 4
    for send_id, provider in (("mail", "sendgrid"), ("text", "twilio"), ("web", "webpush"), ("app", "fcm")):
        entry, known = fakes.ledger.one(send_id), await state(redis_client, send_id)
        assert (entry.provider, known.status, known.provider, known.code) == (provider, "sent", provider, "ok")


async def test_429_goes_out_once_after_the_pause(
    redis_client: Redis, fakes: ProviderFakes, channels: dict[str, Any]
) -> None:
    fakes.fault(Fault("refuse", provider="twilio", status=429, retry_after=1))
    await plan(redis_client, sms())
    clock = Clock()
    sender = linked(redis_client, *channels.values(), clock=clock)
    await sender.run_once()
    assert ((await state(redis_client)).code, len(fakes.ledger)) == ("rate_limited", 0)
    clock.at += 10_000

    async def gone() -> bool:
        await sender.run_once()
        clock.at += 1_000
        return (await state(redis_client)).status == "sent"

    await until(gone)
    assert fakes.ledger.one("s1").provider == "twilio"


async def test_an_accepted_sms_whose_answer_is_lost_is_not_repeated(
    redis_client: Redis, fakes: ProviderFakes, channels: dict[str, Any]
) -> None:
    fakes.fault(Fault("drop", provider="twilio"))
    await plan(redis_client, sms())
    sender = linked(redis_client, *channels.values())
    for _ in range(3):
        await sender.run_once()
    known = await state(redis_client)
    assert (known.status, known.doubts) == ("unknown", 1)
    entry = fakes.ledger.one("s1")
    # Much later the provider's callback tells what became of it.
    await resolve_from_feedback(
        Outbox(redis_client), "s1", 0, FeedbackKind.DELIVERED, Clock().at, provider_id=entry.provider_id
    )
    known = await state(redis_client)
    assert (known.status, known.provider_id) == ("sent", entry.provider_id)


async def test_service_mail_whose_answer_is_lost_is_repeated_once(
    redis_client: Redis, fakes: ProviderFakes, channels: dict[str, Any]
) -> None:
    fakes.fault(Fault("drop", provider="sendgrid", times=None))
    await plan(redis_client, row(purpose="service", on_unknown="retry"))
    sender = linked(redis_client, *channels.values())
    for _ in range(5):
        await sender.run_once()
    assert len(fakes.ledger.find(send_id="s1")) == 2
    known = await state(redis_client)
    assert (known.status, known.doubts, known.tries) == ("unknown", 2, 2)


async def test_refused_credentials_park_and_leave_the_other_channels_alone(
    redis_client: Redis, fakes: ProviderFakes
) -> None:
    config = {name: values for name, values in fakes.channel_settings().items() if name in ("twilio", "sendgrid")}
    config["sendgrid"] |= {"api_key": "SG.wrong"}
    channels = load_channels(config)
    limits = ProviderLimits(redis_client)
    await plan(redis_client, row("mail"), sms("text"))
    sender = linked(redis_client, *channels.values(), limits=limits)
    await sender.run_once()
    await plan(redis_client, row("mail2"))
    await sender.run_once()
    for channel in channels.values():
        await channel.close()
    assert (await state(redis_client, "mail")).status == "parked"
    assert await redis_client.zrange(keys.parked(0), 0, -1) == [b"mail"]
    assert (await state(redis_client, "mail2")).code == "breaker_open"
    assert await limits.open_breakers(list(channels)) == {"sendgrid": "auth"}
    assert [entry.send_id for entry in fakes.ledger] == ["text"]


async def test_a_stopped_number_is_learned_from_the_provider(
    redis_client: Redis, fakes: ProviderFakes, channels: dict[str, Any]
) -> None:
    fakes.fault(Fault("refuse", provider="twilio", status=400, code="21610"))
    await plan(redis_client, sms())
    sender = linked(redis_client, *channels.values())
    await sender.run_once()
    await plan(redis_client, sms("s2"))
    await sender.run_once()
    assert [(await state(redis_client, one)).status for one in ("s1", "s2")] == ["suppressed", "suppressed"]
    assert len(fakes.ledger) == 0
