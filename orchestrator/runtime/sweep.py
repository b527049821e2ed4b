"""One look at every customer of a partition when a journey on an absence or a schedule goes live.

Its cursor lies in the control state of the partition and moves with ticks, so a replay moves it at the same places.
Customers come in the order of their ids, from the roll that commits keep (docs/decisions/sweep.md).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable

from orchestrator.engine.groups import SEGMENTS, STAGES
from orchestrator.language.program import Program
from orchestrator.language.versions import version_of_value
from orchestrator.stores.partition_state import Control, Sweep

#: Customers looked at per tick: a million over twelve partitions take minutes, and no tick is felt.
PER_TICK = 100


class Roll:
    """Ids of a partition's customers in order, as far as they are known here: all of them, or a part after `start`."""

    def __init__(self, ids: Iterable[str] = (), *, start: str | None = None, truncated: bool = False) -> None:
        """Without `start` every customer is known; else those after it, the first ones only when `truncated`."""
        self._ids = sorted(ids)
        self._start = start
        self._last = self._ids[-1] if truncated and self._ids else None

    def add(self, customer_id: str) -> None:
        """A customer of whom the partition hears for the first time."""
        insort(self._ids, customer_id)

    def covers(self, cursor: str) -> bool:
        """Whether the next PER_TICK customers after the cursor are known for certain."""
        if self._start is None:
            return True
        if cursor < self._start:
            return False
        return self._last is None or self._ids.index(self._last) - bisect_right(self._ids, cursor) + 1 >= PER_TICK

    def after(self, cursor: str) -> list[str]:
        """The next customers after the cursor, at most PER_TICK."""
        first = bisect_right(self._ids, cursor)
        return self._ids[first : first + PER_TICK]


#: Where nobody is known: a partition without a sweep need not load the roll.
NO_ROLL = "\U0010ffff"


def sweeps_of(program: Program, control: Control) -> list[Sweep]:
    """The sweeps after a program came into force: those of the same version as they stand, new ones from the start."""
    known = {(sweep.name, sweep.version): sweep for sweep in control.sweeps}
    names = [(journey.slug, journey.version) for journey in program.watchers]
    if program.stages:
        names.append((STAGES, version_of_value(program.stages)))
    if program.segments:
        names.append((SEGMENTS, version_of_value(program.segments)))
    return [known.get(name) or Sweep(*name) for name in names]


def under_way(control: Control) -> Sweep | None:
    """The sweep that the next tick goes on with."""
    return next((sweep for sweep in control.sweeps if not sweep.done), None)
