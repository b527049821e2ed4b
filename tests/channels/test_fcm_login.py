"""FCM's login: a signed assertion for a token, fetched once, renewed when it is withdrawn."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from channel_tools import Channels, Write
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orchestrator.contracts.receipts import Next, Outcome, Receipt
from orchestrator.testing.fakes import Fault, ProviderFakes


async def send(channels: Channels, write: Write, send_id: str = "s1") -> Receipt:
    channel = channels["fcm"]
    return await channel.send(channel.build(write(channel, send_id)))


async def test_one_login_serves_many_sends(channels: Channels, fakes: ProviderFakes, write: Write) -> None:
    receipts = await asyncio.gather(*(send(channels, write, f"s{number}") for number in range(20)))
    assert {receipt.outcome for receipt in receipts} == {Outcome.SENT}
    assert fakes.fcm.logins == 1


async def test_a_withdrawn_token_is_renewed_by_the_next_attempt(
    channels: Channels, fakes: ProviderFakes, write: Write
) -> None:
    assert (await send(channels, write)).outcome is Outcome.SENT
    fakes.fcm.withdraw_tokens()
    receipt = await send(channels, write, "s2")
    assert (receipt.outcome, receipt.next, receipt.code) == (Outcome.NOT_SENT, Next.RETRY, "stale_token")
    assert (await send(channels, write, "s2")).outcome is Outcome.SENT
    assert fakes.fcm.logins == 2


async def test_a_new_token_that_is_refused_parks(channels: Channels, fakes: ProviderFakes, write: Write) -> None:
    fakes.fault(Fault("refuse", provider="fcm", status=401))
    receipt = await send(channels, write)
    assert (receipt.outcome, receipt.next, receipt.code) == (Outcome.NOT_SENT, Next.PARK, "auth")


async def test_a_refused_login_parks_and_a_broken_one_is_tried_again(
    channels: Channels, fakes: ProviderFakes, write: Write
) -> None:
    fakes.fault(Fault("refuse", provider="fcm-login", status=400, code="invalid_grant"))
    receipt = await send(channels, write)
    assert (receipt.outcome, receipt.next, receipt.code) == (Outcome.NOT_SENT, Next.PARK, "auth")
    # The library tries three times by itself; after that it is the dispatcher's turn.
    fakes.fault(Fault("refuse", provider="fcm-login", status=503, code="temporarily_unavailable", times=None))
    receipt = await send(channels, write)
    assert (receipt.outcome, receipt.next, receipt.code) == (Outcome.NOT_SENT, Next.RETRY, "login")
    assert len(fakes.ledger) == 0


async def test_another_account_s_key_is_refused(channels: Channels, fakes: ProviderFakes, write: Write) -> None:
    account = json.loads(fakes.channel_settings()["fcm"]["service_account"])
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    account["private_key"] = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    channel = channels.make("fcm", service_account=json.dumps(account))
    receipt = await channel.send(channel.build(write(channel)))
    assert (receipt.outcome, receipt.next, receipt.code) == (Outcome.NOT_SENT, Next.PARK, "auth")


async def test_the_account_may_come_as_a_file(
    channels: Channels, fakes: ProviderFakes, write: Write, tmp_path: Path
) -> None:
    file = tmp_path / "account.json"
    file.write_text(fakes.channel_settings()["fcm"]["service_account"])
    channel = channels.make("fcm", service_account=None, service_account_file=file)
    assert (await channel.send(channel.build(write(channel)))).outcome is Outcome.SENT


async def test_apple_learns_when_a_push_is_stale(channels: Channels, write: Write) -> None:
    channel = channels["fcm"]
    request = channel.build(write(channel, ttl=60))
    # Pure: the moment is the attempt's, not the message's.
    assert "apns-expiration" not in request.message["apns"]["headers"]
    assert request.message["android"]["ttl"] == "60s"
