"""Two owners who write to the same customers, with nothing that says whose message goes first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from orchestrator.errors import Finding
from orchestrator.language.lint.checked import Checked
from orchestrator.language.program import Journey


def findings(checked: Checked) -> Iterator[Finding]:
    """Pairs of journeys of different owners, set off by the same event, of the same priority."""
    journeys = [journey for journey in checked.journeys() if any(checked.sends(journey))]
    for one, other in combinations(journeys, 2):
        if (
            one.owner != other.owner
            and one.priority == other.priority
            and one.purpose == other.purpose == "marketing"
            and one.trigger.text == other.trigger.text
            and not _disjoint(checked, one, other)
        ):
            yield checked.places.at(
                other.slug,
                "priority",
                f"{other.owner} ('{other.slug}') and {one.owner} ('{one.slug}') write to the same customers after"
                f" '{one.trigger.text}', both with priority {one.priority}: the order of their names decides",
                "give one of them the higher 'priority', or let their audiences exclude each other",
            )


def _disjoint(checked: Checked, one: Journey, other: Journey) -> bool:
    """Whether no customer can fit both, as far as plain values tell."""
    mine, theirs = _values(checked, one), _values(checked, other)
    return any(mine[name].isdisjoint(theirs[name]) for name in mine.keys() & theirs.keys())


def _values(checked: Checked, journey: Journey) -> dict[str, frozenset[str]]:
    """Name → the plain values that trigger or audience allow for it."""
    data = checked.places.document(journey.slug).data
    if not isinstance(data, dict):
        return {}
    trigger = data.get("trigger")
    where = trigger.get("where") if isinstance(trigger, dict) else None
    audience = data.get("audience")
    found: dict[str, frozenset[str]] = {}
    mappings = [where, *(audience if isinstance(audience, list) else [audience])]
    for mapping in mappings:
        if isinstance(mapping, dict):
            found |= {str(name): values for name, value in mapping.items() if (values := _plain(value)) is not None}
    return found


#: First words of values that compare instead of naming a value.
_WORDS = ("at ", "over ", "under ", "between ", "not ", "same")


def _plain(value: object) -> frozenset[str] | None:
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, str) and item.startswith(_WORDS) for item in items):
        return None
    return frozenset(repr(item) for item in items)
