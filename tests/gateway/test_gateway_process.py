"""The gateway as its own process on real Kafka and Redis: an accepted event is in the log, SIGTERM ends it cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time

import httpx
import pytest
from doors import KEY, STORED_KEY

from orchestrator.contracts import records
from orchestrator.errors import SettingsInvalid
from orchestrator.partitioning import partition_of
from orchestrator.runtime import topics
from orchestrator.runtime.gateway_process import serve_gateway
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.settings import Gateway, Kafka, Settings, Topics
from orchestrator.testing.services.kafka import KafkaServer

PROGRAM = "from orchestrator.cli.processes import gateway; gateway()"
EVENT = {"id": "e-1", "type": "view", "time": "2026-03-01T11:00:00Z", "customer": "c-1", "data": {"product_id": "p"}}


async def _ready(url: str, process: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + 30
    async with httpx.AsyncClient() as http:
        while True:
            try:
                answer = await http.get(f"{url}/readyz?verbose")
                if answer.status_code == 200:
                    return
            except httpx.TransportError:
                answer = None
            assert process.returncode is None, "the gateway ended"
            assert time.monotonic() < deadline, answer and answer.text
            await asyncio.sleep(0.05)


async def test_the_process(kafka: KafkaServer, redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    names = Topics(events="gateway-events", dead="gateway-dead", sources=["gateway-source"], partitions=3)
    installation = Settings(kafka=Kafka(bootstrap=kafka.bootstrap), topics=names)
    topics.create(installation)
    environment = os.environ | {
        "ORCHESTRATOR_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "ORCHESTRATOR_TOPICS": names.model_dump_json(),
        "ORCHESTRATOR_REDIS__URL": redis_url,
        "ORCHESTRATOR_GATEWAY": Gateway(port=port, keys=[STORED_KEY]).model_dump_json(),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        await _ready(url, process)
        async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {KEY}"}) as http:
            answer = await http.post("/v1/events", json=[EVENT, {"id": "bad"}])
            assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    log = KafkaLog(installation.kafka)
    try:
        (stored,) = await log.read(names.events, partition_of("c-1", 3), -1, 10)
        assert records.decode(stored.value).data == {"product_id": "p"}
        assert stored.key == b"c-1"
        assert await log.end(names.dead, 0) >= -1
    finally:
        await log.close()


async def test_without_a_key_it_does_not_start() -> None:
    with pytest.raises(SettingsInvalid, match=r"gateway\.keys is empty"):
        await serve_gateway(Settings(), asyncio.Event())


async def test_channels_are_checked_before_anything_listens() -> None:
    with pytest.raises(SettingsInvalid, match="nobody"):
        await serve_gateway(Settings(gateway=Gateway(keys=[STORED_KEY]), channels={"nobody": {}}), asyncio.Event())
