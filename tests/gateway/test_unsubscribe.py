"""One-click unsubscribe as mail programs, scanners and people use it."""

from __future__ import annotations

import pytest
from doors import NOW, PARTITIONS, Door

from orchestrator.partitioning import partition_of
from orchestrator.runtime.links import send_of_token, unsubscribe_url
from orchestrator.stores import keys

ADDRESS = "Ann@Example.com"
PUBLIC = "https://hooks.example.com"


@pytest.fixture
async def path(door: Door) -> str:
    """The path of the link in a letter to ADDRESS that went out."""
    await door.recipients.remember("s-1", "c-1", ADDRESS)
    await door.redis.hset(keys.send(partition_of("c-1", PARTITIONS), "s-1"), mapping={"channel": "email"})
    url = unsubscribe_url(door.settings, "s-1")
    assert url.startswith(f"{PUBLIC}/v1/unsubscribe/")
    return url.removeprefix(PUBLIC)


async def test_post_needs_nothing_but_the_link(door: Door, path: str) -> None:
    answer = await door.http.post(path, data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert "unsubscribed" in answer.text
    assert await door.suppression.is_suppressed("ann@example.com") == "unsubscribed"
    assert await door.suppression.is_suppressed("ann@example.com", purpose="service") == ""
    (event,) = door.log.events()
    assert (event.type, event.customer, event.time) == ("message_unsubscribed", "c-1", NOW)
    assert event.data == {"send_id": "s-1", "channel": "email"}
    await door.http.post(path)
    assert len({event.id for event in door.log.events()}) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_looking_changes_nothing(door: Door, path: str, method: str) -> None:
    answer = await door.http.request(method, path)
    assert answer.status_code == 200
    assert await door.suppression.is_suppressed(ADDRESS) == ""
    assert not door.log.appended
    assert "script" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["referrer-policy"] == "no-referrer"
    if method == "GET":
        assert '<form method="post"><button' in answer.text


async def test_the_address_is_closed_before_the_log_knows(door: Door, path: str) -> None:
    door.log.fails = True
    assert (await door.http.post(path)).status_code == 503
    assert await door.suppression.is_suppressed(ADDRESS) == "unsubscribed"


async def test_every_changed_link_is_refused(door: Door, path: str) -> None:
    head, _, token = path.rpartition("/")
    assert send_of_token(door.settings, token) == "s-1"
    # The unused bits of the last letter change nothing in the bytes, so they too must be refused.
    for position in range(len(token)):
        for letter in "Aw-_":
            if letter != token[position]:
                assert send_of_token(door.settings, token[:position] + letter + token[position + 1 :]) is None
    for forged in (token + "A", token[:-1], "x", "%00", "%C3%BC", "=" * 5, token + "="):
        for method in ("GET", "POST"):
            assert (await door.http.request(method, f"{head}/{forged}")).status_code == 404
    assert await door.suppression.is_suppressed(ADDRESS) == ""


async def test_a_link_older_than_our_memory_says_so(door: Door, path: str) -> None:
    await door.redis.delete(keys.sent_to("s-1"))
    assert (await door.http.post(path)).status_code == 410


async def test_the_link_tells_nobody_who_it_is_for(door: Door, path: str) -> None:
    import base64

    token = path.rpartition("/")[2]
    seen = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert b"c-1" not in seen
    assert b"xample" not in seen
