"""Rate limit and breaker of a provider, shared by all who call it."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from sends import until

from orchestrator.contracts.receipts import Next, Outcome, Receipt
from orchestrator.runtime.provider_limits import Admission, ProviderLimits, Rate

SENT = Receipt(Outcome.SENT)
TIMEOUT = Receipt(Outcome.UNKNOWN, code="timeout")


async def test_calls_are_spread_over_time_for_all_together(redis_client: Redis) -> None:
    two = [ProviderLimits(redis_client, {"p": Rate(100, burst=5)}) for _ in range(2)]
    admissions = await asyncio.gather(*(two[number % 2].admit("p") for number in range(25)))
    assert all(one.admitted for one in admissions)
    waits = sorted(one.wait for one in admissions)
    # Five at once, then one every 10 ms: the last of 25 waits about 200 ms, less the little time the asking took.
    assert waits[:5] == [0] * 5
    assert 100 <= waits[-1] <= 200
    assert (await ProviderLimits(redis_client, {"p": Rate(100)}).admit("other")).wait == 0


async def test_whoever_would_wait_too_long_is_told_so(redis_client: Redis) -> None:
    limits = ProviderLimits(redis_client, {"p": Rate(1)})
    verdicts = [(await limits.admit("p")).verdict for _ in range(4)]
    assert verdicts == ["go", "go", "busy", "busy"]


async def test_retry_after_pauses_everybody(redis_client: Redis) -> None:
    one, other = ProviderLimits(redis_client), ProviderLimits(redis_client)
    admission = await one.admit("p")
    await one.learn("p", admission, Receipt(Outcome.NOT_SENT, next=Next.RETRY, code="rate_limited", retry_after=30))
    told = await other.admit("p")
    assert (told.verdict, 29_000 < told.wait <= 30_000) == ("busy", True)
    assert await one.open_breakers(["p"]) == {}, "a provider that is busy is not broken"


async def test_failures_in_a_row_open_the_breaker_and_one_probe_closes_it(redis_client: Redis) -> None:
    limits = ProviderLimits(redis_client, failures=3, pause=100)
    changes = []
    for receipt in (TIMEOUT, TIMEOUT, SENT, TIMEOUT, TIMEOUT, TIMEOUT):
        changes.append(await limits.learn("p", await limits.admit("p"), receipt))
    assert changes == ["", "", "", "", "", "opened"]
    assert (await limits.admit("p")).verdict == "open"
    assert await limits.open_breakers(["p", "q"]) == {"p": "timeout"}

    async def probed() -> bool:
        return (await limits.admit("p")).verdict == "probe"

    await until(probed)
    assert (await limits.admit("p")).verdict == "open", "one probe at a time"
    probe = Admission("probe", 0, 3)
    assert await limits.learn("p", probe, TIMEOUT) == "", "a failed probe keeps it open"
    await until(probed)
    assert await limits.learn("p", probe, SENT) == "closed"
    assert (await limits.admit("p")).verdict == "go"


async def test_refused_credentials_open_at_once(redis_client: Redis) -> None:
    limits = ProviderLimits(redis_client)
    refused = Receipt(Outcome.NOT_SENT, next=Next.PARK, code="auth")
    assert await limits.learn("p", await limits.admit("p"), refused) == "opened"
    assert await limits.open_breakers(["p"]) == {"p": "auth"}
