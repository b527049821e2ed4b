"""Health and limits: the process is alive without its parts, ready only with them; a key that sends too much waits."""

from __future__ import annotations

import pytest
from doors import Door, settings_of

from orchestrator.runtime.rate_limit import RateLimit
from orchestrator.settings import Settings


@pytest.fixture
def settings() -> Settings:
    return settings_of(rate=0.5, burst=3)


async def test_alive_and_ready(door: Door) -> None:
    assert (await door.http.get("/livez")).status_code == 200
    ready = await door.http.get("/readyz?verbose")
    assert (ready.status_code, ready.text) == (200, "[+]log ok\n[+]redis ok\nok\n")
    door.log.fails = True
    assert (await door.http.get("/livez")).status_code == 200
    ready = await door.http.get("/readyz?verbose")
    assert (ready.status_code, ready.text) == (503, "[-]log failed\n[+]redis ok\nnot ready\n")
    assert (await door.http.get("/readyz")).text == "not ready\n"


def event(number: int) -> str:
    return f'{{"id":"e-{number}","type":"view","time":"2026-03-01T11:00:00Z","customer":"c"}}'


async def test_a_key_that_sends_too_much_is_told_when_to_come_back(door: Door) -> None:
    batch = f"[{event(1)},{event(2)},{event(3)}]".encode()
    assert (await door.publish(batch)).json()["accepted"] == 3
    answer = await door.publish(event(4).encode())
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 2
    assert len(door.log.events()) == 3


def test_the_bucket_fills_at_its_rate_and_never_over_the_burst() -> None:
    now = 0.0
    limit = RateLimit(10, 20, now=lambda: now)
    assert limit.take("a", 20) == 0
    assert limit.take("a", 5) == pytest.approx(0.5)
    assert limit.take("b", 20) == 0
    now = 0.5
    assert limit.take("a", 5) == 0
    now = 1_000.0
    assert limit.take("a", 20) == 0
    assert limit.take("a", 1) == pytest.approx(0.1)


def test_a_batch_larger_than_the_burst_passes_once_and_leaves_a_debt() -> None:
    now = 0.0
    limit = RateLimit(10, 20, now=lambda: now)
    assert limit.take("a", 100) == 0
    assert limit.take("a", 1) == pytest.approx(8.1)
    now = 10.0
    assert limit.take("a", 100) == 0
