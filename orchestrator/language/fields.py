"""What is known of the fields a condition may read: their kinds, from the event schemas. Others are the shop's own."""

from __future__ import annotations

import types
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from orchestrator.contracts.events import TYPES, Order, Product
from orchestrator.language.findings import did_you_mean
from orchestrator.language.replies import CHOICES, INTENTS, MOODS

Name = tuple[str, ...]

#: Events whose fields stand under another word: `stage.to` in a `stage_changed`.
ALIASES = {"stage_changed": "stage", "segment_entered": "segment", "segment_left": "segment"}
#: Events the product itself publishes; a journey cannot emit them.
OWN_EVENTS = frozenset(TYPES) | frozenset(ALIASES)

_TEXT, _NUMBER, _FLAG = frozenset({"text"}), frozenset({"number"}), frozenset({"flag"})

#: Facts the engine derives. Other fields of the customer are attributes and may be anything.
CUSTOMER: dict[str, frozenset[str]] = {
    "orders": _NUMBER,
    "revenue": _NUMBER,
    "days_since_order": _NUMBER,
    #: Messages of late, each weighing half as much every 3.5 days.
    "pressure": _NUMBER,
    "days_since_message": _NUMBER,
    "segments": _TEXT,
    "time_zone": _TEXT,
    "stage": _TEXT,
}
_REPLY: dict[str, frozenset[str]] = {"intent": _TEXT, "mood": _TEXT, "rating": _NUMBER, "choice": _TEXT}
_STAGE: dict[str, frozenset[str]] = {"from": _TEXT, "to": _TEXT}
_SEGMENT: dict[str, frozenset[str]] = {"name": _TEXT}
#: Closed lists of words.
WORDS: dict[Name, tuple[str, ...]] = {
    ("reply", "intent"): INTENTS,
    ("reply", "mood"): MOODS,
}
#: Words offered as completions, not a closed list.
USUAL: dict[Name, tuple[str, ...]] = {("reply", "choice"): CHOICES}


def _kinds(annotation: Any) -> frozenset[str]:
    """text, number, flag of a pydantic annotation; empty when it may be anything."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return frozenset().union(*(_kinds(part) for part in get_args(annotation) if part is not type(None)))
    if origin is Literal:
        return _TEXT
    if origin is list:
        return _kinds(get_args(annotation)[0])
    if annotation is bool:
        return _FLAG
    if annotation in (int, float):
        return _NUMBER
    return _TEXT if annotation is str else frozenset()


@lru_cache(maxsize=64)
def _fields_of(model: type[BaseModel]) -> dict[str, frozenset[str]]:
    return {name: _kinds(info.annotation) for name, info in model.model_fields.items()}


def fields_of(root: str) -> dict[str, frozenset[str]] | None:
    """The known fields under a name's first word; None where nothing is known."""
    if root == "customer":
        return CUSTOMER
    if root == "product":
        return _fields_of(Product)
    if root == "order":
        return {**_fields_of(Order), "id": _TEXT, "revenue": _NUMBER}
    if root == "stage":
        return _STAGE
    if root == "segment":
        return _SEGMENT
    if root == "reply":
        return {**_fields_of(TYPES["reply"]), **_REPLY}
    model = TYPES.get(root)
    return {**_fields_of(model), "id": _TEXT} if model else None


def kinds_of(name: Name) -> frozenset[str]:
    """The kinds of values a dotted name may have; empty when nothing is known."""
    fields = fields_of(name[0]) if len(name) == 2 else None
    return fields.get(name[1], frozenset()) if fields else frozenset()


def near_field(name: Name) -> str:
    """The known field that an unknown one is most likely a misspelling of, or an empty string."""
    fields = fields_of(name[0]) if len(name) == 2 else None
    if not fields or name[1] in fields:
        return ""
    near = did_you_mean(name[1], fields)
    return near if near and _one_slip(name[1], near) else ""


def _one_slip(word: str, near: str) -> bool:
    """One letter too many, too few, other or swapped: likelier a slip than a field of the shop's own.

    A plural or another number at the end is a word of its own.
    """
    if abs(len(word) - len(near)) > 1 or min(len(word), len(near)) < 4:
        return False
    if word.rstrip("s0123456789_") == near.rstrip("s0123456789_"):
        return False
    start = 0
    while start < min(len(word), len(near)) and word[start] == near[start]:
        start += 1
    a, b = word[start:], near[start:]
    return a[1:] == b or b[1:] == a or a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
