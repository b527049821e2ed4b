"""The HTTP gateway: publishers' events, providers' callbacks, customers' unsubscribes, health.

Answers 2xx only after the log has acknowledged. No CORS, no cookies, no stack traces. Holds no state of its own but the
token buckets, so any number of them may run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from orchestrator.errors import DependencyUnreachable
from orchestrator.ports import Channel, Clock, EventLog
from orchestrator.runtime.events_api import EventsApi
from orchestrator.runtime.problems import Problem, on_away, on_crash, on_http, on_problem
from orchestrator.runtime.publishing import Publisher
from orchestrator.runtime.unsubscribe import Unsubscribe
from orchestrator.runtime.webhooks import Webhooks
from orchestrator.settings import Settings

#: Seconds a part may take to show that it is there.
_HEALTH_TIMEOUT = 2.0


def build_gateway(
    settings: Settings, log: EventLog, channels: Mapping[str, Channel[Any]], redis: Redis, clock: Clock
) -> Starlette:
    """The ASGI app. `channels` are the adapters by provider name. The caller closes all parts."""
    publisher = Publisher(log, settings.topics)
    events = EventsApi(settings.gateway, publisher, clock)
    webhooks = Webhooks(settings, publisher, channels, redis, clock)
    unsubscribe = Unsubscribe(settings, publisher, redis, clock)
    health = _Health(publisher, redis)
    return Starlette(
        routes=[
            Route("/v1/events", events.post, methods=["POST"]),
            Route("/v1/webhooks/{provider}", webhooks.post, methods=["POST"]),
            Route("/v1/webhooks/{provider}/{kind}", webhooks.post, methods=["POST"]),
            Route("/v1/unsubscribe/{token}", unsubscribe.get, methods=["GET"]),
            Route("/v1/unsubscribe/{token}", unsubscribe.post, methods=["POST"]),
            Route("/livez", _live, methods=["GET"]),
            Route("/readyz", health.ready, methods=["GET"]),
        ],
        exception_handlers={
            Problem: on_problem,
            HTTPException: on_http,
            DependencyUnreachable: on_away,
            RedisError: on_away,
            Exception: on_crash,
        },
    )


async def _live(_: Request) -> PlainTextResponse:
    """The process serves; says nothing of the parts it needs."""
    return PlainTextResponse("ok\n")


class _Health:
    def __init__(self, publisher: Publisher, redis: Redis) -> None:
        self._publisher = publisher
        self._redis = redis

    async def ready(self, request: Request) -> PlainTextResponse:
        """200 when log and Redis answer, else 503; `?verbose` lists them."""
        parts = {"log": self._publisher.reachable(), "redis": self._redis.ping()}
        answers = await asyncio.gather(*(_answers(part) for part in parts.values()))
        text = "ok\n" if all(answers) else "not ready\n"
        if "verbose" in request.query_params:
            lines = (f"[+]{name} ok" if up else f"[-]{name} failed" for name, up in zip(parts, answers, strict=True))
            text = "\n".join([*lines, text])
        return PlainTextResponse(text, 200 if all(answers) else 503)


async def _answers(part: Awaitable[Any]) -> bool:
    try:
        await asyncio.wait_for(part, _HEALTH_TIMEOUT)
    except (DependencyUnreachable, RedisError, TimeoutError, OSError):
        return False
    return True
