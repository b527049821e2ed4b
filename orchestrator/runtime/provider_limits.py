"""How fast and whether at all a provider may be called: one rate limit and one breaker per provider, shared by all
dispatchers through Redis, on Redis' clock (real time, also where the product's clock is accelerated)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from redis.asyncio import Redis

from orchestrator.contracts.receipts import Next, Outcome, Receipt
from orchestrator.stores import keys
from orchestrator.stores.scripts import script

#: Failed calls in a row after which a provider is left alone.
FAILURES = 5
#: Ms a breaker stays open after failures, and after refused credentials (a person must act, so look less often).
PAUSE = 30_000
REFUSED_PAUSE = 60_000
#: Ms a dispatcher waits inside a claim for its place under the rate limit.
PATIENCE = 1_000
#: Seconds to pause a provider that says "too many" without saying how long.
SLOW_DOWN = 1.0

Verdict = Literal["go", "probe", "busy", "open"]
_VERDICTS: dict[bytes, Verdict] = {b"go": "go", b"probe": "probe", b"busy": "busy", b"open": "open"}


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per second, and how many may start at once."""

    per_second: float
    burst: int = 1


@dataclass(frozen=True, slots=True)
class Admission:
    """`go` or `probe`: call after `wait` ms. `busy` or `open`: not now, ask again after `wait` ms."""

    verdict: Verdict
    wait: int
    #: Failures in a row seen before this call.
    failures: int

    @property
    def admitted(self) -> bool:
        return self.verdict in ("go", "probe")


class ProviderLimits:
    """Rates (provider → Rate; a provider without one is unlimited) and breakers. Raises redis.exceptions.RedisError."""

    def __init__(
        self,
        redis: Redis,
        rates: Mapping[str, Rate] | None = None,
        *,
        failures: int = FAILURES,
        pause: int = PAUSE,
        refused_pause: int = REFUSED_PAUSE,
        probe: int = 60_000,
    ) -> None:
        self._rates = dict(rates or {})
        self._failures = failures
        self._pause = pause
        self._refused_pause = refused_pause
        self._probe = probe
        self._redis = redis
        self._admit = script(redis, "admit")
        self._report = script(redis, "report")

    async def admit(self, provider: str) -> Admission:
        """Take a place for one call."""
        interval, burst = self._interval(provider)
        verdict, wait, failures = await self._admit(
            keys=[keys.breaker(provider), keys.limit(provider)], args=[interval, burst, PATIENCE, self._probe]
        )
        return Admission(_VERDICTS[bytes(verdict)], int(wait), int(failures))

    async def learn(self, provider: str, admission: Admission, receipt: Receipt) -> str:
        """Feed the answer to an admitted call back. Returns `opened` or `closed` when the breaker changed, else ''."""
        if receipt.outcome is Outcome.NOT_SENT and receipt.next is Next.PARK:
            return await self._tell(provider, "refused", receipt.code, pause=self._refused_pause)
        if receipt.outcome is Outcome.NOT_SENT and (receipt.retry_after is not None or receipt.code == "rate_limited"):
            seconds = SLOW_DOWN if receipt.retry_after is None else receipt.retry_after
            await self._tell(provider, "slow_down", receipt.code, slow=round(seconds * 1000))
            return ""
        if receipt.outcome is Outcome.UNKNOWN or (receipt.outcome is Outcome.NOT_SENT and receipt.next is Next.RETRY):
            return await self._tell(provider, "bad", receipt.code, pause=self._pause)
        if admission.verdict == "probe" or admission.failures:
            return await self._tell(provider, "good", receipt.code)
        return ""

    async def open_breakers(self, providers: list[str]) -> dict[str, str]:
        """Providers whose breaker is open, with the reason."""
        found: dict[str, str] = {}
        for provider in providers:
            state, reason = await self._redis.hmget(keys.breaker(provider), ["state", "reason"])
            if state is not None:
                found[provider] = (
                    "" if reason is None else reason.decode() if isinstance(reason, bytes) else str(reason)
                )
        return found

    async def _tell(self, provider: str, verdict: str, reason: str, *, pause: int = 0, slow: int = 0) -> str:
        interval, burst = self._interval(provider)
        answer = await self._report(
            keys=[keys.breaker(provider), keys.limit(provider)],
            args=[verdict, reason, self._failures, pause, slow, interval, burst],
        )
        return answer.decode() if isinstance(answer, bytes) else str(answer)

    def _interval(self, provider: str) -> tuple[float, int]:
        rate = self._rates.get(provider)
        return (0.0, 1) if rate is None else (1000.0 / rate.per_second, rate.burst)
