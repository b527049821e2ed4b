"""What every check of the lint is given, and small words they share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.language.flow import reachable
from orchestrator.language.lint.places import Places
from orchestrator.language.program import Journey, Program, Send

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@dataclass(frozen=True, slots=True)
class Checked:
    """A program with the places of its steps."""

    program: Program
    places: Places

    def journeys(self) -> Iterator[Journey]:
        """Those that run or are about to; a stopped one bothers nobody."""
        for _, journey in sorted(self.program.journeys.items()):
            if journey.status != "stopped":
                yield journey

    def sends(self, journey: Journey) -> Iterator[tuple[int, Send]]:
        """The send steps some run may come to, by position."""
        for index in sorted(reachable(journey.steps)):
            step = journey.steps[index]
            if isinstance(step, Send):
                yield index, step


def span(ms: int) -> str:
    """A duration as the files write it: `1d 12h`."""
    parts = []
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0m"
