"""Sums over many customers: what a partition adds up, what one publisher merges, what a snapshot holds.

A sum is a vector of integers under a key. Adding is exact and has no order, so wherever a batch is cut, whichever
partition a customer lives on and however often a snapshot is merged, the numbers are the same; and nobody needs a key
that all workers write to. Keys are made of a kind and names:

    cell   group, channel   evidence of all cells (`cells.WIDTH` places), then money: sends, responses, value of
                            responses, sum of its squares, consents lost, orders credited
    answer channel          responses by their delay in doubling minutes; then, per step of pressure, expected
                            responses, and responses; then, per table of rates, three sums of the slope (`priors`)
    text   group, message   sends, responses of one message
    hours                   messages by bin of the local time they went, then those opened or answered (`send_time`)
    rhythm category         what its buyers teach about gaps (`rhythm_priors.WIDTH` places); "" for orders as such
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import isfinite

import msgspec

from orchestrator.learning import rhythm_priors, send_time
from orchestrator.learning.cells import WIDTH

SEPARATOR = "\x1f"
_JOIN = "\x1e"
#: Labels of a customer that take part in learning, the first ones; each as long as this.
LABELS = 3
LABEL_LENGTH = 48
#: Delays are counted in doubling minutes: under 1, 2, 4 … and 2^14 (11 days) or more.
DELAYS = 16
#: Steps of pressure: under 0.25, 0.5, 1, 2, 4, and more.
PRESSURES = 6

#: Places of money, after the evidence of cells.
SENDS, RESPONSES, VALUE, SQUARES, LOST, CREDITS = range(WIDTH, WIDTH + 6)
CELL_WIDTH = WIDTH + 6
#: Places after the delays.
EXPECTED = DELAYS
CAME = DELAYS + PRESSURES
SLOPES = DELAYS + 2 * PRESSURES
ANSWER_WIDTH = SLOPES + 9
#: Squares of money are kept coarser, so that a billion orders fit 64 bits.
SQUARE_UNIT = 100
#: One order's credit is bounded: a slip of the decimal point must not rule the choices of a year.
MOST_CREDIT = 100_000.0

Vectors = Mapping[str, Sequence[int]]


def group_of(labels: Sequence[str]) -> str:
    """The group a customer's evidence is added to: her first labels, in one order. "" for a customer without."""
    return _group(tuple(labels[:LABELS])) if labels else ""


@lru_cache(4096)
def _group(labels: tuple[str, ...]) -> str:
    return _JOIN.join(sorted({plain_label(label) for label in labels}))


def labels_of(group: str) -> list[str]:
    """The labels a group is made of."""
    return group.split(_JOIN) if group else []


@lru_cache(4096)
def plain_label(label: str) -> str:
    """A label as it stands in keys."""
    return "".join(c for c in label[:LABEL_LENGTH] if c >= " ") or "-"


def cell_key(group: str, channel: str) -> str:
    return f"cell\x1f{group}\x1f{channel}"


def answer_key(channel: str) -> str:
    return f"answer\x1f{channel}"


def text_key(group: str, message: str) -> str:
    return f"text\x1f{group}\x1f{message}"


#: The one vector of hours.
HOURS = "hours"


@lru_cache(4096)
def rhythm_key(category: str) -> str:
    return f"rhythm\x1f{plain_label(category) if category else ''}"


def delay_step(delay: int) -> int:
    """The place of a delay in ms."""
    return min(DELAYS - 1, max(0, delay // 60_000).bit_length())


def credit(value: float) -> float:
    """What of an amount may be credited: nothing that is no sane amount, and never too much at once."""
    return min(value, MOST_CREDIT) if isfinite(value) and value > 0.0 else 0.0


def open_vector(sums: dict[str, list[int]], key: str, width: int) -> list[int]:
    """The vector of a key, to be added to in place."""
    known = sums.get(key)
    if known is None:
        known = sums[key] = [0] * width
    return known


def add(sums: dict[str, list[int]], key: str, vector: Sequence[int]) -> None:
    """Add a vector to the sums."""
    known = sums.get(key)
    if known is None:
        sums[key] = list(vector)
    else:
        for place, by in enumerate(vector):
            if by:
                known[place] += by


def add_all(sums: dict[str, list[int]], more: Vectors) -> None:
    """Add all of `more`."""
    for key, vector in more.items():
        add(sums, key, vector)


def merged(partitions: Iterable[Vectors]) -> dict[str, list[int]]:
    """The sums of all partitions."""
    sums: dict[str, list[int]] = {}
    for vectors in partitions:
        add_all(sums, vectors)
    return sums


def fields_of(vectors: Vectors) -> Iterable[tuple[str, int]]:
    """(field, by) pairs for a hash of counters; places that do not move are left out."""
    for key, vector in vectors.items():
        for place, by in enumerate(vector):
            if by:
                yield f"{key}{SEPARATOR}{place}", by


_WIDTHS = {
    "cell": CELL_WIDTH,
    "answer": ANSWER_WIDTH,
    "text": 2,
    "rhythm": rhythm_priors.WIDTH,
    "hours": send_time.WIDTH,
}


def from_fields(fields: Mapping[bytes, bytes]) -> dict[str, list[int]]:
    """The vectors of such a hash. Fields that are not ours are passed over."""
    sums: dict[str, list[int]] = {}
    for field, value in fields.items():
        key, _, place = field.decode().rpartition(SEPARATOR)
        width = _WIDTHS.get(key.partition(SEPARATOR)[0], 0)
        if place.isdigit() and int(place) < width:
            sums.setdefault(key, [0] * width)[int(place)] = int(value)
    return sums


def evidence(sums: Vectors) -> int:
    """How much is known, in millionths of a send. Rarer things say more: a response ten sends, an order or a lost
    consent thirty. A category's purchase is worth one."""
    known = 0
    for key, vector in sums.items():
        if key.startswith("cell"):
            known += vector[SENDS] + 10 * vector[RESPONSES] + 30 * (vector[CREDITS] + vector[LOST])
        elif key.startswith("rhythm"):
            known += vector[rhythm_priors.BOUGHT]
    return known


#: A new snapshot is made when this much more is known than in the last one.
NEWS = 0.02


def worth_a_snapshot(last: int, now: int) -> bool:
    """True when the evidence has grown enough since the last snapshot: often while young, seldom when settled."""
    return now > last * (1.0 + NEWS)


class Snapshot(msgspec.Struct, frozen=True):
    """What one publisher writes for all partitions: a number that grows, and the merged sums."""

    number: int
    sums: dict[str, list[int]]


_encoder = msgspec.msgpack.Encoder(order="sorted")
_decoder = msgspec.msgpack.Decoder(Snapshot)


def encode(snapshot: Snapshot) -> bytes:
    """The stored bytes: equal snapshots give equal bytes."""
    return _encoder.encode(snapshot)


def decode(raw: bytes) -> Snapshot:
    """The snapshot of stored bytes. Raises msgspec.DecodeError when they are not ours."""
    return _decoder.decode(raw)
