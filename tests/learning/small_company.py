"""A company of a few customers for tests of learning: one journey that sends at once, on whatever channel is chosen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.language.journeys import compile_program
from orchestrator.learning.pooled import Snapshot
from orchestrator.testing.simulation import Send, Simulation

T0 = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
CHANNELS = ("email", "push", "sms")
POLICY = """
currency: EUR
margin: 50%
channels:
  email: {cost: 0.001, consent_loss: 1}
  sms: {cost: 0.02, consent_loss: 1}
  push: {cost: 0, consent_loss: 1}
"""
TEXT = "---\nsubject: Hello\nsms: Hello\npush: {title: Hello, body: Hello}\n---\nHello.\n"


def company(
    send: str = "{send: hello, channel: auto}",
    *,
    policy: str = "",
    seed: int = 1,
    priors: Snapshot | None = None,
    **more: Any,
) -> Simulation:
    journey = f"name: N\nowner: t\nstatus: live\ntrigger: nudge\nreentry: always\nsteps:\n  - {send}\n"
    files = {"_policy.yaml": POLICY + policy, "nudge.yaml": journey}
    files |= {f"messages/{name}.md": TEXT for name in ("hello", "second", "third")}
    return Simulation(compile_program(files), seed=seed, priors=priors, **more)


def at(**later: float) -> datetime:
    return T0 + timedelta(**later)


def publish(sim: Simulation, kind: str, customer: str = "ada", when: datetime = T0, **data: Any) -> list[Send]:
    return sim.publish({"type": kind, "customer": customer, "time": when, "data": data})


def announce(
    sim: Simulation, customer: str = "ada", when: datetime = T0, *labels: str, channels: tuple[str, ...] = CHANNELS
) -> None:
    addresses = {"email": f"{customer}@example.com", "sms": "+15005550006", "push": "token"}
    publish(
        sim,
        "customer_updated",
        customer,
        when,
        addresses={{"sms": "phone"}.get(name, name): addresses[name] for name in channels},
        consents={name: {"marketing": True} for name in channels},
        segments=list(labels),
    )


def nudge(sim: Simulation, customer: str, when: datetime) -> Send | None:
    # An id of its own: draws hang on it, whatever else is published.
    moment = f"{customer} {when.isoformat()}"
    sends = sim.publish({"id": moment, "type": "nudge", "customer": customer, "time": when, "data": {}})
    return sends[0] if sends else None
