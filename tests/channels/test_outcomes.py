"""What each adapter says about an attempt, for everything its provider can answer, and what the provider really did."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace

import pytest
from channel_tools import Channels, Write
from orchestrator_channels._threads import NeverStarted, Threads

from orchestrator.contracts.receipts import Next, Outcome
from orchestrator.testing.fakes import Fault, ProviderFakes

PROVIDERS = ["sendgrid", "smtp", "twilio", "webpush", "fcm"]
HTTP_PROVIDERS = [provider for provider in PROVIDERS if provider != "smtp"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_sent(provider: str, channels: Channels, fakes: ProviderFakes, write: Write) -> None:
    channel = channels[provider]
    receipt = await channel.send(channel.build(write(channel)))
    assert receipt.outcome is Outcome.SENT, receipt
    entry = fakes.ledger.one("01JABC")
    assert receipt.provider_id == entry.provider_id
    assert entry.channel == channel.channel
    assert entry.content["text"].strip() == "Your coffee, überraschend fresh."
    if channel.channel == "email":
        assert entry.content["subject"] == "Time for coffee? ☕"
        assert entry.headers["List-Unsubscribe"] == "<https://shop.example/u/1>"
        assert entry.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert entry.sender == "replies+01JABC@answers.shop.example"


#: What a provider does → outcome, what follows, and the word for it.
HTTP_ANSWERS = [
    (Fault("refuse", status=429, retry_after=7), Outcome.NOT_SENT, Next.RETRY, "rate_limited"),
    (Fault("refuse", status=500), Outcome.UNKNOWN, None, "http_500"),
    (Fault("refuse", status=502, accept=True), Outcome.UNKNOWN, None, "http_502"),
    (Fault("refuse", status=503, retry_after=7), Outcome.UNKNOWN, None, "http_503"),
    (Fault("refuse", status=307), Outcome.NOT_SENT, Next.PARK, None),
    (Fault("refuse", status=413), Outcome.NOT_SENT, Next.FAIL, "too_large"),
    (Fault("refuse", status=418), Outcome.NOT_SENT, Next.FAIL, "http_418"),
    (Fault("drop"), Outcome.UNKNOWN, None, "reset"),
    (Fault("drop", accept=False), Outcome.UNKNOWN, None, "reset"),
]


@pytest.mark.parametrize("provider", HTTP_PROVIDERS)
async def test_http_answers(provider: str, channels: Channels, fakes: ProviderFakes, write: Write) -> None:
    channel = channels[provider]
    for number, (fault, outcome, next_, code) in enumerate(HTTP_ANSWERS):
        send_id = f"s{number}"
        fakes.fault(fault)
        receipt = await channel.send(channel.build(write(channel, send_id)))
        assert receipt.outcome is outcome, (fault, receipt)
        assert next_ is None or receipt.next is next_, (fault, receipt)
        assert code is None or receipt.code == code, (fault, receipt)
        assert receipt.retry_after == (7.0 if fault.retry_after else None), (fault, receipt)
        # One request, whatever the answer: an adapter never repeats an attempt by itself.
        assert len(fakes.ledger.find(send_id=send_id)) == (1 if fault.accepts else 0), fault
        # What a log may show holds no address.
        assert "anna" not in receipt.detail
        assert "4930" not in receipt.detail
    # The rules are used up, and the connection is good again.
    assert (await channel.send(channel.build(write(channel, "last")))).outcome is Outcome.SENT


#: Status and the provider's own code → what follows, and the word for it.
REFUSALS = {
    "sendgrid": [
        (400, "", Next.FAIL, "invalid_request"),
        (401, "", Next.PARK, "auth"),
        (403, "", Next.PARK, "auth"),
        (404, "", Next.PARK, "misconfigured"),
    ],
    "twilio": [
        (400, "21610", Next.SUPPRESS, "unsubscribed"),
        (400, "21211", Next.SUPPRESS, "invalid_address"),
        (400, "21614", Next.SUPPRESS, "invalid_address"),
        (400, "21606", Next.PARK, "account"),
        (400, "21617", Next.FAIL, "http_400"),
        (401, "20003", Next.PARK, "auth"),
        (403, "20403", Next.PARK, "auth"),
        (429, "20429", Next.RETRY, "rate_limited"),
    ],
    "webpush": [
        (400, "", Next.FAIL, "http_400"),
        (401, "", Next.PARK, "auth"),
        (403, "", Next.FAIL, "wrong_key"),
        (404, "", Next.SUPPRESS, "invalid_address"),
        (410, "", Next.SUPPRESS, "unsubscribed"),
    ],
    "fcm": [
        (404, "UNREGISTERED", Next.SUPPRESS, "unsubscribed"),
        (404, "", Next.PARK, "misconfigured"),
        (403, "SENDER_ID_MISMATCH", Next.FAIL, "wrong_sender"),
        (403, "", Next.PARK, "auth"),
        (401, "THIRD_PARTY_AUTH_ERROR", Next.PARK, "auth"),
        (400, "INVALID_ARGUMENT", Next.FAIL, "invalid_request"),
        (429, "QUOTA_EXCEEDED", Next.RETRY, "rate_limited"),
    ],
    # SMTP's numbers mean the opposite: 4xx comes again, 5xx is final.
    "smtp": [
        (421, "4.3.2", Next.RETRY, "try_again"),
        (451, "4.3.0", Next.RETRY, "try_again"),
        (550, "", Next.SUPPRESS, "invalid_address"),
        (550, "5.1.1", Next.SUPPRESS, "invalid_address"),
        (550, "5.1.10", Next.SUPPRESS, "invalid_address"),
        (550, "5.7.1", Next.FAIL, "refused"),
        (552, "5.2.2", Next.FAIL, "refused"),
        (530, "5.7.0", Next.PARK, "auth"),
    ],
}


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_refusals(provider: str, channels: Channels, fakes: ProviderFakes, write: Write) -> None:
    channel = channels[provider]
    for status, code, next_, said in REFUSALS[provider]:
        fakes.fault(Fault("refuse", status=status, code=code))
        receipt = await channel.send(channel.build(write(channel)))
        assert (receipt.outcome, receipt.next, receipt.code) == (Outcome.NOT_SENT, next_, said), (status, code)
    assert len(fakes.ledger) == 0


async def test_the_end_of_a_letter(channels: Channels, fakes: ProviderFakes, write: Write) -> None:
    """Once the letter is written, only the server's answer tells: without it nobody knows."""
    channel = channels["smtp"]
    for fault, expected in [
        (Fault("drop"), (Outcome.UNKNOWN, Next.FAIL, "reset")),
        (Fault("drop", accept=False), (Outcome.UNKNOWN, Next.FAIL, "reset")),
        (Fault("refuse", status=451, accept=True), (Outcome.NOT_SENT, Next.RETRY, "try_again")),
        (Fault("refuse", status=554, code="5.6.0", accept=True), (Outcome.NOT_SENT, Next.FAIL, "content_refused")),
    ]:
        fakes.fault(fault)
        receipt = await channel.send(channel.build(write(channel)))
        assert (receipt.outcome, receipt.next, receipt.code) == expected, fault


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_that_comes_too_late_is_unknown(
    provider: str, channels: Channels, fakes: ProviderFakes, write: Write
) -> None:
    channel = channels.make(provider, timeout=0.5)
    fakes.fault(Fault("slow", delay=60))
    began = time.monotonic()
    receipt = await channel.send(channel.build(write(channel)))
    assert time.monotonic() - began < 1.5
    assert (receipt.outcome, receipt.code) == (Outcome.UNKNOWN, "timeout")
    # It went out all the same: this is why such an attempt is not repeated.
    assert fakes.ledger.one("01JABC")


