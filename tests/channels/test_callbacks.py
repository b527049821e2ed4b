"""Signed callbacks of the fakes, through real HTTP, verified and read by the adapters."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from channel_tools import Channels, Shop, Write

from orchestrator.contracts.receipts import Callback, Feedback, FeedbackKind
from orchestrator.errors import WebhookRefused
from orchestrator.testing.fakes import Fault, LedgerEntry, ProviderFakes
from orchestrator.testing.fakes.providers import Report


async def sent(provider: str, channels: Channels, fakes: ProviderFakes, write: Write, shop: Shop) -> LedgerEntry:
    fakes.app_url = shop.url
    channel = channels[provider]
    await channel.send(channel.build(write(channel)))
    return fakes.ledger.one("01JABC")


async def read(provider: str, channels: Channels, shop: Shop) -> Feedback:
    callback = await shop.next()
    channels[provider].verify(callback)
    # A byte of the body changed on the way.
    with pytest.raises(WebhookRefused):
        channels[provider].verify(replace(callback, body=callback.body[:-3] + b"x" + callback.body[-2:]))
    (feedback,) = channels[provider].parse(callback)
    return feedback


SENDGRID: list[tuple[Report, FeedbackKind, bool]] = [
    ("sent", FeedbackKind.SENT, False),
    ("delivered", FeedbackKind.DELIVERED, False),
    ("opened", FeedbackKind.OPENED, False),
    ("clicked", FeedbackKind.CLICKED, False),
    ("bounced", FeedbackKind.BOUNCED, True),
    ("failed", FeedbackKind.FAILED, False),
    ("unsubscribed", FeedbackKind.UNSUBSCRIBED, False),
    ("complained", FeedbackKind.COMPLAINED, False),
]


async def test_sendgrid_reports(channels: Channels, fakes: ProviderFakes, write: Write, shop: Shop) -> None:
    entry = await sent("sendgrid", channels, fakes, write, shop)
    for kind, expected, permanent in SENDGRID:
        assert await fakes.report(entry, kind) == [204]
        feedback = await read("sendgrid", channels, shop)
        assert (feedback.kind, feedback.send_id, feedback.permanent) == (expected, "01JABC", permanent), kind
        assert feedback.provider_id == entry.provider_id
        assert abs(feedback.time - entry.time) < 10_000
        assert feedback.raw["sg_event_id"] == feedback.id


async def test_sendgrid_machine_opens(channels: Channels, fakes: ProviderFakes, write: Write, shop: Shop) -> None:
    entry = await sent("sendgrid", channels, fakes, write, shop)
    for machine in (True, False):
        await fakes.report(entry, "opened", machine=machine)
        feedback = await read("sendgrid", channels, shop)
        assert feedback.machine is machine


async def test_repeated_callbacks_have_one_id(
    channels: Channels, fakes: ProviderFakes, write: Write, shop: Shop
) -> None:
    for provider in ("sendgrid", "twilio"):
        channel = channels[provider]
        fakes.app_url = shop.url
        await channel.send(channel.build(write(channel, f"s-{provider}")))
        fakes.fault(Fault("duplicate", provider=provider, copies=3))
        assert await fakes.report(fakes.ledger.one(f"s-{provider}"), "delivered") == [204, 204, 204]
        assert len({(await read(provider, channels, shop)).id for _ in range(3)}) == 1


async def test_twilio_reports(channels: Channels, fakes: ProviderFakes, write: Write, shop: Shop) -> None:
    entry = await sent("twilio", channels, fakes, write, shop)
    for kind, expected in [
        ("sent", FeedbackKind.SENT),
        ("delivered", FeedbackKind.DELIVERED),
        ("bounced", FeedbackKind.BOUNCED),
        ("failed", FeedbackKind.FAILED),
    ]:
        await fakes.report(entry, kind)  # type: ignore[arg-type]
        feedback = await read("twilio", channels, shop)
        # The callback names the send even if the answer to it was lost.
        assert (feedback.kind, feedback.send_id) == (expected, "01JABC")
        assert feedback.provider_id == entry.provider_id
    await fakes.report(entry, "bounced", reason="30005")
    feedback = await read("twilio", channels, shop)
    assert (feedback.permanent, feedback.reason) == (True, "undelivered: 30005")


async def test_inbound_sms(channels: Channels, fakes: ProviderFakes, write: Write, shop: Shop) -> None:
    entry = await sent("twilio", channels, fakes, write, shop)
    await fakes.reply(entry, "Ja, gerne! ☕ & mehr=viel")
    feedback = await read("twilio", channels, shop)
    assert feedback.kind is FeedbackKind.REPLY
    assert (feedback.sender, feedback.recipient) == ("+4930123456", "+15005550006")
    assert feedback.text == "Ja, gerne! ☕ & mehr=viel"


async def test_inbound_letter(channels: Channels, fakes: ProviderFakes, write: Write, shop: Shop) -> None:
    for provider in ("sendgrid", "smtp"):
        channel = channels[provider]
        fakes.app_url = shop.url
        await channel.send(channel.build(write(channel, f"s-{provider}")))
        await fakes.reply(fakes.ledger.one(f"s-{provider}"), "Ja, gerne! ☕")
        feedback = await read("sendgrid", channels, shop)
        # Answers to letters sent over SMTP come in by the same door, and name their send.
        assert (feedback.kind, feedback.send_id) == (FeedbackKind.REPLY, f"s-{provider}")
        assert feedback.sender == "anna@mail.example"
        # Without the quoted letter, which stays in the raw fields.
        assert feedback.text == "Ja, gerne! ☕"
        assert "The Shop wrote:" in feedback.raw["text"]


async def test_a_provider_reports_only_what_it_can(
    channels: Channels, fakes: ProviderFakes, write: Write, shop: Shop
) -> None:
    entry = await sent("twilio", channels, fakes, write, shop)
    with pytest.raises(ValueError, match="does not report 'clicked'"):
        await fakes.report(entry, "clicked")


def inbound(channels: Channels, fields: dict[str, bytes], content_type: str = "") -> Feedback:
    boundary = b"--b0undary"
    parts = [
        boundary + b'\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + value + b"\r\n"
        for name, value in fields.items()
    ]
    headers = {"content-type": content_type or "multipart/form-data; boundary=b0undary"}
    body = b"".join(parts) + boundary + b"--\r\n"
    callback = Callback("POST", "https://h.example/v1/webhooks/sendgrid/inbound", headers, body)
    (feedback,) = channels["sendgrid"].parse(callback)
    return feedback


def test_letters_in_other_character_sets(channels: Channels) -> None:
    fields = {"from": b"a@b.example", "text": "Schöne Grüße".encode("iso-8859-1"), "charsets": b'{"text":"iso-8859-1"}'}
    assert inbound(channels, fields).text == "Schöne Grüße"
    fields["charsets"] = b'{"text":"no-such-charset"}'
    assert inbound(channels, fields).text.startswith("Sch")


def test_letters_with_only_html(channels: Channels) -> None:
    html = b"<style>p{}</style><p>Yes &amp; <b>no</b></p><script>x()</script>"
    assert inbound(channels, {"from": b"a@b.example", "html": html}).text == "Yes & no"


@pytest.mark.parametrize(
    "quote",
    ["On Mon, 3 Nov 2025 at 10:00, The Shop <a@b.example> wrote:\n> Hi", "> Hi", "-----Original Message-----\nFrom: x"],
)
def test_quoted_letters_are_cut(quote: str, channels: Channels) -> None:
    assert inbound(channels, {"from": b"a@b.example", "text": f"STOP\r\n\r\n{quote}".encode()}).text == "STOP"
    # A letter that is only a quote keeps its words.
    assert inbound(channels, {"from": b"a@b.example", "text": quote.encode()}).text == quote.strip()


def test_a_repeated_letter_has_one_id(channels: Channels) -> None:
    """SendGrid's repeats may have another boundary."""
    fields = {"from": b"a@b.example", "text": b"Yes", "headers": b"Message-ID: <1@b.example>\nSubject: x\n"}
    first = inbound(channels, fields)
    assert inbound(channels, {**fields, "spam_score": b"1"}).id == first.id
    assert inbound(channels, {**fields, "headers": b"Message-ID: <2@b.example>\n"}).id != first.id


