"""Journeys that trigger each other: what one publishes sets off another, round and round."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import Finding
from orchestrator.language.flow import at_once, reachable, started_by
from orchestrator.language.lint.checked import Checked
from orchestrator.language.program import Emit, Instruction, Journey, Send

#: What the product itself publishes about every message, whoever receives it.
_OF_A_SEND = ("message_sent", "message_delivered")


def findings(checked: Checked) -> Iterator[Finding]:
    """One finding for each ring of journeys, at the journey of the first name."""
    journeys = {journey.slug: journey for journey in checked.journeys() if journey.reentry.mode != "never"}
    for ring in _rings(journeys):
        first = journeys[ring[0]]
        endless = all(
            _sets_off(journeys[slug], journeys[after], at_once(journeys[slug])) for slug, after in _pairs(ring)
        )
        words = " → ".join(f"'{slug}'" for slug in (*ring, ring[0]))
        yield checked.places.at(
            first.slug,
            "trigger",
            f"{words}: {'these set each other' if len(ring) > 1 else 'it sets itself'} off"
            f" {'at once, without end' if endless else 'again and again'}",
            "narrow a trigger with 'where', or write 'reentry: never' in one of them",
            level="error" if endless else "warning",
        )


def published(step: Instruction) -> tuple[str, ...]:
    """The events an instruction brings about."""
    if isinstance(step, Send):
        return _OF_A_SEND
    return (step.event,) if isinstance(step, Emit) else ()


def _sets_off(one: Journey, other: Journey, positions: frozenset[int]) -> bool:
    event = started_by(other)
    return bool(event) and any(event in published(one.steps[index]) for index in positions)


def _rings(journeys: dict[str, Journey]) -> list[tuple[str, ...]]:
    """The shortest ring through each journey, each ring once."""
    after = {
        slug: [name for name, other in journeys.items() if _sets_off(one, other, reachable(one.steps))]
        for slug, one in journeys.items()
    }
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for start in sorted(journeys):
        ring = _shortest(after, start)
        if ring:
            found.setdefault(frozenset(ring), ring)
    return list(found.values())


def _shortest(after: dict[str, list[str]], start: str) -> tuple[str, ...]:
    left: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    while left:
        path = left.pop(0)
        for name in after[path[-1]]:
            if name == start:
                return path
            if name not in seen:
                seen.add(name)
                left.append((*path, name))
    return ()


def _pairs(ring: tuple[str, ...]) -> list[tuple[str, str]]:
    return list(zip(ring, (*ring[1:], ring[0]), strict=True))
