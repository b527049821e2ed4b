"""What one event costs the engine when 1, 10, 100 and 1,000 journeys are live and at most two of them care about it.

    python benchmarks/engine.py [--events 20000] [--json]

Rules are indexed by event type, so the cost must stay nearly flat. One process, in memory, no log and no Redis; every
size sees the same events of the same customers, in rounds that take turns, and the median round counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from orchestrator.contracts.records import Event
from orchestrator.engine.context import Context
from orchestrator.engine.state import Customer
from orchestrator.engine.step import step
from orchestrator.language.journeys import compile_program

SIZES = (1, 10, 100, 1_000)
CUSTOMERS = 1_000
ROUNDS = 5

POLICY = "currency: EUR\nchannels:\n  email: {cost: 0.001, consent: {marketing: opt_in}}\n"
MESSAGE = "---\nsubject: Hello\n---\nHello\n"
#: Two that care: one fits rarely, one counts every view.
CARES = (
    "name: A\nowner: x\nstatus: live\nreentry: after 7d\ntrigger: {event: view, where: {product.price: over 90}}\n"
    "steps:\n  - wait: 2h\n  - send: hello\n",
    "name: B\nowner: x\nstatus: live\nreentry: after 7d\n"
    "trigger: {event: view, times: 3, within: 7d, same: product.category}\nsteps:\n  - wait: 2h\n  - send: hello\n",
)
#: The others wait for events of their own; every tenth for an event to stay away.
OTHER = (
    "name: O\nowner: x\nstatus: live\ntrigger: {trigger}\n"
    "goal: {{event: bought_{n}, within: 7d}}\nexit_when: [gone_{n}]\nsteps:\n  - wait: 2h\n  - send: hello\n"
)


def context(size: int) -> Context:
    """A program of `size` live journeys."""
    files = {"_policy.yaml": POLICY, "messages/hello.md": MESSAGE}
    for number in range(size):
        trigger = f"{{event: other_{number}, where: {{product.price: over 5}}}}"
        if number % 10 == 3:
            trigger = f"{{missing: other_{number}, for: 30d}}"
        other = OTHER.format(n=number, trigger=trigger)
        files[f"journey_{number}.yaml"] = CARES[number] if number < len(CARES) else other
    return Context(program=compile_program(files), seed=b"benchmark")


def events(count: int, round_: int) -> list[Event]:
    """Views of products of ten categories, one a minute."""
    return [
        Event(
            id=f"{round_}-{number}",
            type="view",
            time=1_772_000_000_000 + (round_ * count + number) * 60_000,
            customer=f"c-{number % CUSTOMERS}",
            data={"product_id": "p", "category": f"k{number % 10}", "price": number % 100, "name": "P"},
        )
        for number in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    contexts = {size: context(size) for size in SIZES}
    customers = {size: {f"c-{number}": Customer() for number in range(CUSTOMERS)} for size in SIZES}
    micros: dict[int, list[float]] = {size: [] for size in SIZES}
    for round_ in range(ROUNDS + 1):
        stream = events(arguments.events, round_)
        for size in SIZES:
            known, current = customers[size], contexts[size]
            began = time.process_time()
            for event in stream:
                step(current, event.customer, known[event.customer], event, event.time)
            if round_:
                # The first round warms up.
                micros[size].append((time.process_time() - began) / len(stream) * 1e6)
    found = {size: round(statistics.median(values), 2) for size, values in micros.items()}
    if arguments.json:
        print(json.dumps({"events": arguments.events, "rounds": ROUNDS, "us_per_event": found}))
        return
    for size, us in found.items():
        print(f"{size:>5} live journeys  {us:8.2f} µs per event  x{us / found[1]:.2f}")


if __name__ == "__main__":
    main()
