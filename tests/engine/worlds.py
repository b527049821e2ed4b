"""Small programs and events for the engine's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.language.journeys import compile_program
from orchestrator.language.program import Program
from orchestrator.testing.simulation import Simulation

T0 = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)

POLICY = """
currency: EUR
channels:
  email: {cost: 0.001, consent_loss: 3}
  sms: {cost: 0.05, consent_loss: 3}
  push: {cost: 0, consent_loss: 2}
response_value: 1
time_zone: UTC
"""

HELLO = """---
subject: Your {{ product.name | default('order') }}
sms: About your order
push: {title: Your order, body: About your order}
---
Hello, about your order.
"""

FOLLOW_UP = """
name: Follow up
owner: test
trigger: purchase
reentry: always
steps:
  - wait: 2h
  - send: hello
"""


def program(journey: str = FOLLOW_UP, *, policy: str = POLICY, **more: str) -> Program:
    """The program of one journey called `journey` (and more by name), with a message `hello` on three channels."""
    files = {"_policy.yaml": policy, "journey.yaml": journey, "messages/hello.md": HELLO, "messages/bye.md": HELLO}
    files.update({f"{name}.yaml": text for name, text in more.items()})
    return compile_program(files)


def simulation(journey: str = FOLLOW_UP, *, seed: int = 1, policy: str = POLICY, **more: str) -> Simulation:
    return Simulation(program(journey, policy=policy, **more), seed=seed)


def at(**later: float) -> datetime:
    return T0 + timedelta(**later)


def event(kind: str, customer: str = "ada", *, when: datetime = T0, **data: Any) -> dict[str, Any]:
    return {"type": kind, "customer": customer, "time": when, "data": data}


def known(customer: str = "ada", *, when: datetime = T0, **over: Any) -> dict[str, Any]:
    """A customer reachable on all three channels."""
    data: dict[str, Any] = {
        "addresses": {"email": f"{customer}@example.com", "phone": "+15005550006", "push": "token-1"},
        "consents": {channel: {"marketing": True} for channel in ("email", "sms", "push")},
    }
    data.update(over)
    return event("customer_updated", customer, when=when, **data)


def bought(
    order: str, customer: str = "ada", *, when: datetime = T0, category: str = "coffee", total: float = 20
) -> dict[str, Any]:
    line = {
        "product_id": f"{category}-1",
        "category": category,
        "name": category.title(),
        "price": total,
        "quantity": 1,
    }
    return event("purchase", customer, when=when, order_id=order, total=total, products=[line])
