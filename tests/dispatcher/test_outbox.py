"""The life of a send in real Redis: who may move it, and when."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from sends import HOUR, START, plan, row, state, told

from orchestrator.stores import keys, outbox
from orchestrator.stores.outbox import Outbox, Settlement


async def claim_one(store: Outbox, now: int = START, owner: str = "a", deadline: int = START + 60_000) -> outbox.Claim:
    [claim] = await store.claim(0, now, 10, owner, deadline)
    return claim


async def test_claims_what_is_due_and_nothing_else(redis_client: Redis) -> None:
    store = Outbox(redis_client)
    await plan(redis_client, row("due"), row("later", not_before=START + 1))
    claims = await store.claim(0, START, 10, "a", START + 60_000)
    assert [(one.row.send_id, one.attempt) for one in claims] == [("due", 1)]
    assert claims[0].row == row("due")
    assert await store.claim(0, START, 10, "b", START + 60_000) == []
    assert await redis_client.zscore(keys.sending(0), "due") == START + 60_000
    assert await store.ready(1, START) == []
    assert await store.ready(1, START + 1) == [0]


async def test_a_row_past_its_time_ends_as_expired(redis_client: Redis) -> None:
    store = Outbox(redis_client, retention=1_000_000)
    await plan(redis_client, row())
    assert await store.claim(0, START + 49 * HOUR, 10, "a", 0) == []
    found = await state(redis_client)
    assert (found.status, found.row) == ("expired", None)
    assert 0 < await redis_client.pttl(keys.send(0, "s1")) <= 1_000_000
    [event] = await told(redis_client)
    assert (event.id, event.type, event.data["reason"]) == ("s1:expired", "message_failed", "expired")


async def test_a_repeated_claim_call_finds_its_own_claim(redis_client: Redis) -> None:
    """The client may repeat a command whose answer was lost."""
    store = Outbox(redis_client)
    await plan(redis_client, row())
    first = await claim_one(store)
    # The same call, byte for byte: read the same candidates again.
    await redis_client.zadd(keys.planned(0), {"s1": START})
    again = await claim_one(store)
    assert again == first
    await redis_client.zadd(keys.planned(0), {"s1": START})
    assert await store.claim(0, START, 10, "somebody else", START) == []
    assert await redis_client.zcard(keys.planned(0)) == 0


async def test_sent_closes_and_tells(redis_client: Redis) -> None:
    store = Outbox(redis_client, retention=5_000)
    await plan(redis_client, row())
    claim = await claim_one(store)
    assert (await store.settle(claim, outbox.sent("sendgrid", "m1"), START + 5)).accepted
    found = await state(redis_client)
    assert (found.status, found.provider, found.provider_id, found.tries) == ("sent", "sendgrid", "m1", 1)
    assert found.row is None
    assert 0 < await redis_client.pttl(keys.send(0, "s1")) <= 5_000
    [event] = await told(redis_client)
    assert (event.id, event.type, event.customer, event.time) == ("s1:sent", "message_sent", "customer-s1", START + 5)
    assert event.data == {"send_id": "s1", "channel": "email", "provider": "sendgrid", "provider_id": "m1"}
    # Repeating the settlement (lost answer) is harmless and tells nothing twice.
    assert (await store.settle(claim, outbox.sent("sendgrid", "m1"), START + 6)).accepted
    assert len(await told(redis_client)) == 1
    for index in (keys.planned(0), keys.sending(0), keys.unknown(0), keys.parked(0)):
        assert await redis_client.zcard(index) == 0


async def test_a_planned_id_is_never_planned_again(redis_client: Redis) -> None:
    store = Outbox(redis_client)
    await plan(redis_client, row())
    await store.settle(await claim_one(store), outbox.sent("p", "1"), START)
    await plan(redis_client, row())
    assert await store.claim(0, START, 10, "b", 0) == []


async def test_stale_attempt_is_refused(redis_client: Redis) -> None:
    store = Outbox(redis_client)
    await plan(redis_client, row(on_unknown="retry"))
    first = await claim_one(store)
    await store.settle(first, outbox.put_back(START, "connect", provider="p", tried=True), START)
    second = await claim_one(store, owner="b")
    assert (second.attempt, second.tries) == (2, 1)
    late = await store.settle(first, outbox.failed("bad"), START)
    assert (late.accepted, late.status, late.attempt) == (False, "sending", 2)
    # The number alone is not enough: after a roll-back numbers repeat.
    forged = outbox.Claim(second.row, 0, 2, "a", 1, 0)
    assert not (await store.settle(forged, outbox.failed("bad"), START)).accepted
    assert (await state(redis_client)).status == "sending"
    assert await told(redis_client) == []
    assert await redis_client.hget(keys.count(0), "sends:late") == b"2"


async def test_reaped_claims_are_unknown(redis_client: Redis) -> None:
    store = Outbox(redis_client)
    await plan(redis_client, row())
    claim = await claim_one(store, deadline=START + 10)
    assert await store.reap(0, START + 9, now=START, next_look=START + 99) == 0
    assert await store.overdue(1, START + 10) == [0]
    assert await store.reap(0, START + 10, now=START, next_look=START + 99) == 1
    found = await state(redis_client)
    assert (found.status, found.doubts, found.code) == ("unknown", 1, "claim_lost")
    assert not (await store.settle(claim, outbox.failed("bad"), START)).accepted
    assert await redis_client.zscore(keys.unknown(0), "s1") == START + 99
    assert await told(redis_client) == []


async def test_a_send_in_doubt_never_ends_as_confirmed_not_sent(redis_client: Redis) -> None:
    """`message_failed` frees the cap: it must not be said while an earlier attempt may have gone out."""
    store = Outbox(redis_client)
    await plan(redis_client, row("a"), row("b"))
    for claim in await store.claim(0, START, 10, "first", START):
        await store.settle(claim, outbox.unknown("timeout", START), START)
        in_doubt = await state(redis_client, claim.row.send_id)
        assert (await store.resolve(in_doubt, outbox.put_back(START, "retry_once"), START)).accepted
    [second] = await store.claim(0, START, 1, "second", START)
    assert second.doubts == 1
    await store.settle(second, outbox.failed("invalid_address"), START)
    assert await store.claim(0, START + 49 * HOUR, 10, "c", 0) == []
    for send_id in ("a", "b"):
        assert (await state(redis_client, send_id)).status == "unknown"
    assert {event.type for event in await told(redis_client)} == {"message_unknown"}


@pytest.mark.parametrize("before", ["sending", "unknown", "planned", "parked"])
async def test_the_providers_word_beats_every_open_status(redis_client: Redis, before: str) -> None:
    store = Outbox(redis_client)
    await plan(redis_client, row())
    claim = await claim_one(store)
    if before in ("unknown", "planned"):
        await store.settle(claim, outbox.unknown("timeout", START), START)
    if before == "planned":
        await store.resolve(await state(redis_client), outbox.put_back(START, "retry_once"), START)
    if before == "parked":
        await store.settle(claim, outbox.parked("auth", START), START)
    assert (await state(redis_client)).status == before
    assert (await store.confirm(0, "s1", outbox.sent("p", "m1"), START)).accepted
    assert (await state(redis_client)).status == "sent"
    assert not (await store.confirm(0, "s1", outbox.failed("reported"), START)).accepted
    assert await store.claim(0, START, 10, "b", 0) == []
    # The dispatcher's own answer to the same attempt comes second, and agrees.
    if before == "sending":
        assert (await store.settle(claim, outbox.sent("p", "m1"), START)).accepted
    assert [event.id for event in await told(redis_client)] == ["s1:sent"]


async def test_nobody_confirms_what_was_never_claimed(redis_client: Redis) -> None:
    store = Outbox(redis_client)
    await plan(redis_client, row())
    assert not (await store.confirm(0, "s1", outbox.sent("p", "m1"), START)).accepted
    assert not (await store.confirm(0, "no such send", outbox.sent("p", "m1"), START)).accepted
    assert (await state(redis_client)).status == "planned"


async def test_an_unknown_is_closed_once_and_not_reopened(redis_client: Redis) -> None:
    """Two dispatchers look at the same unknown send: the second finds it closed."""
    store = Outbox(redis_client)
    await plan(redis_client, row())
    await store.settle(await claim_one(store), outbox.unknown("timeout", START), START)
    seen = await state(redis_client)
    closing = Settlement("unknown", code="timeout")
    assert (await store.resolve(seen, closing, START)).accepted
    assert not (await store.resolve(seen, closing, START)).accepted
    assert not (await store.resolve(seen, outbox.put_back(START, "retry_once"), START)).accepted
    assert await redis_client.zcard(keys.planned(0)) == 0
    assert [event.type for event in await told(redis_client)] == ["message_unknown"]
    # A late callback still settles it.
    assert (await store.confirm(0, "s1", outbox.sent("p", "m1"), START)).accepted


async def test_parked_waits_for_a_person(redis_client: Redis) -> None:
    store = Outbox(redis_client)
    await plan(redis_client, row())
    await store.settle(await claim_one(store), outbox.parked("auth", START, provider="p"), START)
    assert [(one.send_id, one.code) for one in await store.waiting(0)] == [("s1", "auth")]
    assert await store.claim(0, START, 10, "b", 0) == []
    assert (await store.release(0, "s1", START)).accepted
    assert (await claim_one(store, owner="b")).attempt == 2


async def test_a_dead_number_and_a_stop_are_told_apart(redis_client: Redis) -> None:
    store = Outbox(redis_client)
    await plan(redis_client, row("dead"), row("stop"))
    by_id = {one.row.send_id: one for one in await store.claim(0, START, 10, "a", START)}
    await store.settle(by_id["dead"], outbox.suppressed("gone", code="invalid_address", permanent=True), START)
    await store.settle(by_id["stop"], outbox.suppressed("21610", code="unsubscribed"), START)
    events = {event.id: event for event in await told(redis_client)}
    assert set(events) == {"dead:suppressed", "stop:suppressed", "stop:unsubscribed"}
    assert events["dead:suppressed"].data["permanent"] is True
    assert "permanent" not in events["stop:suppressed"].data
    assert events["stop:unsubscribed"].type == "message_unsubscribed"


async def test_an_unreadable_row_does_not_stop_the_others(redis_client: Redis) -> None:
    store = Outbox(redis_client)
    await plan(redis_client, row("bad"), row("good"))
    await redis_client.hset(keys.send(0, "bad"), "row", b"\xc1")
    await redis_client.zadd(keys.planned(0), {"orphan": START})
    claims = await store.claim(0, START, 10, "a", START)
    assert [one.row.send_id for one in claims] == ["good"]
    assert (await state(redis_client, "bad")).status == "failed"
    assert await redis_client.zcard(keys.planned(0)) == 0


async def test_folding_the_journal_after_a_roll_back(redis_client: Redis) -> None:
    """Redis forgot the attempts; the journal knows: sent, or perhaps sent, must not be planned afresh."""
    store = Outbox(redis_client)
    rest = {"now": START, "next_look": START, "customer": "c", "channel": "email", "provider": "p"}
    await plan(redis_client, row("was-sent"), row("in-doubt"), row("not-sent"))
    assert await store.fold(0, "was-sent", attempt=1, outcome="sent", **rest) == "sent"
    assert await store.fold(0, "in-doubt", attempt=1, outcome="", **rest) == "unknown"
    assert await store.fold(0, "not-sent", attempt=1, outcome="not_sent", **rest) == ""
    # Sends whose plan was lost too: the replay must not plan them.
    assert await store.fold(0, "lost-sent", attempt=2, outcome="sent", **rest) == "sent"
    assert await store.fold(0, "lost-doubt", attempt=1, outcome="", **rest) == "unknown"
    await plan(redis_client, row("lost-sent"), row("lost-doubt"))
    claims = await store.claim(0, START, 10, "a", START)
    assert [(one.row.send_id, one.attempt) for one in claims] == [("not-sent", 2)]
    # Again: nothing new.
    assert await store.fold(0, "was-sent", attempt=1, outcome="sent", **rest) == ""
    assert await store.fold(0, "in-doubt", attempt=1, outcome="", **rest) == ""
    assert [event.id for event in await told(redis_client)] == ["was-sent:sent", "lost-sent:sent"]


async def test_scripts_check_before_they_write(redis_client: Redis) -> None:
    from redis.exceptions import ResponseError

    from orchestrator.stores.scripts import script

    for name, keys_given in (("claim", 5), ("settle", 7), ("fold", 7), ("admit", 2), ("report", 2)):
        with pytest.raises(ResponseError, match=f"{name}: arguments do not fit"):
            await script(redis_client, name)(keys=[f"k{n}" for n in range(keys_given)], args=["x", "y"])
    assert await redis_client.dbsize() <= 1
