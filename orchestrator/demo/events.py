"""What the shop publishes: real orders and invented people and visits, as events in the order of time.

Real: who bought what, when, how many, at which price; what was returned. Invented: names, addresses, consents, time
zones by country, categories, every view, and which order a return belongs to (the data do not say: the latest one of
that customer that has the product).

Addresses lead nowhere: mail to example.com, numbers of Twilio's +1 500 555 test range, made-up device tokens.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.demo.categories import category_of
from orchestrator.demo.customers import CHANNELS, CustomerModel, Person
from orchestrator.demo.purchases import Line, Order

SOURCE = "online-retail-demo"
#: Chance that somebody looked at one of an order's products in the days before.
LOOKS_BEFORE = 0.3
#: Days between two visits that lead to nothing, on average.
IDLE_VISITS = 12.0

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """All events, and how many things of the data are not in them, by reason."""

    events: list[Event]
    left_out: Counter[str] = field(default_factory=Counter)


def story(orders: Sequence[Order], model: CustomerModel) -> Story:
    """The year as events. `orders` in the order of time."""
    left_out: Counter[str] = Counter()
    events: list[Event] = []
    by_customer: dict[str, list[Order]] = defaultdict(list)
    for order in orders:
        by_customer[order.customer].append(order)
        left_out["lines that are no goods (discounts, fees, corrections)"] += order.left_out
    end = max((order.at for order in orders), default=datetime.min.replace(tzinfo=UTC))
    for customer, own in by_customer.items():
        person = model.person(customer, own[0].country)
        events.append(profile(person, own[0]))
        events += purchases(own, left_out)
        events += refunds(own, left_out)
        events += views(own, person, end, model.seed)
    events.sort(key=lambda event: (event["time"], event["id"]))
    return Story(events, +left_out)


def profile(person: Person, first: Order) -> Event:
    """Who the customer is, said shortly before the first order."""
    return _event(
        f"profile-{person.customer}",
        "customer_updated",
        first.at - timedelta(minutes=5),
        person.customer,
        {
            "attributes": {"first_name": person.first_name, "country": first.country},
            "addresses": {
                "email": f"customer{person.customer}@example.com",
                "phone": f"+1500555{int(person.customer) % 10_000:04d}",
                "push": f"demo-device-{person.customer}",
            },
            "time_zone": person.time_zone,
            "consents": {channel: {"marketing": channel in person.open, "service": True} for channel in CHANNELS},
        },
    )


def purchases(orders: Iterable[Order], left_out: Counter[str]) -> Iterable[Event]:
    """One event for each order."""
    for order in orders:
        if order.is_return:
            continue
        if not order.lines:
            left_out["orders without goods"] += 1
            continue
        goods = _sum(order.lines)
        yield _event(
            f"order-{order.invoice}",
            "purchase",
            order.at,
            order.customer,
            {
                "order_id": order.invoice,
                "revenue": goods,
                "shipping": order.carriage,
                "total": round(goods + order.carriage, 2),
                "currency": "GBP",
                "products": [_product(line) for line in order.lines],
            },
        )


def refunds(orders: Sequence[Order], left_out: Counter[str]) -> Iterable[Event]:
    """One event for each order that a return takes something back from."""
    #: Pieces that can still come back, by order and product.
    held: dict[str, dict[str, int]] = {}
    for order in orders:
        if not order.is_return:
            for line in order.lines:
                pieces = held.setdefault(order.invoice, {})
                pieces[line.code] = pieces.get(line.code, 0) + line.quantity
            continue
        back: dict[str, list[Line]] = defaultdict(list)
        for line in order.lines:
            wanted = line.quantity
            for invoice, pieces in reversed(held.items()):
                taken = min(wanted, pieces.get(line.code, 0))
                if taken:
                    pieces[line.code] -= taken
                    wanted -= taken
                    back[invoice].append(Line(line.code, line.name, taken, line.price))
            if wanted:
                left_out["returned lines whose purchase is not in the data"] += 1
        for invoice, lines in back.items():
            yield _event(
                f"refund-{order.invoice}-{invoice}",
                "order_refunded",
                order.at,
                order.customer,
                {
                    "order_id": invoice,
                    "total": _sum(lines),
                    "currency": "GBP",
                    "products": [_product(line) for line in lines],
                },
            )


def views(orders: Sequence[Order], person: Person, end: datetime, seed: int) -> Iterable[Event]:
    """Invented visits: some shortly before a purchase, some that lead to nothing."""
    draw = random.Random(blake2b(f"{seed} views {person.customer}".encode()).digest())  # noqa: S311 - a fixed story
    bought = [order for order in orders if not order.is_return and order.lines]
    shelf = [line for order in bought for line in order.lines]
    if not shelf:
        return
    start = orders[0].at
    number = 0
    for order in bought:
        at = order.at - timedelta(hours=draw.uniform(0.2, 60.0))
        if draw.random() < LOOKS_BEFORE and at > start:
            number += 1
            yield _view(number, at, person, draw.choice(order.lines))
    at = start
    while True:
        at += timedelta(days=draw.expovariate(1.0 / IDLE_VISITS))
        # People look around in the day and in the evening of where they live.
        local = at.astimezone(ZoneInfo(person.time_zone)).replace(hour=draw.randrange(8, 22), minute=draw.randrange(60))
        if local >= end:
            return
        if local > start:
            number += 1
            # People look longer at what costs more: the dearer one of two.
            looked_at = max(draw.choice(shelf), draw.choice(shelf), key=lambda line: line.price)
            yield _view(number, local.astimezone(UTC), person, looked_at)


def _view(number: int, at: datetime, person: Person, line: Line) -> Event:
    product = _product(line)
    del product["quantity"]
    return _event(f"view-{person.customer}-{number}", "view", at, person.customer, {**product, "currency": "GBP"})


def _product(line: Line) -> dict[str, Any]:
    return {
        "product_id": line.code,
        "name": line.name,
        "category": category_of(line.name),
        "price": line.price,
        "quantity": line.quantity,
        "url": f"https://shop.example.com/p/{line.code.replace(' ', '-')}",
    }


def _sum(lines: Iterable[Line]) -> float:
    return round(sum(line.quantity * line.price for line in lines), 2)


def _event(event_id: str, kind: str, at: datetime, customer: str, data: dict[str, Any]) -> Event:
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"id": event_id, "type": kind, "time": moment, "customer": customer, "source": SOURCE, "data": data}
