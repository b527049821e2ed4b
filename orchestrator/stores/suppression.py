"""Who must not be written to, and the kill switches. Direct Redis keys, so that a STOP works before the log is read.

A STOP or an unsubscribe is written here first, then to the log, then answered. Reads fail closed: an error of Redis is
an error for the caller, who must not send. Keys hold an HMAC of the address, never the address.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis

from orchestrator.stores import keys
from orchestrator.stores.address import address_hmac

#: `all` stops every message to the address; `marketing` lets service messages pass.
Scope = Literal["all", "marketing"]


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands against one send right now: the reason of a suppression, the name of a kill switch that is on."""

    suppressed: str = ""
    killed: str = ""

    @property
    def open(self) -> bool:
        return not self.suppressed and not self.killed


class Suppression:
    """Suppressed addresses and kill switches of the installation whose `seed` keys the addresses."""

    def __init__(self, redis: Redis, seed: str) -> None:
        self._redis = redis
        self._seed = seed
        self._kills: Mapping[str, str] = {}
        self._kills_read = -1.0

    def _key(self, address: Any) -> str:
        return keys.suppressed(address_hmac(self._seed, address))

    async def suppress(self, address: Any, *, reason: str, scope: Scope = "all") -> None:
        """Never write to this address again, from the moment this returns. Idempotent; the last reason is kept."""
        await self.suppress_hmac(address_hmac(self._seed, address), reason=reason, scope=scope)

    async def suppress_hmac(self, known: str, *, reason: str, scope: Scope = "all") -> None:
        """The same for an address of which only the HMAC is known."""
        await self._redis.hset(keys.suppressed(known), scope, reason)

    async def lift(self, address: Any, *, scope: Scope = "all") -> None:
        """Allow the address again (START, a new opt-in). `all` lifts every suppression of it."""
        if scope == "all":
            await self._redis.delete(self._key(address))
        else:
            await self._redis.hdel(self._key(address), scope)

    async def is_suppressed(self, address: Any, *, purpose: str = "marketing") -> str:
        """Why a message of this purpose must not go to the address; empty when it may."""
        return _suppressed(await self._redis.hmget(self._key(address), _scopes(purpose)))

    async def kill(self, switch: str, *, reason: str) -> None:
        """Hold back sends: `all`, `journey:<slug>` or `channel:<name>`. Rows stay planned until they expire."""
        await self._redis.hset(keys.KILL, switch, reason)
        self._kills_read = -1.0

    async def revive(self, switch: str) -> None:
        """Switch a kill switch off."""
        await self._redis.hdel(keys.KILL, switch)
        self._kills_read = -1.0

    async def kills(self) -> Mapping[str, str]:
        """The switches that are on, with their reasons; at most one second old."""
        if self._kills_read < 0 or time.monotonic() - self._kills_read > 1.0:
            found = await self._redis.hgetall(keys.KILL)
            self._kills = {_text(name): _text(reason) for name, reason in found.items()}
            self._kills_read = time.monotonic()
        return self._kills

    async def gate(self, address: Any, *, purpose: str, journey: str, channel: str) -> Gate:
        """Suppression and kill switches for one send, read now, in one round trip and never from a cache."""
        switches = ["all", f"journey:{journey}", f"channel:{channel}"]
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hmget(self._key(address), _scopes(purpose))
        pipeline.hmget(keys.KILL, switches)
        scopes, kills = await pipeline.execute()
        killed = next((switch for switch, reason in zip(switches, kills, strict=True) if reason is not None), "")
        return Gate(suppressed=_suppressed(scopes), killed=killed)


def _scopes(purpose: str) -> list[str]:
    return ["all"] if purpose == "service" else ["all", "marketing"]


def _suppressed(reasons: list[Any]) -> str:
    return next((_text(reason) or "suppressed" for reason in reasons if reason is not None), "")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