async def test_wrong_credentials_park(channels: Channels, fakes: ProviderFakes, write: Write) -> None:
    for provider, wrong in [
        ("sendgrid", {"api_key": "SG.wrong"}),
        ("twilio", {"auth_token": "wrong"}),
        ("smtp", {"password": "wrong"}),
        ("smtp", {"username": "", "password": ""}),
        ("fcm", {"project": "somebody-elses"}),
    ]:
        channel = channels.make(provider, **wrong)
        receipt = await channel.send(channel.build(write(channel)))
        assert (receipt.outcome, receipt.next, receipt.code) == (Outcome.NOT_SENT, Next.PARK, "auth"), provider
    assert len(fakes.ledger) == 0


async def test_attempts_beyond_the_threads_never_began() -> None:
    """With the only thread taken, a call that got none is told apart from one that is under way."""
    threads = Threads("test", 1)
    release, began = threading.Event(), []
    with pytest.raises(TimeoutError):
        await threads.call(lambda: release.wait(5), 0.05)
    with pytest.raises(NeverStarted):
        await threads.call(lambda: began.append("second"), 0.05)
    release.set()
    assert await threads.call(lambda: "third", 5) == "third"
    assert not began
    threads.close()


async def test_before_the_request_nothing_is_sent(channels: Channels, fakes: ProviderFakes, write: Write) -> None:
    """A name that does not exist, and TLS to a port that speaks plain HTTP."""
    for base_url in ("https://no-such-host.invalid", fakes.url.replace("http:", "https:")):
        for provider in ("sendgrid", "twilio", "fcm"):
            channel = channels.make(provider, base_url=base_url)
            receipt = await channel.send(channel.build(write(channel)))
            expected = (Outcome.NOT_SENT, Next.RETRY, "connect")
            assert (receipt.outcome, receipt.next, receipt.code) == expected, (provider, base_url)
    assert len(fakes.ledger) == 0


async def test_a_connection_that_never_comes_is_not_sent(
    channels: Channels, fakes: ProviderFakes, write: Write
) -> None:
    """A host that answers no connection: with the queue of a listening socket full, Linux lets further calls wait."""
    with socket.socket() as listener, contextlib.ExitStack() as open_calls:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            caller = open_calls.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        host, port = listener.getsockname()
        for provider in PROVIDERS:
            address = {"host": host, "port": port} if provider == "smtp" else {"base_url": f"http://{host}:{port}"}
            if provider == "webpush":
                address = {"allowed_hosts": [f"{host}:{port}"]}
            # FCM's login works; the call itself finds nobody.
            channel = channels.make(provider, timeout=1.0, **address)
            message = write(channel)
            if provider == "webpush":
                message = replace(message, to={**message.to, "endpoint": f"http://{host}:{port}/push/1"})
            receipt = await channel.send(channel.build(message))
            assert (receipt.outcome, receipt.next, receipt.code) == (Outcome.NOT_SENT, Next.RETRY, "connect"), provider
