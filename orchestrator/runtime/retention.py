"""Gives up old records of the embedded log. Kafka does this by itself; Redis Streams would grow for ever."""

from __future__ import annotations

from orchestrator.errors import PositionTooOld
from orchestrator.runtime.streams_log import StreamsLog


async def trim_older(log: StreamsLog, topic: str, partition: int, since: int, *, keep_from: int) -> int:
    """Give up records appended before `since` (ms UTC), but none at or behind the offset `keep_from`.

    Returns the first offset that is kept. Raises DependencyUnreachable.
    """
    # Append times only grow, so the first young record is found by halving; the start may be given up already.
    low, high = 0, min(await log.end(topic, partition) + 1, keep_from)
    while low < high:
        middle = (low + high) // 2
        try:
            found = await log.read(topic, partition, middle - 1, 1)
            old = bool(found) and found[0].timestamp < since
        except PositionTooOld:
            old = True
        if old:
            low = middle + 1
        else:
            high = middle
    await log.trim(topic, partition, low)
    return low
