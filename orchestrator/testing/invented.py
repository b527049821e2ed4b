"""An invented customer and the events that bring her into a journey, made up from what the journey asks for.

Everything here is made up and says so. What cannot be guessed from a file (an expression, a custom event's fields) is
given by the person who asks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from orchestrator.language.load import load
from orchestrator.language.program import Absence, Journey, Trigger

ADDRESSES = {"email": "ada@example.com", "phone": "+15005550006", "push": "an-invented-token"}
_ADDRESS_OF = {"email": "email", "sms": "phone", "push": "push"}
#: Days between invented orders: her rhythm.
GAP_DAYS = 30

PRODUCT: Mapping[str, Any] = {
    "product_id": "p-1",
    "name": "House blend",
    "category": "coffee",
    "price": 9.5,
    "quantity": 1,
    "url": "https://shop.example/p/1",
}
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_WORDS = (
    (re.compile(rf"at least {_NUMBER}"), 0.0),
    (re.compile(rf"at most {_NUMBER}"), 0.0),
    (re.compile(rf"between {_NUMBER} and .+"), 0.0),
    (re.compile(rf"over {_NUMBER}"), 1.0),
    (re.compile(rf"under {_NUMBER}"), -1.0),
)


def wishes(raw: object) -> dict[str, Any]:
    """Dotted name → a value that fits, of a condition written as a mapping. Expressions give nothing."""
    found: dict[str, Any] = {}
    for part in raw if isinstance(raw, list) else [raw]:
        if isinstance(part, dict):
            found |= {str(name): value for name, one in part.items() if (value := _fitting(one)) is not None}
    return found


def _fitting(value: object) -> object:
    if isinstance(value, list):
        return value[0] if value else None
    if not isinstance(value, str):
        return value
    for pattern, more in _WORDS:
        match = pattern.fullmatch(value)
        if match:
            number = float(match[1]) + more
            return int(number) if number.is_integer() else number
    if value == "same" or value.startswith("not "):
        return None
    return value


def introduction(
    customer: str,
    at: datetime,
    *,
    channels: Sequence[str] = ("email", "sms", "push"),
    zone: str = "",
    attributes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The `customer_updated` that makes her known: addresses and consents for these channels."""
    data: dict[str, Any] = {
        "addresses": {
            _ADDRESS_OF.get(name, name): ADDRESSES.get(_ADDRESS_OF.get(name, name), "invented") for name in channels
        },
        "consents": {name: {"marketing": True, "service": True} for name in channels},
        "attributes": {"first_name": "Ada", **(attributes or {})},
    }
    if zone:
        data["time_zone"] = zone
    return {"type": "customer_updated", "customer": customer, "time": at, "data": data}


def story(
    journey: Journey, text: str, customer: str, at: datetime, given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Her attributes, and the events that lead up to and into the journey, the last one at `at`.

    `text` is the journey's file, `given` what the person states: dotted name → value.
    """
    data = load(journey.slug, text).data
    head = data if isinstance(data, dict) else {}
    trigger = head.get("trigger")
    asked = {
        **wishes(trigger.get("where") if isinstance(trigger, dict) else None),
        **wishes(head.get("audience")),
        **given,
    }
    attributes: dict[str, Any] = {}
    orders = 0
    for name, value in asked.items():
        root, _, rest = name.partition(".")
        if root == "customer" and rest == "orders" and isinstance(value, int | float):
            orders = int(value)
        elif root == "customer" and rest:
            _put(attributes, rest, value)
    kind, times = _event(journey)
    before = max(0, orders - (1 if kind == "purchase" else 0))
    events = [
        _made("purchase", customer, at - timedelta(days=GAP_DAYS * (before - number)), asked, f"before-{number}")
        for number in range(before)
    ]
    events += [
        _made(kind, customer, at - timedelta(minutes=times - 1 - number), asked, f"{number}") for number in range(times)
    ]
    return attributes, events


def _event(journey: Journey) -> tuple[str, int]:
    """The type of the event that starts it and how often it must come. An absence starts with what then stays away."""
    trigger = journey.trigger
    if isinstance(trigger, Trigger):
        # A stage is nothing anybody publishes: an order changes it.
        return ("purchase", 1) if trigger.match.type == "stage_changed" else (trigger.match.type, trigger.times)
    return (trigger.event if isinstance(trigger, Absence) and trigger.event != "response" else "view"), 1


def _made(kind: str, customer: str, at: datetime, asked: Mapping[str, Any], number: str) -> dict[str, Any]:
    product = dict(PRODUCT)
    data: dict[str, Any] = {}
    for name, value in asked.items():
        root, _, rest = name.partition(".")
        if root == "product" and rest:
            _put(product, rest, value)
        elif root in (kind, "order") and rest:
            _put(data, "order_id" if (root, rest) == ("order", "id") else rest, value)
    if kind in ("purchase", "order_cancelled", "order_refunded"):
        data = {"order_id": f"o-{number}", "currency": "EUR", "total": product["price"], "products": [product], **data}
    elif kind in ("view", "cart_add", "review"):
        data = {**product, **data}
    elif kind == "reply":
        data = {"channel": "email", "text": "Yes please", **data}
    return {"type": kind, "customer": customer, "time": at, "id": f"invented-{kind}-{number}", "data": data}


def _put(into: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        into = into.setdefault(parent, {})
    into[last] = value
