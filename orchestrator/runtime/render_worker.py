"""One process that renders messages: jobs come on standard input, answers go to standard output.

Started by `render_pool`, which kills it when a render does not end. A frame is four bytes of length and a pickle; both
ends are ours, nobody else can write to the pipe.
"""

from __future__ import annotations

import os
import pickle
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.content.render import render
from orchestrator.contracts.messages import Content
from orchestrator.errors import TemplateFailed

#: Bytes a process may use beyond what it starts with.
MEMORY = 256 * 1024 * 1024
READY = b"ready"


def frame(value: object) -> bytes:
    """A value on its way."""
    raw = pickle.dumps(value)
    return len(raw).to_bytes(4) + raw


def main() -> None:
    """Answer one job after another until standard input ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    # Nothing but answers may reach the pipe.
    sys.stdout = sys.stderr
    _bound_memory()
    _say(sink, READY)
    while head := source.read(4):
        job = pickle.loads(source.read(int.from_bytes(head)))  # noqa: S301 - from our own parent
        with suppress(BrokenPipeError):
            _say(sink, _answer(job))


def _say(sink: BinaryIO, value: object) -> None:
    sink.write(frame(value))
    sink.flush()


def _answer(job: tuple[Any, ...]) -> Content | tuple[str, str]:
    template, channel, facts, purpose, unsubscribe_url, locale = job
    try:
        return render(template, channel, facts, purpose=purpose, unsubscribe_url=unsubscribe_url, locale=locale)
    except TemplateFailed as error:
        return error.message, error.fix
    except MemoryError:
        return f"message '{template.name}', {channel}: it takes more memory than a message may", "show less"


def _bound_memory() -> None:
    """Where the system can: an address space of what is used now and MEMORY more."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
