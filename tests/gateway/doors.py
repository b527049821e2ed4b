"""A real gateway on a real port with real Redis; the log is the one part kept in memory, so that it can fail."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx
import pytest
import redis.asyncio
from orchestrator_channels.sms.twilio import Twilio, TwilioSettings
from pydantic import BaseModel, SecretStr

from orchestrator.contracts import dead_letters, records
from orchestrator.contracts.dead_letters import DeadLetter
from orchestrator.contracts.receipts import Callback, Feedback
from orchestrator.errors import DependencyUnreachable, WebhookRefused
from orchestrator.ports import LogRecord
from orchestrator.runtime.api_keys import new_key
from orchestrator.runtime.gateway import build_gateway
from orchestrator.runtime.gateway_process import http_server
from orchestrator.settings import Gateway, Settings, Topics
from orchestrator.stores.recipients import Recipients
from orchestrator.stores.suppression import Suppression

#: The time at which everything in these tests is received: 2026-03-01T12:00:00Z.
NOW = 1_772_366_400_000
PARTITIONS = 4
SEED = "gateway-tests"
KEY, STORED_KEY = new_key("shop")
TWILIO_TOKEN = "0" * 31 + "1"
TWILIO = TwilioSettings(account_sid=f"AC{TWILIO_TOKEN}", auth_token=SecretStr(TWILIO_TOKEN), sender="+15005550006")


class StandingClock:
    def now(self) -> int:
        return NOW


@dataclass
class MemoryLog:
    """An EventLog that keeps records in lists, notes the order of things, and fails when told to."""

    notes: list[str] = field(default_factory=list)
    fails: bool = False
    appended: dict[tuple[str, int], list[tuple[bytes | None, bytes]]] = field(default_factory=lambda: defaultdict(list))

    async def append(self, topic: str, partition: int, values: Sequence[tuple[bytes | None, bytes]]) -> None:
        if self.fails:
            raise DependencyUnreachable("no broker answers")
        self.appended[topic, partition].extend(values)
        self.notes.append(f"append {topic}")

    async def read(self, topic: str, partition: int, after: int, limit: int) -> Sequence[LogRecord]:
        values = self.appended[topic, partition][after + 1 : after + 1 + limit]
        return [LogRecord(after + 1 + index, value, key=key) for index, (key, value) in enumerate(values)]

    async def end(self, topic: str, partition: int) -> int:
        return len(self.appended[topic, partition]) - 1

    async def partitions(self, topic: str) -> int:
        if self.fails:
            raise DependencyUnreachable("no broker answers")
        return PARTITIONS

    async def close(self) -> None:
        return None

    def events(self) -> list[records.Event]:
        """All events, partition by partition."""
        return [records.decode(value) for value in self._values("events")]

    def dead(self) -> list[DeadLetter]:
        return [dead_letters.decode(value) for value in self._values("dead-letters")]

    def partition_of(self, event_id: str) -> int:
        return next(
            partition
            for (topic, partition), values in self.appended.items()
            if topic == "events" and any(records.decode(value).id == event_id for _, value in values)
        )

    def _values(self, topic: str) -> list[bytes]:
        return [value for (name, _), values in sorted(self.appended.items()) if name == topic for _, value in values]


class Nothing(BaseModel):
    pass


@dataclass
class Told:
    """A channel whose callbacks say what the test wants; signed when the header says so."""

    feedback: list[Feedback] = field(default_factory=list)
    seen: list[Callback] = field(default_factory=list)

    name: ClassVar[str] = "told"
    channel: ClassVar[str] = "sms"
    address: ClassVar[str] = "phone"
    Settings: ClassVar[type[BaseModel]] = Nothing

    def build(self, message: Any) -> Any:
        raise NotImplementedError

    async def send(self, request: Any) -> Any:
        raise NotImplementedError

    def verify(self, callback: Callback) -> None:
        self.seen.append(callback)
        if callback.headers.get("x-signature") != "good":
            raise WebhookRefused("the signature does not fit")

    def parse(self, callback: Callback) -> Sequence[Feedback]:
        return self.feedback

    async def close(self) -> None:
        return None


@dataclass
class Door:
    """The running gateway and what lies behind it."""

    http: httpx.AsyncClient
    log: MemoryLog
    channel: Told
    settings: Settings
    recipients: Recipients
    suppression: Suppression
    redis: redis.asyncio.Redis

    async def publish(self, content: bytes, **headers: str) -> httpx.Response:
        """POST /v1/events with the right key; header names have `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"authorization": f"Bearer {KEY}", "content-type": "application/json"} | named
        return await self.http.post("/v1/events", content=content, headers=sent)

    async def call_back(self, *feedback: Feedback, path: str = "told", signature: str = "good") -> httpx.Response:
        self.channel.feedback = list(feedback)
        return await self.http.post(f"/v1/webhooks/{path}", content=b"raw", headers={"x-signature": signature})


def settings_of(**gateway: Any) -> Settings:
    return Settings(
        seed=SEED,
        topics=Topics(partitions=PARTITIONS),
        gateway=Gateway(public_url="https://hooks.example.com/", keys=[STORED_KEY], **gateway),
    )


@pytest.fixture
def settings() -> Settings:
    """Override in a test module to run the gateway with other settings."""
    return settings_of()


@pytest.fixture
async def door(redis_client: redis.asyncio.Redis, settings: Settings) -> AsyncIterator[Door]:
    log, channel, twilio = MemoryLog(), Told(), Twilio(TWILIO)
    app = build_gateway(settings, log, {"told": channel, "twilio": twilio}, redis_client, StandingClock())
    server = http_server(app, "127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # It listens already, so requests wait until the server accepts them.
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=10) as http:
                yield Door(
                    http,
                    log,
                    channel,
                    settings,
                    Recipients(redis_client, SEED),
                    Suppression(redis_client, SEED),
                    redis_client,
                )
        finally:
            # Cancelled rather than asked: uvicorn's own way out takes two tenths of a second, here for every test.
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            for accepting in server.servers:
                accepting.close()
                await accepting.wait_closed()
            await twilio.close()
