"""What a condition sees: the customer, the event at hand, and the run's own values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.contracts.records import Event
from orchestrator.engine.state import Customer
from orchestrator.language.durations import parse_duration
from orchestrator.language.fields import ALIASES
from orchestrator.language.program import MISSING
from orchestrator.language.replies import read_reply
from orchestrator.learning.cells import DAY_MS
from orchestrator.learning.pressure import pressures

_EMPTY: Mapping[str, Any] = {}


def revenue_of(data: Mapping[str, Any]) -> float:
    """What an order brought: `revenue`, else `total`, else the sum of its lines."""
    for name in ("revenue", "total"):
        value = data.get(name)
        if isinstance(value, int | float):
            return float(value)
    total = 0.0
    for line in lines_of(data):
        price, quantity = line.get("price"), line.get("quantity", 1)
        if isinstance(price, int | float) and isinstance(quantity, int | float):
            total += price * quantity
    return total


def lines_of(data: Mapping[str, Any]) -> list[Any]:
    """The products of an event: the lines of an order, or the event's own fields where it is about one product."""
    products = data.get("products")
    if isinstance(products, list):
        return [line for line in products if isinstance(line, dict)]
    if "product_id" in data or "category" in data or "sku" in data:
        return [data]
    return []


def order_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The order an event is about, with `id` and `revenue` beside the publisher's own fields (not its lines)."""
    order = {name: value for name, value in data.items() if name != "products"}
    order["id"] = data.get("order_id", MISSING)
    order["revenue"] = revenue_of(data)
    return order


def dig(value: Any, names: tuple[str, ...]) -> object:
    """The value at a path of keys; MISSING where a key is absent or null."""
    for name in names:
        if not isinstance(value, dict):
            return MISSING
        value = value.get(name, MISSING)
    return MISSING if value is None else value


#: What a run is about, as against the event that started it.
_THINGS = frozenset({"product", "order"})


class Scope:
    """Names of one evaluation, resolved when asked. `line` is the product at hand."""

    __slots__ = ("at", "bound", "came", "customer", "event", "line")

    def __init__(
        self,
        customer: Customer,
        at: int,
        event: Event | None = None,
        line: Mapping[str, Any] | None = None,
        bound: Mapping[str, Any] = _EMPTY,
        came: Mapping[str, Any] = _EMPTY,
    ) -> None:
        self.customer = customer
        self.at = at
        self.event = event
        self.line = line
        self.bound = bound
        self.came = came

    def get(self, path: tuple[str, ...]) -> object:
        root, rest = path[0], path[1:]
        if root == "customer":
            return customer_value(self.customer, rest, self.at)
        if root == "product" and self.line is not None:
            return dig(self.line, rest)
        event = self.event
        if event is not None:
            if root == "order":
                return dig(order_of(event.data), rest)
            if root == event.type or root == ALIASES.get(event.type):
                return event_value(event, rest)
        if root in self.came:
            value = self.came[root]
            if not rest:
                return True
            return dig(value, rest)
        if root in self.bound and (rest or root in _THINGS):
            # An event's bare name asks whether it came while the run waited; what started the run did not.
            return dig(self.bound[root], rest)
        return MISSING

    def call(self, name: str, args: tuple[object, ...]) -> object:
        if name == "bought":
            return self._bought(*args)
        return MISSING

    def _bought(self, category: object = "", window: object = None) -> object:
        """Whether the customer bought of a category (or anything) within a duration; ever, when none is given."""
        if category is MISSING:
            return MISSING
        rhythm = self.customer.rhythms.get(str(category))
        if rhythm is None or rhythm.count == 0:
            return False
        if window is None:
            return True
        span = window if isinstance(window, int) else parse_duration(str(window))
        return rhythm.last >= self.at - span


def event_value(event: Event, names: tuple[str, ...]) -> object:
    """A field of the event at hand; by itself the event is true. `id` is the id of what it is about, else its own."""
    if not names:
        return True
    data = event.data
    if names == ("id",):
        return str(data.get("id") or data.get(f"{event.type}_id") or event.id)
    value = dig(data, names)
    if value is MISSING and event.type == "reply" and isinstance(data.get("text"), str):
        return dig(read_reply(data["text"]), names)
    return value


def customer_value(customer: Customer, names: tuple[str, ...], at: int) -> object:
    """A fact about the customer: derived ones first, then her attributes."""
    if not names:
        return MISSING
    name = names[0]
    if name == "orders":
        return customer.orders
    if name == "revenue":
        return customer.revenue
    if name == "segments":
        return [*customer.segments, *(name for name, inside in customer.inside.items() if inside)]
    if name == "stage":
        return customer.stage or MISSING
    if name == "time_zone":
        return customer.time_zone or MISSING
    if name == "days_since_order":
        rhythm = customer.rhythms.get("")
        return (at - rhythm.last) / DAY_MS if rhythm and rhythm.last else MISSING
    if name == "days_since_message":
        return (at - customer.contacts[-1].at) / DAY_MS if customer.contacts else MISSING
    if name == "pressure":
        return sum(pressures(customer.contacts, at).values())
    return dig(customer.attributes, names)
