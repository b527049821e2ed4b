"""Provider callbacks over real HTTP and Redis: verified, tied to a send, suppressed before they are told to the log."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from doors import NOW, PARTITIONS, SEED, Door

from orchestrator.contracts.messages import OutboxRow
from orchestrator.contracts.receipts import Feedback, FeedbackKind
from orchestrator.partitioning import partition_of
from orchestrator.stores import keys
from orchestrator.stores.address import address_hmac
from orchestrator.stores.outbox import Outbox, encode_row

PHONE = "+4915112345678"


@pytest.fixture
async def sent(door: Door) -> str:
    """A send to PHONE that went out, as the dispatcher leaves it behind."""
    await door.recipients.remember("s-1", "c-1", PHONE)
    return "s-1"


@pytest.mark.parametrize(
    ("feedback", "kind", "data"),
    [
        (Feedback(FeedbackKind.DELIVERED, "f", send_id="s-1"), "message_delivered", {}),
        (Feedback(FeedbackKind.OPENED, "f", send_id="s-1", machine=True), "message_opened", {"machine": True}),
        (Feedback(FeedbackKind.CLICKED, "f", send_id="s-1"), "message_clicked", {"machine": False}),
        (
            Feedback(FeedbackKind.BOUNCED, "f", send_id="s-1", reason="full"),
            "message_bounced",
            {"permanent": False, "reason": "full"},
        ),
        (Feedback(FeedbackKind.COMPLAINED, "f", send_id="s-1"), "message_complained", {}),
        (Feedback(FeedbackKind.UNSUBSCRIBED, "f", send_id="s-1"), "message_unsubscribed", {}),
        (
            Feedback(FeedbackKind.DELIVERED, "f", send_id="s-1", provider_id="SM1"),
            "message_delivered",
            {"provider_id": "SM1"},
        ),
    ],
)
async def test_feedback_becomes_an_event_of_its_customer(
    door: Door, sent: str, feedback: Feedback, kind: str, data: dict[str, Any]
) -> None:
    assert (await door.call_back(feedback)).status_code == 204
    (event,) = door.log.events()
    assert (event.type, event.customer, event.source, event.time) == (kind, "c-1", "webhook:told", NOW)
    assert event.data == {"send_id": "s-1", "channel": "sms", "provider": "told"} | data
    assert door.log.partition_of(event.id) == partition_of("c-1", PARTITIONS)


@pytest.mark.parametrize("kind", ["sent", "failed"])
async def test_the_end_of_a_send_is_the_event_the_outbox_tells_too(door: Door, sent: str, kind: str) -> None:
    await door.call_back(Feedback(FeedbackKind(kind), "f", send_id=sent))
    (event,) = door.log.events()
    assert (event.id, event.source, event.type) == (f"s-1:{kind}", "dispatcher", f"message_{kind}")


async def test_a_repeated_callback_is_the_same_event(door: Door, sent: str) -> None:
    repeated = Feedback(FeedbackKind.CLICKED, "provider-7", send_id=sent, time=NOW - 5_000)
    for _ in range(3):
        assert (await door.call_back(repeated)).status_code == 204
    assert len({event.id for event in door.log.events()}) == 1
    assert {event.time for event in door.log.events()} == {NOW - 5_000}
    await door.call_back(Feedback(FeedbackKind.OPENED, "provider-7", send_id=sent))
    await door.call_back(Feedback(FeedbackKind.CLICKED, "x" * 5_000, send_id=sent))
    assert len({event.id for event in door.log.events()}) == 3


@pytest.mark.parametrize("signature", ["", "bad"])
async def test_an_unsigned_callback_changes_nothing(door: Door, sent: str, signature: str) -> None:
    stop = Feedback(FeedbackKind.REPLY, "f", sender=PHONE, text="STOP")
    answer = await door.call_back(stop, signature=signature)
    assert (answer.status_code, answer.json()) == (403, {"error": {"code": "forbidden", "message": "forbidden"}})
    assert not door.log.appended
    assert await door.suppression.is_suppressed(PHONE) == ""


async def test_an_unknown_provider(door: Door) -> None:
    assert (await door.call_back(path="nobody")).status_code == 404


async def test_the_signed_address_is_the_public_one(door: Door) -> None:
    await door.call_back(path="told/inbound?send_id=a%20b&x=%C3%BC")
    (callback,) = door.channel.seen
    assert callback.url == "https://hooks.example.com/v1/webhooks/told/inbound?send_id=a%20b&x=%C3%BC"
    assert (callback.method, callback.body) == ("POST", b"raw")
    assert callback.headers["x-signature"] == "good"


async def test_what_nobody_knows_goes_to_the_dead_letters_and_is_taken(door: Door, sent: str) -> None:
    feedback = [
        Feedback(FeedbackKind.DELIVERED, "1", send_id="s-unknown"),
        Feedback(FeedbackKind.REPLY, "2", sender="+15005550000", text="hello\ud800"),
        Feedback(FeedbackKind.UNKNOWN, "3", send_id=sent, raw={"word": "teleported"}),
        Feedback(FeedbackKind.DELIVERED, "4", send_id=sent),
    ]
    assert (await door.call_back(*feedback)).status_code == 204
    assert [event.type for event in door.log.events()] == ["message_delivered"]
    letters = {json.loads(letter.original() or b"")["id"]: letter for letter in door.log.dead()}
    assert {number: letter.code for number, letter in letters.items()} == {
        "1": "unknown_send",
        "2": "unknown_sender",
        "3": "unknown_word",
    }
    assert letters["1"].origin == "webhook:told"
    assert json.loads(letters["3"].original() or b"")["raw"] == {"word": "teleported"}


async def test_an_answer_by_sms_finds_the_last_send_to_its_number(door: Door, sent: str) -> None:
    await door.recipients.remember("s-2", "c-1", PHONE)
    answer = Feedback(FeedbackKind.REPLY, "SM9", sender="+49 151 1234-5678", text="Yes, please")
    await door.call_back(answer)
    (event,) = door.log.events()
    assert (event.type, event.customer) == ("reply", "c-1")
    assert event.data == {"channel": "sms", "provider": "told", "text": "Yes, please", "in_reply_to": "s-2"}
    assert await door.suppression.is_suppressed(PHONE) == ""


async def test_an_answer_of_a_visitor(door: Door) -> None:
    await door.recipients.remember("s-3", "anonymous:v-1", PHONE)
    await door.call_back(Feedback(FeedbackKind.REPLY, "SM9", sender=PHONE, text="hi"))
    (event,) = door.log.events()
    assert (event.customer, event.anonymous) == ("anonymous:v-1", True)


async def test_a_very_long_answer_still_fits_an_event(door: Door, sent: str) -> None:
    await door.call_back(Feedback(FeedbackKind.REPLY, "SM9", sender=PHONE, text="\x00\U0001f600" * 50_000))
    (event,) = door.log.events()
    assert len(event.data["text"]) == 10_000


NO = [
    (Feedback(FeedbackKind.REPLY, "f", sender=PHONE, text="STOP"), "stop", True),
    (Feedback(FeedbackKind.REPLY, "f", sender=PHONE, text=" stop, please! "), "stop", True),
    (Feedback(FeedbackKind.UNSUBSCRIBED, "f", sender=PHONE), "unsubscribed", True),
    (Feedback(FeedbackKind.UNSUBSCRIBED, "f", send_id="s-1"), "unsubscribed", False),
    (Feedback(FeedbackKind.COMPLAINED, "f", send_id="s-1"), "complained", True),
    (Feedback(FeedbackKind.BOUNCED, "f", send_id="s-1", permanent=True), "bounced", True),
    (Feedback(FeedbackKind.FAILED, "f", send_id="s-1", permanent=True), "bounced", True),
]


@pytest.mark.parametrize(("feedback", "reason", "service_too"), NO)
async def test_a_no_closes_the_address(
    door: Door, sent: str, feedback: Feedback, reason: str, service_too: bool
) -> None:
    assert (await door.call_back(feedback)).status_code == 204
    assert await door.suppression.is_suppressed(PHONE, purpose="marketing") == reason
    assert await door.suppression.is_suppressed(PHONE, purpose="service") == (reason if service_too else "")
    assert len(door.log.events()) == 1


async def test_a_no_of_a_stranger_closes_the_address_too(door: Door) -> None:
    await door.call_back(Feedback(FeedbackKind.REPLY, "f", sender="+15005550000", text="stop"))
    assert await door.suppression.is_suppressed("+15005550000") == "stop"
    assert [letter.code for letter in door.log.dead()] == ["unknown_sender"]


async def test_the_address_is_closed_before_the_log_knows(door: Door, sent: str) -> None:
    door.log.fails = True
    stop = Feedback(FeedbackKind.REPLY, "f", sender=PHONE, text="STOP")
    answer = await door.call_back(stop)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert await door.suppression.is_suppressed(PHONE) == "stop"
    door.log.fails = False
    assert (await door.call_back(stop)).status_code == 204
    assert [event.type for event in door.log.events()] == ["reply"]


@pytest.mark.parametrize(("kind", "status"), [("delivered", "sent"), ("opened", "sent"), ("failed", "failed")])
async def test_a_callback_settles_a_send_nobody_could_tell_of(door: Door, sent: str, kind: str, status: str) -> None:
    partition = partition_of("c-1", PARTITIONS)
    row = OutboxRow(
        send_id=sent,
        customer="c-1",
        run_id="r",
        journey="j",
        version="1",
        program="p",
        step="s",
        message="m",
        channel="sms",
        address=PHONE,
        purpose="marketing",
        facts={},
        decided_at=NOW,
        not_before=NOW,
        not_after=NOW + 1,
    )
    unknown = {
        "row": encode_row(row),
        "status": "unknown",
        "attempt": 1,
        "doubts": 1,
        "customer": "c-1",
        "channel": "sms",
    }
    await door.redis.hset(keys.send(partition, sent), mapping=unknown)
    await door.redis.zadd(keys.unknown(partition), {sent: NOW})
    await door.call_back(Feedback(FeedbackKind(kind), "f", send_id=sent, provider_id="SM1"))
    state = await Outbox(door.redis).read(partition, sent)
    assert state is not None
    assert (state.status, state.provider) == (status, "told")
    assert await door.redis.zcard(keys.unknown(partition)) == 0


async def test_redis_away_is_a_503_that_the_provider_repeats(door: Door, sent: str, monkeypatch: Any) -> None:
    async def away(*_: Any) -> Any:
        raise redis.exceptions.ConnectionError

    monkeypatch.setattr(type(door.redis), "get", away)
    answer = await door.call_back(Feedback(FeedbackKind.DELIVERED, "f", send_id=sent))
    assert answer.status_code == 503
    assert not door.log.appended


async def test_addresses_are_only_known_by_their_hmac(door: Door, sent: str) -> None:
    await door.call_back(Feedback(FeedbackKind.REPLY, "f", sender=PHONE, text="STOP"))
    names = [name.decode() async for name in door.redis.scan_iter()]
    assert keys.suppressed(address_hmac(SEED, PHONE)) in names
    assert not [name for name in names if "1512345" in name or "15112345678" in name]
