"""Dead letters keep the original bytes as they came, or its hash when it was too large."""

from __future__ import annotations

import hashlib

import pytest

from orchestrator.contracts.dead_letters import DeadLetter, dead_letter, decode, encode
from orchestrator.contracts.envelope import MAX_EVENT_BYTES
from orchestrator.errors import EventFault

FAULTS = (EventFault("data.total", "type", "expected a number", "send one"), EventFault("id", "missing", "no id"))


@pytest.mark.parametrize("original", [b"", b'{"a": 1}', "größe".encode(), b"\xff\x00\xfe", b"x" * MAX_EVENT_BYTES])
def test_the_original_survives(original: bytes) -> None:
    letter = decode(encode(dead_letter(original, FAULTS, origin="kafka:events/0/7", at=5)))
    assert letter.original() == original
    assert (letter.code, letter.field, letter.message, letter.fix) == (
        "type",
        "data.total",
        "expected a number",
        "send one",
    )
    assert (letter.faults, letter.origin, letter.at) == (2, "kafka:events/0/7", 5)


def test_an_oversized_original_leaves_size_and_hash() -> None:
    original = b"x" * (MAX_EVENT_BYTES + 1)
    letter = dead_letter(original, FAULTS, origin="http:shop", at=5)
    assert letter.original() is None
    assert (letter.size, letter.sha256) == (len(original), hashlib.sha256(original).hexdigest())
    assert len(encode(letter)) < 1_000
    assert isinstance(letter, DeadLetter)
