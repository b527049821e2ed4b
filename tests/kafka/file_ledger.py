"""A PartitionOwner on files: fence, position and a ledger of what was applied, shared by processes, without Redis.

Run as a program it is a worker process: `python file_ledger.py FOLDER [hung]`; settings come from ORCHESTRATOR_
variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.errors import Fenced
from orchestrator.ports import LogRecord
from orchestrator.runtime.app import run_worker
from orchestrator.runtime.signals import stop_on_signals
from orchestrator.settings import load


class Ledger:
    """Positions and lines `worker from to values` of each partition, in a folder."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self.folder = folder
        self.name = name or str(os.getpid())
        self.epochs: dict[int, int] = {}
        #: (what, partition) in the order of calls.
        self.calls: list[tuple[str, int]] = []
        self.refused = 0

    @contextlib.contextmanager
    def _state(self, partition: int) -> Iterator[dict[str, int]]:
        path = self.folder / f"{partition}.json"
        with (self.folder / f"{partition}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = json.loads(path.read_text()) if path.exists() else {"epoch": 0, "next": 0}
            yield state
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(state))
            fresh.rename(path)

    def start_at(self, partition: int, offset: int) -> None:
        with self._state(partition) as state:
            state["next"] = offset

    def position(self, partition: int) -> int:
        with self._state(partition) as state:
            return state["next"]

    def positions(self, partitions: int) -> int:
        """The sum of all positions."""
        return sum(self.position(partition) for partition in range(partitions))

    def values(self, partition: int) -> list[int]:
        """All values applied, in order."""
        path = self.folder / f"{partition}.ledger"
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(value) for line in lines for value in line.split()[3:]]

    def workers(self, partition: int) -> list[str]:
        path = self.folder / f"{partition}.ledger"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    async def acquire(self, partition: int) -> int:
        self.calls.append(("acquire", partition))
        with self._state(partition) as state:
            state["epoch"] += 1
            self.epochs[partition] = state["epoch"]
            return state["next"]

    async def apply(self, partition: int, records: Sequence[LogRecord]) -> None:
        self.calls.append(("apply", partition))
        with self._state(partition) as state:
            if state["epoch"] != self.epochs[partition]:
                self.refused += 1
                raise Fenced("another owner took the partition")
            values = " ".join(record.value.split(b" ", 1)[0].decode() for record in records)
            with (self.folder / f"{partition}.ledger").open("a") as ledger:
                ledger.write(f"{self.name} {records[0].offset} {records[-1].offset} {values}\n")
            state["next"] = records[-1].offset + 1

    async def release(self, partition: int) -> None:
        self.calls.append(("release", partition))


class Hung(Ledger):
    """Never gets on, and blocks the whole event loop."""

    async def apply(self, partition: int, records: Sequence[LogRecord]) -> None:
        threading.Event().wait()


async def main(folder: Path, kind: type[Ledger]) -> None:
    await run_worker(load(), kind(folder), stop_on_signals())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(main(Path(sys.argv[1]), Hung if sys.argv[2:] == ["hung"] else Ledger))
