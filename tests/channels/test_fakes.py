"""The fakes themselves, since demos and users' tests stand on them."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import httpx
import pytest
from channel_tools import Channels, Shop, Write

from orchestrator.contracts.receipts import Outcome
from orchestrator.runtime.channels import load_channels
from orchestrator.testing.fakes import Fault, Ledger, LedgerEntry, ProviderFakes
from orchestrator.testing.fakes.faults import Faults


async def test_a_hook_hears_of_every_accepted_request(channels: Channels, fakes: ProviderFakes, write: Write) -> None:
    heard: asyncio.Queue[LedgerEntry] = asyncio.Queue()
    fakes.on_accept(heard.put)
    for provider in ("twilio", "smtp", "fcm"):
        channel = channels[provider]
        await channel.send(channel.build(write(channel, provider)))
        entry = await asyncio.wait_for(heard.get(), 5)
        assert entry == fakes.ledger.one(provider)


async def test_a_hook_that_fails_is_heard_of(write: Write) -> None:
    async def broken(entry: LedgerEntry) -> None:
        raise RuntimeError("the customer model is broken")

    fakes = ProviderFakes()
    fakes.on_accept(broken)
    await fakes.start()
    channel = load_channels({"twilio": fakes.channel_settings()["twilio"]})["twilio"]
    assert (await channel.send(channel.build(write(channel)))).outcome is Outcome.SENT
    await channel.close()
    with pytest.raises(RuntimeError, match="customer model"):
        await fakes.stop()


async def test_the_clock_is_the_owner_s(write: Write) -> None:
    fakes = ProviderFakes(now=lambda: 1_300_000_000_000)
    await fakes.start()
    channel = load_channels({"sendgrid": fakes.channel_settings()["sendgrid"]})["sendgrid"]
    await channel.send(channel.build(write(channel)))
    assert fakes.ledger.one("01JABC").time == 1_300_000_000_000
    await channel.close()
    await fakes.stop()


def test_rules_meet_once_or_often_or_one_address() -> None:
    faults = Faults()
    faults.add(Fault("drop", provider="twilio", match="+4930", times=2))
    faults.add(Fault("refuse", times=None))
    faults.add(Fault("duplicate", copies=5))
    assert faults.take("twilio", "+4940") == Fault("refuse", times=None)
    for _ in range(2):
        fault = faults.take("twilio", "+493012")
        assert fault is not None
        assert fault.kind == "drop"
    assert faults.take("twilio", "+493012") == Fault("refuse", times=None)
    assert faults.take("fcm-login", "") is None
    assert [faults.copies("twilio", ""), faults.copies("twilio", "")] == [5, 1]
    faults.clear()
    assert faults.take("twilio", "") is None


def test_a_duplicate_shows_in_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for _ in range(2):
        ledger.record("twilio", "sms", send_id="s1", to="+49", content={}, time=0, provider_id="SM1")
    with pytest.raises(LookupError, match="2 accepted requests"):
        ledger.one("s1")
    with pytest.raises(LookupError, match="0 accepted requests"):
        ledger.one("s2")
    assert [entry.seq for entry in ledger.find(after=1)] == [2]
    # On the disk before anybody asks.
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["send_id"] for line in lines] == ["s1", "s1"]
    ledger.close()


async def test_another_process(tmp_path: Path, write: Write, shop: Shop) -> None:
    """Everything over HTTP: settings from the first line, faults, ledger, callbacks; the file outlives a SIGKILL."""
    file = tmp_path / "ledger.jsonl"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator.testing.fakes", "--ledger", str(file)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        channel = load_channels({"twilio": ready["channels"]["twilio"]})["twilio"]
        async with httpx.AsyncClient(base_url=ready["url"]) as control:
            assert (await control.put("/_fake/app", json={"url": shop.url})).status_code == 204
            fault = {"kind": "refuse", "provider": "twilio", "status": 429, "retry_after": 3}
            assert (await control.post("/_fake/faults", json=fault)).status_code == 204
            wrong = await control.post("/_fake/faults", json={"kind": "explode"})
            assert wrong.status_code == 422
            message = write(channel, callback_url=f"{shop.url}/v1/webhooks/twilio/status")
            request = channel.build(message)
            assert (await channel.send(request)).retry_after == 3.0
            assert (await channel.send(request)).outcome is Outcome.SENT
            (entry,) = (await control.get("/_fake/ledger", params={"send_id": "01JABC"})).json()
            assert entry["to"] == "+4930123456"
            assert (await control.get("/_fake/ledger", params={"after": 1})).json() == []
            wanted = {"send_id": "01JABC", "kind": "delivered"}
            assert (await control.post("/_fake/callbacks", json=wanted)).json() == {"answers": [204]}
            channel.verify(await shop.next())
            assert (await control.post("/_fake/callbacks", json={**wanted, "kind": "reply", "text": "Ja"})).is_success
            callback = await shop.next()
            channel.verify(callback)
            assert channel.parse(callback)[0].text == "Ja"
            assert (await control.post("/_fake/callbacks", json={**wanted, "send_id": "none"})).status_code == 422
            subscription = (await control.post("/_fake/subscriptions")).json()
            assert subscription["endpoint"].startswith(ready["url"])
            await control.post("/_fake/faults", json={"kind": "drop", "times": None})
            assert (await control.delete("/_fake/faults")).status_code == 204
            assert (await channel.send(request)).outcome is Outcome.SENT
        await channel.close()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert [json.loads(line)["send_id"] for line in file.read_text().splitlines()] == ["01JABC", "01JABC"]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_ends_when_told(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "orchestrator.testing.fakes"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    process.terminate()
    _, errors = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, errors) == (0, b"")


async def test_requests_a_provider_would_refuse(fakes: ProviderFakes) -> None:
    """The fakes answer in the providers' own words."""
    accounts = fakes._world.accounts
    async with httpx.AsyncClient(base_url=fakes.url) as client:
        path = f"/2010-04-01/Accounts/{accounts.twilio_sid}/Messages.json"
        login = (accounts.twilio_sid, accounts.twilio_token)
        for fields, code in [
            ({}, 21604),
            ({"To": "030"}, 21211),
            ({"To": "+4930123456"}, 21602),
            ({"To": "+4930123456", "Body": "x" * 1_601}, 21617),
            ({"To": "+4930123456", "Body": "x"}, 21603),
            ({"To": "+4930123456", "Body": "x", "From": "+1500", "ValidityPeriod": "soon"}, 20001),
        ]:
            answer = await client.post(path, data=fields, auth=login)
            assert (answer.status_code, answer.json()["code"]) == (400, code), fields
        assert (await client.post(path)).status_code == 401
        headers = {"Authorization": f"Bearer {accounts.sendgrid_key}"}
        mail = {
            "personalizations": [{"to": [{"email": "a@b.example"}]}],
            "from": {"email": "a@b.example"},
            "subject": "x",
            "content": [{"type": "text/plain", "value": "x"}],
        }
        for body in ([], {}, *({**mail, name: []} for name in mail), {**mail, "personalizations": [{"to": []}]}):
            answer = await client.post("/v3/mail/send", json=body, headers=headers)
            assert answer.status_code == 400, body
            assert answer.json()["errors"][0]["message"]
        assert (await client.post("/v3/mail/send", content="{", headers=headers)).status_code == 400
        assert (await client.post("/v3/mail/send")).status_code == 401
        assert (await client.post(f"/v1/projects/{accounts.project}/messages:send")).status_code == 401
        assert (await client.post("/webpush/nobody")).status_code == 404
        endpoint = fakes.subscribe()["endpoint"]
        assert (await client.post(endpoint)).status_code == 400
        assert (await client.post(endpoint, headers={"TTL": "1", "Content-Encoding": "aes128gcm"})).status_code == 401
    assert len(fakes.ledger) == 0
