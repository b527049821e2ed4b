"""What an event changes about the customer herself: facts, orders, rhythms. The first step of one event."""

from __future__ import annotations

from hashlib import blake2b

from orchestrator.contracts.records import Event
from orchestrator.engine.scope import lines_of, revenue_of
from orchestrator.engine.state import RECENT_ORDERS, RHYTHMS, SEEN_BYTES, SEEN_IDS, Customer, Order
from orchestrator.learning.rhythm import Rhythm


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


def update_profile(customer: Customer, event: Event) -> bool:
    """Write the event into the profile. False when it repeats an order already counted: then nothing else follows."""
    if not customer.first_seen or event.time < customer.first_seen:
        customer.first_seen = event.time
    if event.time > customer.last_seen:
        customer.last_seen = event.time
    if event.type == "purchase":
        return _purchase(customer, event)
    if event.type == "customer_updated":
        _updated(customer, event)
    elif event.type == "order_cancelled":
        _cancelled(customer, event)
    elif event.type == "order_refunded":
        _refunded(customer, event)
    return True


def _purchase(customer: Customer, event: Event) -> bool:
    data = event.data
    revenue = revenue_of(data)
    order_id = data.get("order_id")
    if order_id is not None:
        order = _order(customer, order_id)
        if order is not None:
            customer.revenue += revenue - order.revenue
            order.revenue = revenue
            return False
        customer.recent_orders.append(Order(id_hash("order", str(order_id)), event.time, revenue))
        del customer.recent_orders[:-RECENT_ORDERS]
    customer.orders += 1
    customer.revenue += revenue
    rhythms = customer.rhythms
    _bought(rhythms, "", event.time)
    categories = {line["category"] for line in lines_of(data) if isinstance(line.get("category"), str)}
    for category in sorted(categories):
        _bought(rhythms, category, event.time)
    return True


def _bought(rhythms: dict[str, Rhythm], category: str, at: int) -> None:
    rhythm = rhythms.get(category)
    if rhythm is None:
        if len(rhythms) >= RHYTHMS:
            oldest = min((name for name in rhythms if name), key=lambda name: (rhythms[name].last, name))
            del rhythms[oldest]
        rhythm = rhythms[category] = Rhythm()
    rhythm.bought(at)


def _order(customer: Customer, order_id: object) -> Order | None:
    key = id_hash("order", str(order_id))
    for order in customer.recent_orders:
        if order.key == key:
            return order
    return None


def _cancelled(customer: Customer, event: Event) -> None:
    order = _order(customer, event.data.get("order_id"))
    if order is not None:
        # The order stays remembered at zero, so that a late repetition of its purchase does not count it again.
        customer.revenue -= order.revenue
        customer.orders -= 1
        order.revenue = 0.0


def _refunded(customer: Customer, event: Event) -> None:
    order = _order(customer, event.data.get("order_id"))
    if order is not None:
        stated = revenue_of(event.data)
        amount = min(order.revenue, stated) if stated > 0 else order.revenue
        customer.revenue -= amount
        order.revenue -= amount


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
