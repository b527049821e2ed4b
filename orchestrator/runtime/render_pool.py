"""Renders messages in processes of their own, so that a template that does not end costs one customer one send.

A render that takes more than 200 ms of processor time is killed with its process, and a new one takes its place. On a
busy machine a good message gets the time it needs on the clock, within limits. Memory is bounded in
the process, the output by the renderer (64 KiB). The checks of `language.templates` refuse what is known to explode;
this is the wall behind them.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from orchestrator.content.render import render
from orchestrator.contracts.messages import Content
from orchestrator.errors import TemplateFailed
from orchestrator.language.program import MessageTemplate
from orchestrator.runtime.render_worker import frame

#: Seconds of its processor time that one render may take, and times that on the clock, whatever the machine does.
LIMIT = 0.2
PATIENCE = 25
#: Seconds a process may take to start.
START_LIMIT = 30.0
#: Bytes of one answer: the rendered parts and their HTML frame, with room to spare.
MOST_BYTES = 1024 * 1024


class Renderer(Protocol):
    """What an attempt asks for its content."""

    async def render(
        self,
        template: MessageTemplate,
        channel: str,
        facts: Mapping[str, Any],
        *,
        purpose: str,
        unsubscribe_url: str,
        locale: str,
    ) -> Content:
        """The content of one message. Raises TemplateFailed."""
        ...

    async def close(self) -> None: ...


class RenderHere:
    """Renders in this process: for tests and tools whose templates are their own."""

    async def render(
        self,
        template: MessageTemplate,
        channel: str,
        facts: Mapping[str, Any],
        *,
        purpose: str,
        unsubscribe_url: str,
        locale: str,
    ) -> Content:
        return render(template, channel, facts, purpose=purpose, unsubscribe_url=unsubscribe_url, locale=locale)

    async def close(self) -> None:
        return


class RenderPool:
    """A `Renderer` of a few processes, each with one message at a time. They start when first needed."""

    def __init__(self, size: int = 2, *, limit: float = LIMIT) -> None:
        self._limit = limit
        self._workers = [_Worker() for _ in range(size)]
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        for worker in self._workers:
            self._idle.put_nowait(worker)

    async def render(
        self,
        template: MessageTemplate,
        channel: str,
        facts: Mapping[str, Any],
        *,
        purpose: str = "marketing",
        unsubscribe_url: str = "",
        locale: str = "",
    ) -> Content:
        """As `content.render.render`. Raises TemplateFailed, also when time or memory is up."""
        worker = await self._idle.get()
        try:
            job = (template, channel, dict(facts), purpose, unsubscribe_url, locale)
            said = await worker.ask(job, self._limit)
        except (TimeoutError, EOFError, OSError):
            await worker.kill()
            raise TemplateFailed(
                f"message '{template.name}', {channel}: it did not end within {self._limit * 1000:.0f} ms",
                fix=f"show less, with fewer loops, in {template.file or 'it'}",
            ) from None
        except BaseException:
            # Cancelled at work: the answer would go to the next asker.
            await worker.kill()
            raise
        finally:
            self._idle.put_nowait(worker)
        if isinstance(said, Content):
            return said
        message, fix = said
        raise TemplateFailed(message, fix=fix)

    async def close(self) -> None:
        """End every process."""
        for worker in self._workers:
            await worker.kill()


class _Worker:
    """One process, started when it is needed and again after it was killed."""

    def __init__(self) -> None:
        self._process: Process | None = None

    async def ask(self, job: tuple[Any, ...], limit: float) -> Any:
        """The answer to a job. Raises TimeoutError, and EOFError when the process died."""
        process = self._process
        if process is None or process.returncode is not None:
            process = await self._start()
        assert process.stdin is not None
        used = _processor_seconds(process.pid)
        process.stdin.write(frame(job))
        answer = asyncio.ensure_future(_answer(process))
        try:
            for _ in range(PATIENCE):
                await asyncio.wait({answer}, timeout=limit)
                if answer.done():
                    return answer.result()
                now = _processor_seconds(process.pid)
                if used is None or now is None or now - used >= limit:
                    break
        finally:
            answer.cancel()
        raise TimeoutError

    async def _start(self) -> Process:
        await self.kill()
        command = (sys.executable, "-m", "orchestrator.runtime.render_worker")
        # A session of its own: Ctrl-C on a terminal is for us; the process ends when its input does.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, start_new_session=True, limit=MOST_BYTES
        )
        self._process = process
        await asyncio.wait_for(_answer(process), START_LIMIT)
        return process

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.communicate()


def _processor_seconds(pid: int) -> float | None:
    """What the process has used so far, where the system tells (Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _answer(process: Process) -> Any:
    assert process.stdout is not None
    size = int.from_bytes(await process.stdout.readexactly(4))
    return pickle.loads(await process.stdout.readexactly(size))  # noqa: S301 - from our own child
