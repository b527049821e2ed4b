"""What every fake provider shares: the ledger, the faults, and the road a request takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator.testing.fakes.accounts import Accounts
from orchestrator.testing.fakes.faults import Fault, Faults
from orchestrator.testing.fakes.ledger import Ledger, LedgerEntry

#: Where the server puts its connection into a request's scope, so that a fault can close it.
TRANSPORT = "orchestrator.transport"

OnAccept = Callable[[LedgerEntry], Awaitable[None]]


class Dropped(Response):
    """An answer that never comes: the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = scope.get(TRANSPORT)
        if transport is None:
            # Another server, or none: the nearest thing is an error that the caller sees as a broken connection.
            raise ConnectionResetError("dropped by a fault rule")
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


class World:
    """The state all fakes share."""

    def __init__(self, *, now: Callable[[], int] | None = None, ledger_file: Path | None = None) -> None:
        self.accounts = Accounts()
        self.ledger = Ledger(ledger_file)
        self.faults = Faults()
        #: ms UTC; a demo gives its own accelerated clock.
        self.now: Callable[[], int] = now or (lambda: time.time_ns() // 1_000_000)
        self.closing = asyncio.Event()
        #: What a hook raised; `ProviderFakes.stop` raises it again.
        self.errors: list[BaseException] = []
        self._hooks: list[OnAccept] = []
        self._running: set[asyncio.Task[None]] = set()

    def on_accept(self, callback: OnAccept) -> None:
        self._hooks.append(callback)

    def accept(self, provider: str, channel: str, **fields: Any) -> LedgerEntry:
        """Record a request and tell the hooks, which run beside the answer."""
        entry = self.ledger.record(provider, channel, time=self.now(), **fields)
        for hook in self._hooks:
            task = asyncio.ensure_future(self._run(hook, entry))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return entry

    async def _run(self, hook: OnAccept, entry: LedgerEntry) -> None:
        try:
            await hook(entry)
        except Exception as error:
            self.errors.append(error)

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than the fakes live."""
        try:
            await asyncio.wait_for(self.closing.wait(), seconds)
        except TimeoutError:
            return

    async def close(self) -> None:
        self.closing.set()
        if self._running:
            await asyncio.wait(self._running, timeout=5.0)
        self.ledger.close()

    async def respond(
        self,
        provider: str,
        address: str,
        accept: Callable[[], Response],
        refuse: Callable[[Fault], Response],
    ) -> Response:
        """The road of a valid request: fault rule, ledger, answer. `accept` records and builds the good answer."""
        fault = self.faults.take(provider, address)
        if fault is None:
            return accept()
        answer = accept() if fault.accepts else None
        if fault.kind == "slow":
            await self.pause(fault.delay)
            return answer or Dropped()
        if fault.kind == "drop":
            return Dropped()
        return refuse(fault)


def bearer(request: Request) -> str:
    """The bearer token of a request, empty when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def retry_headers(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
