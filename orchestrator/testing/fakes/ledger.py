"""What the fake providers accepted: the truth a test compares our own records with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One accepted request."""

    #: Counts from 1.
    seq: int
    provider: str
    channel: str
    send_id: str
    #: The address, number, token, or the push endpoint.
    to: str
    #: What the customer sees: `text`, and where the channel has them `subject`, `html`, `title`, `link`.
    content: dict[str, Any]
    #: ms UTC, by the fakes' clock.
    time: int
    provider_id: str
    #: Our own address or number, where answers go.
    sender: str = ""
    #: Where this send's status is to be reported, if the request named it.
    callback_url: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class Ledger:
    """Accepted requests in order. With a file, each is appended to it as a line of JSON before it is answered."""

    def __init__(self, file: Path | None = None) -> None:
        self._entries: list[LedgerEntry] = []
        self._file = file.open("a", encoding="utf-8") if file is not None else None

    def record(self, provider: str, channel: str, **fields: Any) -> LedgerEntry:
        entry = LedgerEntry(seq=len(self._entries) + 1, provider=provider, channel=channel, **fields)
        self._entries.append(entry)
        if self._file is not None:
            # Flushed to the system: a killed process loses no line.
            self._file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
            self._file.flush()
        return entry

    def find(self, *, send_id: str = "", provider: str = "", to: str = "", after: int = 0) -> list[LedgerEntry]:
        """Entries that fit every given value, in order; `after` is a sequence number."""
        return [
            entry
            for entry in self._entries[after:]
            if send_id in ("", entry.send_id) and provider in ("", entry.provider) and to in ("", entry.to)
        ]

    def one(self, send_id: str) -> LedgerEntry:
        """The only entry of a send. Raises LookupError when there is none, or more than one: a duplicate."""
        found = self.find(send_id=send_id)
        if len(found) != 1:
            raise LookupError(f"{len(found)} accepted requests for send {send_id!r}")
        return found[0]

    def __iter__(self) -> Iterator[LedgerEntry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