def sendgrid_event(channels: Channels, **event: Any) -> Feedback:
    body = json.dumps([event]).encode()
    (feedback,) = channels["sendgrid"].parse(Callback("POST", "https://h.example/v1/webhooks/sendgrid", {}, body))
    return feedback


def test_words_in_detail(channels: Channels) -> None:
    blocked = sendgrid_event(channels, event="bounce", type="blocked", sg_event_id="1", reason="550 5.7.1 spam")
    assert (blocked.kind, blocked.permanent) == (FeedbackKind.BOUNCED, False)
    dropped = sendgrid_event(channels, event="dropped", sg_event_id="1", reason="Bounced Address")
    assert (dropped.kind, dropped.permanent) == (FeedbackKind.FAILED, True)
    deferred = sendgrid_event(channels, event="deferred", sg_event_id="1", response="451 later")
    assert (deferred.kind, deferred.reason) == (FeedbackKind.SENT, "deferred: 451 later")
    assert sendgrid_event(channels, event="group_resubscribe", sg_event_id="1").kind is FeedbackKind.UNKNOWN
    for strange in ({}, {"event": 5}, {"event": "open", "timestamp": "x", "sg_event_id": None}, {"timestamp": 1 << 99}):
        assert sendgrid_event(channels, **strange).id


def test_a_stop_that_twilio_took_itself(channels: Channels) -> None:
    body = b"MessageSid=SM1&From=%2B4930123456&To=%2B1500&Body=STOP&OptOutType=STOP"
    callback = Callback("POST", "https://h.example/v1/webhooks/twilio/inbound", {}, body)
    reply, stop = channels["twilio"].parse(callback)
    assert (reply.kind, reply.text) == (FeedbackKind.REPLY, "STOP")
    assert (stop.kind, stop.sender) == (FeedbackKind.UNSUBSCRIBED, "+4930123456")
    assert reply.id != stop.id
