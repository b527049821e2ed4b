"""How many people a publication would reach, by the recorded past: shown before it goes live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from orchestrator.contracts.records import Event
from orchestrator.language.program import Program
from orchestrator.testing.history import replay_history

#: Events replayed at most; of a longer past only every n-th customer is, and the counts are multiplied.
MOST_EVENTS = 100_000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the live journeys would have done with the recorded events. Whole numbers, scaled up from a sample."""

    days: float
    events: int
    #: One customer in so many was replayed.
    sampled: int
    entered: int
    people: int
    messages: int
    cost: float
    currency: str
    by_journey: dict[str, int]


def estimate(program: Program, events: Sequence[Event]) -> Estimate:
    """The estimate; zeros where nothing was recorded."""
    every = max(1, -(-len(events) // MOST_EVENTS))
    chosen = [event for event in events if _number(event.customer) % every == 0] if every > 1 else events
    live = {slug: journey for slug, journey in program.journeys.items() if journey.status == "live"}
    report = replay_history(replace(program, journeys=live), chosen)
    times = [event.time for event in events]
    return Estimate(
        days=round((max(times) - min(times)) / DAY_MS, 1) if times else 0.0,
        events=len(events),
        sampled=every,
        entered=sum(row["entered"] for row in report.journeys.values()) * every,
        people=report.people * every,
        messages=report.messages * every,
        cost=round(report.cost * every, 2),
        currency=report.currency,
        by_journey={slug: row["people"] * every for slug, row in report.journeys.items()},
    )


def _number(customer: str) -> int:
    return int.from_bytes(blake2b(customer.encode(), digest_size=4).digest())
