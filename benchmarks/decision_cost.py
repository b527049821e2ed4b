"""What one decision and one lesson cost, and how many bytes they leave in the customer's document.

    python benchmarks/decision_cost.py

CPU microseconds (process time), the best of several rounds, for a customer with a long history on three channels. A
decision is everything from the reachable channels to the shares and the draw. A lesson is what one event changes: the
customer's cell and the pooled sums. Printed as JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.contracts.records import Event
from orchestrator.engine import evidence, state
from orchestrator.engine.answers import learn
from orchestrator.engine.context import Context, Result, Turn
from orchestrator.engine.decision import Decision
from orchestrator.engine.sending import choose_channel
from orchestrator.engine.state import Customer, OpenSend
from orchestrator.language.journeys import compile_program
from orchestrator.language.program import Send
from orchestrator.learning.priors import Priors
from orchestrator.testing.simulation import Simulation

CHANNELS = ("email", "push", "sms")
START = datetime(2026, 3, 2, 10, tzinfo=UTC)
FILES = {
    "_policy.yaml": "channels:\n  email: {cost: 0.001}\n  sms: {cost: 0.04}\n  push: {cost: 0}\n",
    "nudge.yaml": "name: N\nowner: b\nstatus: live\ntrigger: nudge\nreentry: always\nsteps:\n  - send: hello\n",
    "messages/hello.md": "---\nsubject: Hi\nsms: Hi\npush: {title: Hi, body: Hi}\n---\nHi.\n",
}


def lived() -> tuple[Simulation, Customer]:
    """A customer after 120 sends, a third of them answered."""
    sim = Simulation(compile_program(FILES), seed=1)
    addresses = {"email": "a@example.com", "phone": "+15005550006", "push": "t"}
    consents = {name: {"marketing": True} for name in CHANNELS}
    data: dict[str, Any] = {"addresses": addresses, "consents": consents, "segments": ["vip"]}
    sim.publish({"type": "customer_updated", "customer": "ada", "time": START, "data": data})
    for number in range(120):
        now = START + timedelta(days=3 * number)
        for send in sim.publish({"type": "nudge", "customer": "ada", "time": now, "data": {}}):
            if number % 3 == 0:
                answer = {"type": "message_clicked", "customer": "ada", "time": now + timedelta(hours=2)}
                sim.publish({**answer, "data": {"send_id": send.send_id}})
    return sim, sim.customer("ada")


def microseconds(work: Callable[[], object], count: int = 2_000, rounds: int = 15) -> float:
    """CPU microseconds of one call, the best round."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(count):
            work()
        best = min(best, time.process_time() - began)
    return round(best / count * 1e6, 2)


def main() -> None:
    """Print the costs."""
    sim, ada = lived()
    context = Context(program=sim.program, seed=b"cost", priors=Priors(sim.snapshot()))
    at = int(sim.now.timestamp() * 1000) + 86_400_000
    turn = Turn(context, "ada", ada, at, Result())
    step = Send("steps[0]", ("hello",))

    def decide() -> None:
        decision = Decision(kind="sent", id="d", at=at, customer="ada", journey="n", version="", run_id="r")
        choose_channel(turn, step, decision, CHANNELS)

    sent = OpenSend("s", "r", "email", "hello", at)
    kept = state.encode(ada)
    report: dict[str, Any] = {"decision_us": microseconds(decide)}
    lessons: dict[str, Callable[[], object]] = {
        "send": lambda: evidence.sent(turn, sent, expected=0.05),
        "open": lambda: evidence.opened(turn, sent),
        "response": lambda: evidence.responded(turn, sent, delay=3_600_000, value=0.0),
        "purchase": lambda: evidence.bought(turn, sent, 9.5),
    }
    events = {
        "view (nothing to learn)": Event(id="v", type="view", time=at, customer="ada"),
        "delivered": Event(
            id="m", type="message_delivered", time=at, customer="ada", data={"send_id": ada.open_sends[-1].send_id}
        ),
    }
    for kind, event in events.items():
        lessons[kind] = lambda event=event: learn(turn, event)  # type: ignore[misc]
    report["lesson_us"] = {name: microseconds(work) for name, work in lessons.items()}
    grown = state.decode(kept)
    cells = len(kept) - len(_without(grown, "responses"))
    grown = state.decode(kept)
    report["bytes"] = {
        "cells_of_three_channels": cells,
        "sends_that_may_still_be_answered": len(kept) - len(_without(grown, "open_sends")),
        "how_many_of_those": len(ada.open_sends),
    }
    print(json.dumps(report, indent=2))


def _without(customer: Customer, field: str) -> bytes:
    getattr(customer, field).clear()
    return state.encode(customer)


if __name__ == "__main__":
    main()
