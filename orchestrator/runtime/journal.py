"""The journal of claims: what is written, and durable, before a provider sees the first byte of a send.

It lies where a rolled-back Redis cannot take it along: a Kafka topic (`KafkaJournal`), or a file of its own in embedded
mode (`FileJournal`). After Redis went back in time, `reconcile.fold_journal` reads it, so that no send goes out twice.
Entries hold no address and no content. Many sends share one write: who comes while one is under way joins the next.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal, Protocol

import msgspec

from orchestrator.errors import DependencyUnreachable, PositionTooOld
from orchestrator.ports import EventLog

#: A journal file is closed at this size, and removed when it is this old (seconds).
SEGMENT_BYTES = 16 * 1024 * 1024
KEEP = 7 * 86_400.0
#: Ms by which the clocks of two dispatchers may differ.
SKEW = 60_000


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One claim, or how its attempt ended. `at` is real time in ms."""

    kind: Literal["claim", "sent", "not_sent"]
    send_id: str
    partition: int
    attempt: int
    at: int
    customer: str
    channel: str
    provider: str
    provider_id: str = ""


class Journal(Protocol):
    async def write(self, entry: Entry) -> None:
        """Returns when the entry is durable. Raises DependencyUnreachable when it is not: then nothing may be sent."""
        ...

    async def read(self, partition: int, since: int) -> Sequence[Entry]:
        """The partition's entries written at `since` (real time in ms) or later, in order."""
        ...

    async def close(self) -> None: ...


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)

_Waiting = tuple[Entry, "asyncio.Future[None]"]


class _GroupCommit:
    """Gathers the entries of all who wait into one append. Subclasses append."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None

    async def write(self, entry: Entry) -> None:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, written))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        await written

    async def close(self) -> None:
        if self._flusher is not None:
            await self._flusher

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await self._append(batch)

    async def _append(self, batch: list[_Waiting]) -> None:
        raise NotImplementedError


def _written(batch: list[_Waiting], error: Exception | None, where: str) -> None:
    for _, future in batch:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            failure = DependencyUnreachable(f"the journal of sends cannot be written: {where}", fix="nothing was sent")
            failure.__cause__ = error
            future.set_exception(failure)


class KafkaJournal(_GroupCommit):
    """The journal in a topic of the log; `append` returns after all in-sync replicas have it."""

    def __init__(self, log: EventLog, topic: str = "sends") -> None:
        super().__init__()
        self._log = log
        self._topic = topic

    async def _append(self, batch: list[_Waiting]) -> None:
        by_partition: dict[int, list[_Waiting]] = {}
        for waiting in batch:
            by_partition.setdefault(waiting[0].partition, []).append(waiting)
        await asyncio.gather(*(self._append_to(partition, part) for partition, part in by_partition.items()))

    async def _append_to(self, partition: int, batch: list[_Waiting]) -> None:
        values = [(entry.send_id.encode(), _encoder.encode(entry)) for entry, _ in batch]
        error: Exception | None = None
        try:
            await self._log.append(self._topic, partition, values)
        except Exception as raised:
            # Whatever went wrong, nobody may send on an entry that is not known to be durable.
            error = raised
        _written(batch, error, f"topic {self._topic}")

    async def read(self, partition: int, since: int) -> Sequence[Entry]:
        entries: list[Entry] = []
        end = await self._log.end(self._topic, partition)
        after = await self._before(partition, since, end)
        while after < end:
            found = await self._log.read(self._topic, partition, after, 5_000)
            if not found:
                break
            after = found[-1].offset
            entries += [entry for record in found if (entry := _decoder.decode(record.value)).at >= since]
        return entries

    async def _before(self, partition: int, since: int, end: int) -> int:
        """An offset after which all entries of `since` lie. Found by halving, for the topic's start may be deleted."""
        low, high = -1, end
        while low < high:
            middle = (low + high) // 2
            try:
                found = await self._log.read(self._topic, partition, middle, 1)
                early = bool(found) and _decoder.decode(found[0].value).at < since - SKEW
            except PositionTooOld:
                early = True
            if early:
                low = middle + 1
            else:
                high = middle
        return low


class FileJournal(_GroupCommit):
    """The journal in a folder of its own, synced to disk before `write` returns. One process writes."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, keep: float = KEEP) -> None:
        super().__init__()
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._keep = keep
        self._file: IO[bytes] | None = None

    async def close(self) -> None:
        await super().close()
        if self._file is not None:
            self._file.close()
            self._file = None

    async def _append(self, batch: list[_Waiting]) -> None:
        data = b"".join(_encoder.encode(entry) + b"\n" for entry, _ in batch)
        error: Exception | None = None
        try:
            await asyncio.to_thread(self._append_bytes, data)
        except OSError as raised:
            error = raised
            # What a failed sync left in this file is uncertain: the next write starts a file of its own.
            if self._file is not None:
                self._file.close()
                self._file = None
        _written(batch, error, str(self._folder))

    def _append_bytes(self, data: bytes) -> None:
        if self._file is None or self._file.tell() >= self._segment_bytes:
            self._open_next()
        assert self._file is not None
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _open_next(self) -> None:
        if self._file is not None:
            self._file.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        segments = self._segments()
        number = 1 + (int(segments[-1].stem.removeprefix("sends-")) if segments else 0)
        self._file = (self._folder / f"sends-{number:08}.jsonl").open("xb")
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        for segment in segments:
            if time.time() - segment.stat().st_mtime > self._keep:
                segment.unlink()

    def _segments(self) -> list[Path]:
        return sorted(self._folder.glob("sends-*.jsonl"))

    async def read(self, partition: int, since: int) -> Sequence[Entry]:
        return await asyncio.to_thread(self._read, partition, since)

    def _read(self, partition: int, since: int) -> list[Entry]:
        entries = []
        for segment in self._segments():
            for line in segment.read_bytes().splitlines():
                try:
                    entry = _decoder.decode(line)
                except msgspec.DecodeError:
                    # The torn end of a write that never returned: nobody sent on it.
                    continue
                if entry.partition == partition and entry.at >= since:
                    entries.append(entry)
        return entries
