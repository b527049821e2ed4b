"""The workload: browse abandonment, the same customers, mix and waits that other engines were measured with.

A view starts a run: wait until she has not looked for w1, send on the channel she answers, wait w2 for a reply, send
again. A purchase ends it anywhere. Keys are drawn by Zipf 0.99; 88 % views, 8 % purchases, 4 % replies.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from orchestrator.contracts import records
from orchestrator.contracts.records import Event
from orchestrator.partitioning import partition_of

PARTITIONS = 4
ZIPF = 0.99
VIEWS, PURCHASES = 0.88, 0.08
#: Of the customers who got a first message in a paced run, so many answer, so long after it.
REPLY_SHARE, REPLY_AFTER = 0.3, 1.0
CATEGORIES = ("coffee", "tea", "garden", "kitchen", "toys", "books", "lamps", "bags")

_POLICY = """\
currency: EUR
margin: 30%
response_value: 0.40
time_zone: UTC
cap: 20 per 1d
quiet_hours: {quiet}
holdout: 5%
exploration: 3%
channels:
  email: {{cost: 0.0008, consent_loss: 2.5}}
  sms: {{cost: 0.04, consent_loss: 6}}
  push: {{cost: 0, consent_loss: 1.5}}
"""
_JOURNEY = """\
name: Looked, did not buy
owner: benchmark
status: live
trigger: view
reentry: always
goal: {{event: purchase, within: 7d, value: order.revenue}}
steps:
  - wait: {w1}
    after_last: view
  - send: still_thinking
  - wait_for: reply
    up_to: {w2}
  - exit: answered
    if: reply
  - send: ask_us_about_it
"""
_MESSAGE = """\
---
subject: "{{ product.name }} is still here"
sms: You had a look at {{ product.name }}. Questions? Just reply.
push: {title: "{{ product.name }}", body: You were looking at it.}
---
You had a look at {{ product.name }}.
"""


def journey_files(w1: str, w2: str) -> dict[str, str]:
    """The journeys folder as texts. Quiet hours, caps and consents are on; quiet hours never hold what is due now."""
    now = datetime.now(UTC).hour
    quiet = f"{(now + 8) % 24:02}:00-{(now + 14) % 24:02}:00"
    return {
        "_policy.yaml": _POLICY.format(quiet=quiet),
        "browse.yaml": _JOURNEY.format(w1=w1, w2=w2),
        "messages/still_thinking.md": _MESSAGE,
        "messages/ask_us_about_it.md": _MESSAGE,
    }


#: One event of a partition's log: key and value.
Row = tuple[bytes, bytes]


def customer(number: int) -> str:
    return f"customer-{number:07}"


def row_of(event: Event) -> tuple[int, Row]:
    """The partition of an event and what is written there."""
    return partition_of(event.customer, PARTITIONS), (event.customer.encode(), records.encode(event))


def arrivals(customers: int, at: int) -> Iterator[Event]:
    """Every customer with addresses and consents for three channels."""
    channels = ("email", "sms", "push")
    for number in range(customers):
        data: dict[str, Any] = {
            "addresses": {"email": f"c{number}@example.com", "phone": f"+1500{number:07}", "push": f"token-{number}"},
            "consents": {channel: {"marketing": True} for channel in channels},
        }
        yield Event(id=f"known-{number}", type="customer_updated", time=at, customer=customer(number), data=data)


def first_views(customers: int, at: int) -> Iterator[Event]:
    """One view for each customer."""
    for number in range(customers):
        yield view(f"first-{number}", customer(number), at, number)


def mixed(customers: int, count: int, at: int, seed: int = 7) -> Iterator[Event]:
    """`count` events of the mix, one a millisecond from `at` on."""
    chance = np.random.default_rng(seed)
    for first in range(0, count, 100_000):
        size = min(100_000, count - first)
        who = zipf(customers, size, chance)
        kinds = chance.random(size)
        for index in range(size):
            number = first + index
            yield one_of_the_mix(f"e{number}", int(who[index]), float(kinds[index]), at + number)


def zipf(customers: int, size: int, chance: np.random.Generator) -> Any:
    """Customer numbers by Zipf 0.99: number 0 is the most active."""
    weights = 1.0 / np.arange(1, customers + 1) ** ZIPF
    return np.searchsorted(np.cumsum(weights) / weights.sum(), chance.random(size))


def one_of_the_mix(name: str, number: int, kind: float, at: int) -> Event:
    """A view, a purchase or a reply, by where `kind` lies in [0, 1)."""
    who = customer(min(number, 9_999_999))
    if kind < VIEWS:
        return view(name, who, at, number + at)
    if kind < VIEWS + PURCHASES:
        price = 5.0 + at % 90
        data: dict[str, Any] = {"order_id": f"o-{name}", "total": price}
        return Event(id=name, type="purchase", time=at, customer=who, source="shop", data=data)
    return Event(
        id=name, type="reply", time=at, customer=who, source="shop", data={"channel": "sms", "text": "Thank you"}
    )


def view(name: str, who: str, at: int, product: int) -> Event:
    data = {
        "product_id": f"p-{product % 5_000}",
        "name": "A product",
        "category": CATEGORIES[product % len(CATEGORIES)],
        "price": 5.0 + product % 90,
    }
    return Event(id=name, type="view", time=at, customer=who, source="shop", data=data)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
