"""uvicorn as a part of a process that has more to do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn


class InnerServer(uvicorn.Server):
    """Leaves signals to the process it is part of: uvicorn would raise them again before that can clean up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        #: Set once it answers.
        self.up = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()
