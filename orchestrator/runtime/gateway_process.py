"""`orchestrator gateway`: the HTTP gateway as a process of its own, against Kafka and Redis."""

from __future__ import annotations

import asyncio

import uvicorn
from starlette.types import ASGIApp

from orchestrator.errors import SettingsInvalid
from orchestrator.runtime.channels import load_channels
from orchestrator.runtime.clock import WallClock
from orchestrator.runtime.gateway import build_gateway
from orchestrator.runtime.inner_server import InnerServer
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.settings import Settings
from orchestrator.stores.client import connect


def http_server(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """A server for the gateway's app: no server header, no access log (paths hold tokens), whole answers on stop."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=10,
    )
    return InnerServer(config)


async def serve_gateway(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; requests under way are answered first.

    Raises SettingsInvalid when nobody could publish or a channel does not fit.
    """
    if not settings.gateway.keys:
        raise SettingsInvalid(
            "gateway.keys is empty, so nobody may publish",
            fix="add a name and the SHA-256 of a key to gateway.keys",
        )
    channels = load_channels(settings.channels)
    log = KafkaLog(settings.kafka)
    redis = connect(settings.redis)
    app = build_gateway(settings, log, channels, redis, WallClock())
    server = http_server(app, settings.gateway.host, settings.gateway.port)
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        for channel in channels.values():
            await channel.close()
        await log.close()
        await redis.aclose()
