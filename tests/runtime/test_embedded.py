"""The whole product in one process, on its own Redis: over real HTTP, through crashes and restarts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.errors import DependencyUnreachable, Fenced, OrchestratorError, SettingsInvalid
from orchestrator.runtime.api_keys import new_key
from orchestrator.runtime.clock import FastClock, WallClock
from orchestrator.runtime.embedded import Embedded
from orchestrator.runtime.local_redis import find_server
from orchestrator.settings import Settings
from orchestrator.stores.partition_state import PartitionState
from orchestrator.testing.recording_channel import RecordingChannel

KEY, KEPT = new_key("test")
SOON = 20.0
HOUR = 3_600_000
T0 = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)

POLICY = """
currency: EUR
response_value: 1
time_zone: UTC
channels:
  email: {cost: 0, consent_loss: 1, consent: {marketing: opt_out, service: opt_out}}
"""
AT_ONCE = """
name: Thanks
status: live
owner: test
trigger: purchase
reentry: always
steps:
  - send: hello
"""
LATER = AT_ONCE.replace("  - send", "  - wait: 2h\n  - send")
HELLO = """---
subject: Your order
---
Hello.
"""


@pytest.fixture(scope="module", autouse=True)
def _server() -> None:
    try:
        find_server()
    except DependencyUnreachable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(f"NO REDIS: {error}")


@pytest.fixture
def journeys(tmp_path: Path) -> Path:
    folder = tmp_path / "journeys"
    (folder / "messages").mkdir(parents=True)
    (folder / "_policy.yaml").write_text(POLICY)
    (folder / "messages" / "hello.md").write_text(HELLO)
    (folder / "thanks.yaml").write_text(AT_ONCE)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    base = Settings(data=tmp_path / "data", seed=SecretStr("test"))
    return base.model_copy(
        update={
            "topics": base.topics.model_copy(update={"partitions": 2}),
            "gateway": base.gateway.model_copy(update={"port": 0, "keys": [KEPT]}),
        }
    )


@pytest.fixture
def channel() -> RecordingChannel:
    return RecordingChannel(channel="email")


def open_embedded(settings: Settings, channel: RecordingChannel, clock: FastClock | None = None) -> Embedded:
    return Embedded(settings, clock or WallClock(), channels={"recording": channel})


def customer(name: str, when: datetime) -> dict[str, Any]:
    addresses = {"email": f"{name}@example.com"}
    return event(f"profile-{name}", "customer_updated", name, when, {"addresses": addresses})


def purchase(number: int, name: str, when: datetime) -> dict[str, Any]:
    return event(f"order-{number}", "purchase", name, when, {"order_id": f"o-{number}", "products": [{"name": "Tea"}]})


def event(event_id: str, kind: str, name: str, when: datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {"id": event_id, "type": kind, "time": when.isoformat(), "customer": name, "data": data}


async def post(embedded: Embedded, *events: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=SOON) as http:
        headers = {"Authorization": f"Bearer {KEY}"}
        return await http.post(f"{embedded.url}/v1/events", json=list(events), headers=headers)


async def accepted(embedded: Embedded, *events: dict[str, Any]) -> None:
    answer = await post(embedded, *events)
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == len(events), answer.text


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Serving:
    """`serve` in the background; ends and raises what it raised at the end of the block."""

    def __init__(self, embedded: Embedded) -> None:
        self._stop = asyncio.Event()
        self.task = asyncio.create_task(embedded.serve(self._stop))

    async def __aenter__(self) -> Serving:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop.set()
        await self.task


def to(sent: list[OutgoingMessage]) -> list[str]:
    return [message.to for message in sent]


async def test_an_event_over_http_becomes_a_message(
    settings: Settings, journeys: Path, channel: RecordingChannel
) -> None:
    now = datetime.now(UTC)
    async with open_embedded(settings, channel) as embedded:
        _, changed = await embedded.publish_journeys(journeys)
        assert changed
        async with Serving(embedded):
            await accepted(embedded, customer("ada", now), purchase(1, "ada", now), purchase(2, "bob", now))
            await eventually(lambda: len(channel.sent) == 1)
    assert to(channel.sent) == ["ada@example.com"]


async def test_a_second_start_knows_everything_of_the_first(
    settings: Settings, journeys: Path, channel: RecordingChannel
) -> None:
    now = datetime.now(UTC)
    async with open_embedded(settings, channel) as embedded:
        await embedded.publish_journeys(journeys)
        async with Serving(embedded):
            await accepted(embedded, customer("ada", now), purchase(1, "ada", now))
            await eventually(lambda: len(channel.sent) == 1)
    async with open_embedded(settings, channel) as embedded:
        _, changed = await embedded.publish_journeys(journeys)
        assert not changed
        async with Serving(embedded):
            # The same event again is a duplicate, the same order under another id too; the address is still known.
            again = purchase(1, "ada", now)
            await accepted(embedded, again, again | {"id": "other"}, purchase(2, "ada", now))
            await eventually(lambda: len(channel.sent) == 2)
            await accepted(embedded, customer("bob", now), purchase(3, "bob", now))
            await eventually(lambda: len(channel.sent) == 3)
    assert to(channel.sent) == ["ada@example.com", "ada@example.com", "bob@example.com"]


async def test_a_killed_redis_comes_back_by_itself_and_nothing_acknowledged_is_lost(
    settings: Settings, journeys: Path, channel: RecordingChannel
) -> None:
    now = datetime.now(UTC)
    async with open_embedded(settings, channel) as embedded:
        await embedded.publish_journeys(journeys)
        async with Serving(embedded):
            await accepted(embedded, customer("ada", now))
            embedded.redis.kill()
            async with asyncio.timeout(SOON):
                while (await post(embedded, purchase(1, "ada", now))).status_code != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await eventually(lambda: len(channel.sent) == 1)


async def test_a_stepped_clock_decides_when_a_wait_is_over(
    settings: Settings, journeys: Path, channel: RecordingChannel
) -> None:
    (journeys / "thanks.yaml").write_text(LATER)
    start = round(T0.timestamp() * 1000)
    clock = FastClock(start, speed=0.0)
    async with open_embedded(settings, channel, clock) as embedded:
        await embedded.publish_journeys(journeys)
        await accepted(embedded, customer("ada", T0), purchase(1, "ada", T0))
        await embedded.settle()
        due = await embedded.next_due()
        assert due == start + 2 * HOUR
        clock.set(due - 1)
        await embedded.settle()
        assert channel.sent == []
        clock.set(due)
        await embedded.settle()
        assert to(channel.sent) == ["ada@example.com"]
        assert await embedded.next_due() is None


async def test_settling_again_does_nothing(settings: Settings, journeys: Path, channel: RecordingChannel) -> None:
    clock = FastClock(round(T0.timestamp() * 1000), speed=0.0)
    async with open_embedded(settings, channel, clock) as embedded:
        await embedded.publish_journeys(journeys)
        await accepted(embedded, customer("ada", T0), purchase(1, "ada", T0))
        await embedded.settle()
        ends = [await embedded.log.end("events", partition) for partition in range(2)]
        await embedded.settle()
        assert len(channel.sent) == 1
        assert [await embedded.log.end("events", partition) for partition in range(2)] == ends


async def test_the_folder_belongs_to_one_process(
    settings: Settings, channel: RecordingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.runtime.local_redis.PREDECESSOR_GRACE", 0.0)
    async with open_embedded(settings, channel):
        with pytest.raises(DependencyUnreachable, match="in use"):
            async with open_embedded(settings, channel):
                pytest.fail("two installations on one folder")


async def test_a_taken_port_is_named(settings: Settings, channel: RecordingChannel) -> None:
    async with open_embedded(settings, channel) as embedded:
        port = int(embedded.url.rpartition(":")[2])
        taken = settings.model_copy(
            update={"gateway": settings.gateway.model_copy(update={"port": port}), "data": settings.data / "other"}
        )
        with pytest.raises(SettingsInvalid, match=f"port {port}: Address already in use"):
            open_embedded(taken, channel)


async def test_another_number_of_partitions_is_refused(settings: Settings, channel: RecordingChannel) -> None:
    async with open_embedded(settings, channel):
        pass
    other = settings.model_copy(update={"topics": settings.topics.model_copy(update={"partitions": 3})})
    with pytest.raises(OrchestratorError, match="written for 2"):
        async with open_embedded(other, channel):
            pytest.fail("customers would move unseen")


async def test_what_stops_a_worker_stops_the_process(settings: Settings, channel: RecordingChannel) -> None:
    """Here: somebody else took a partition, so that whatever we would commit is refused."""
    async with open_embedded(settings, channel) as embedded:
        serving = asyncio.create_task(embedded.serve(asyncio.Event()))
        await PartitionState(embedded.client).acquire(0)
        with pytest.raises(Fenced):
            await asyncio.wait_for(serving, SOON)
