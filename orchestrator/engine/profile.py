"""What an event changes about the customer herself: facts, orders, rhythms. The first step of one event."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from orchestrator.contracts.records import Event
from orchestrator.engine.context import Turn
from orchestrator.engine.scope import lines_of, revenue_of
from orchestrator.engine.state import CATEGORY_BYTES, RECENT_ORDERS, RHYTHMS, SEEN_BYTES, SEEN_IDS, Customer, Order
from orchestrator.learning import pooled, rhythm_priors
from orchestrator.learning.cells import DAY_MS
from orchestrator.learning.rhythm import Rhythm, surplus, unexplained


def id_hash(*names: str) -> bytes:
    """Eight bytes that stand for an id in the document."""
    return blake2b("\0".join(names).encode(), digest_size=SEEN_BYTES).digest()


def is_duplicate(customer: Customer, event: Event) -> bool:
    """True when this event id was among the last SEEN_IDS of its customer; else it is remembered."""
    key = id_hash(event.source, event.id)
    seen = customer.seen
    position = seen.find(key)
    while position >= 0:
        if position % SEEN_BYTES == 0:
            return True
        position = seen.find(key, position + 1)
    customer.seen = (seen + key)[-SEEN_IDS * SEEN_BYTES :]
    return False


def update_profile(turn: Turn, event: Event) -> bool:
    """Write the event into the profile. False when it repeats an order already counted: then nothing else follows."""
    customer = turn.customer
    if not customer.first_seen or event.time < customer.first_seen:
        customer.first_seen = event.time
    if event.time > customer.last_seen:
        customer.last_seen = event.time
    if event.type == "purchase":
        return _purchase(turn, event)
    if event.type == "customer_updated":
        _updated(customer, event)
    elif event.type == "order_cancelled":
        _cancelled(turn, event)
    elif event.type == "order_refunded":
        _refunded(turn, event)
    return True


def _purchase(turn: Turn, event: Event) -> bool:
    customer, data = turn.customer, event.data
    revenue = revenue_of(data)
    pieces = _pieces(data)
    order_id = data.get("order_id")
    if order_id is not None:
        order = _order(customer, order_id)
        if order is not None:
            customer.revenue += revenue - order.revenue
            order.revenue = revenue
            return False
        categories = b"".join(_category_hash(category) for category in pieces if category)
        customer.recent_orders.append(Order(id_hash("order", str(order_id)), event.time, revenue, categories))
        del customer.recent_orders[:-RECENT_ORDERS]
    customer.orders += 1
    customer.revenue += revenue
    for category, amount in pieces.items():
        _bought(turn, category, event.time, amount)
    return True


def _pieces(data: Mapping[str, Any]) -> dict[str, float]:
    """Category → pieces bought of it, by name; "" is the whole order, first."""
    pieces: dict[str, float] = {}
    everything = 0.0
    for line in lines_of(data):
        quantity = line.get("quantity", 1)
        amount = float(quantity) if isinstance(quantity, int | float) and quantity > 0 else 1.0
        everything += amount
        category = line.get("category")
        if isinstance(category, str) and category:
            pieces[category] = pieces.get(category, 0.0) + amount
    return {"": everything or 1.0, **{category: pieces[category] for category in sorted(pieces)}}


def _bought(turn: Turn, category: str, at: int, amount: float) -> None:
    rhythms = turn.customer.rhythms
    rhythm = rhythms.get(category)
    if rhythm is None:
        if len(rhythms) >= RHYTHMS:
            oldest = min((name for name in rhythms if name), key=lambda name: (rhythms[name].last, name))
            rhythm_priors.add_evidence(_taught(turn, oldest), rhythms.pop(oldest), -1)
        rhythm = rhythms[category] = Rhythm()
    prior = turn.context.priors.rhythm(category)
    vector = _taught(turn, category)
    residual = unexplained(rhythm, at, prior)
    rhythm_priors.add_amount(vector, surplus(rhythm, prior) if residual is not None else 0.0, residual, amount)
    rhythm_priors.add_evidence(vector, rhythm, -1)
    rhythm.bought(at, amount)
    rhythm_priors.add_evidence(vector, rhythm, 1)


def _taught(turn: Turn, category: str) -> list[int]:
    """What all customers together know of the category, to be added to."""
    return pooled.open_vector(turn.result.sums, pooled.rhythm_key(category), rhythm_priors.WIDTH)


def _order(customer: Customer, order_id: object) -> Order | None:
    key = id_hash("order", str(order_id))
    for order in customer.recent_orders:
        if order.key == key:
            return order
    return None


def _cancelled(turn: Turn, event: Event) -> None:
    customer = turn.customer
    order = _order(customer, event.data.get("order_id"))
    if order is not None:
        # The order stays remembered at zero, so that a late repetition of its purchase does not count it again.
        customer.revenue -= order.revenue
        customer.orders -= 1
        order.revenue = 0.0
        _came_back(turn, order, None)


def _refunded(turn: Turn, event: Event) -> None:
    order = _order(turn.customer, event.data.get("order_id"))
    if order is not None:
        stated = revenue_of(event.data)
        amount = min(order.revenue, stated) if stated > 0 else order.revenue
        turn.customer.revenue -= amount
        order.revenue -= amount
        named = {category for category in _pieces(event.data) if category}
        # Money back for nothing named, and less than all of it, takes no purchase back.
        if named or order.revenue <= 0.0:
            _came_back(turn, order, named if order.revenue > 0.0 else None)


def _came_back(turn: Turn, order: Order, named: set[str] | None) -> None:
    """Take the order's day out of the rhythms it belongs to, of the categories `named` only, or (None) of all.

    A day on which another order bought the same stays.
    """
    customer = turn.customer
    kept = order.categories
    for category, rhythm in customer.rhythms.items():
        mark = _category_hash(category)
        if named is not None and category not in named:
            continue
        if category and mark not in _marks(order.categories):
            continue
        kept = b"".join(one for one in _marks(kept) if one != mark)
        if any(other is not order and _same_day(other, order, category, mark) for other in customer.recent_orders):
            continue
        vector = _taught(turn, category)
        rhythm_priors.add_evidence(vector, rhythm, -1)
        rhythm.returned(order.at)
        rhythm_priors.add_evidence(vector, rhythm, 1)
    order.categories = kept


def _same_day(other: Order, order: Order, category: str, mark: bytes) -> bool:
    if other.at // DAY_MS != order.at // DAY_MS:
        return False
    return mark in _marks(other.categories) if category else other.revenue > 0.0


def _marks(categories: bytes) -> list[bytes]:
    return [categories[place : place + CATEGORY_BYTES] for place in range(0, len(categories), CATEGORY_BYTES)]


@lru_cache(maxsize=4096)
def _category_hash(category: str) -> bytes:
    return blake2b(category.encode(), digest_size=CATEGORY_BYTES).digest()


def _updated(customer: Customer, event: Event) -> None:
    """Fields that are not in the event stay; null removes one."""
    data = event.data
    for name in ("attributes", "addresses"):
        given = data.get(name)
        if isinstance(given, dict):
            kept = getattr(customer, name)
            for key, value in given.items():
                if value is None:
                    kept.pop(key, None)
                else:
                    kept[key] = value
    time_zone = data.get("time_zone")
    if isinstance(time_zone, str):
        customer.time_zone = time_zone
    segments = data.get("segments")
    if isinstance(segments, list):
        customer.segments = [str(label) for label in segments]
    consents = data.get("consents")
    if isinstance(consents, dict):
        for channel, purposes in consents.items():
            if isinstance(purposes, dict):
                known = customer.consents.setdefault(channel, {})
                for purpose, given in purposes.items():
                    if isinstance(given, bool):
                        known[purpose] = given
