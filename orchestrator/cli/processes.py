"""`orchestrator gateway|ingest|worker|dispatcher`: the processes of an installation on Kafka and Redis.

Each waits for what it needs, stops on SIGTERM or SIGINT, and says what it does on stderr, one line a fact.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from orchestrator.settings import Settings, load


def _run(serve: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> None:
    from orchestrator.runtime.signals import stop_on_signals

    settings = load()
    _log_to_stderr()

    async def until_told() -> None:
        await serve(settings, stop_on_signals())

    asyncio.run(until_told())


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")


def gateway() -> None:
    """Take events, provider callbacks and unsubscribes over HTTP."""
    from orchestrator.runtime.gateway_process import serve_gateway

    _run(serve_gateway)


def ingest() -> None:
    """Bring events from the Kafka source topics into the log."""
    from orchestrator.runtime.source_ingest import serve_ingest

    _run(serve_ingest)


def worker() -> None:
    """Apply the log to the customers' state."""
    from orchestrator.runtime.worker import serve_worker

    _run(serve_worker)


def dispatcher() -> None:
    """Hand planned sends to the providers."""
    from orchestrator.runtime.dispatcher_process import serve_dispatcher

    _run(serve_dispatcher)
