"""Off-policy values against the truth, in the worlds of `policies.py`.

    python benchmarks/off_policy.py [--seeds 30] [--customers 250] [--decisions 20] [--world default]

In each world (one per seed) the production engine runs `auto`, and its decision records are all that
`orchestrator policy evaluate` gets to see. The world knows the rate of every channel at every decision, so the value
that another policy would have had on the same choices is known exactly. Printed for each policy in question: its true
value, the mean of each estimate and how often its 95 % interval held the truth; how many logs were refused.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from policies import files
from worlds import CHANNELS, START_MS, Customers, World, world_of

from orchestrator.engine.decision import Decision
from orchestrator.language.journeys import compile_program
from orchestrator.learning.policies import make_policy
from orchestrator.reporting.what_if import what_if
from orchestrator.testing.simulation import Simulation

ASKED = ("random", "fixed:email", "fixed:push", "fixed:sms")
WINDOW_MS = 7 * 86_400_000


def run(world: World) -> tuple[list[Decision], dict[str, dict[str, float]], int]:
    """Decision records of one world, the true rate of every channel at each, and when it ended."""
    people, truth = Customers(world), {}
    sim = Simulation(compile_program(files(world)), seed=world.seed, choice="auto")
    for customer in range(world.customers):
        consents = {name: {"marketing": True} for name in CHANNELS}
        addresses = {"email": f"c{customer}@example.com", "phone": f"+1500{customer:07}", "push": "t"}
        data: dict[str, Any] = {
            "addresses": addresses,
            "consents": consents,
            "segments": [f"s{people.label[customer]}"],
        }
        sim.publish({"type": "customer_updated", "customer": str(customer), "time": _moment(START_MS), "data": data})
    queue: list[tuple[int, int, int, str, dict[str, Any]]] = []
    for decision in range(world.decisions):
        for customer in range(world.customers):
            at = int(people.times[decision, customer])
            queue.append((at, len(queue), customer, "nudge", {"decision": decision}))
    number = len(queue)
    heapq.heapify(queue)
    while queue:
        at, _, customer, kind, data = heapq.heappop(queue)
        if kind == "purchase":
            data = {"order_id": f"o{number}-{at}", **data}
        sends = sim.publish({"type": kind, "customer": str(customer), "time": _moment(at), "data": data})
        for send in sends:
            decision, channel = data["decision"], CHANNELS.index(send.channel)
            truth[send.send_id] = {name: people.rate(customer, decision, k, at) for k, name in enumerate(CHANNELS)}
            for answer in people.answers(customer, decision, channel, at):
                number += 1
                key = "in_reply_to" if answer.type == "reply" else "send_id"
                extra = {} if answer.type == "purchase" else {key: send.send_id}
                heapq.heappush(queue, (at + answer.delay, number, customer, answer.type, {**answer.data, **extra}))
    return sim.decisions, truth, round(sim.now.timestamp() * 1000)


def value_of(asked: str, records: list[Decision], truth: dict[str, dict[str, float]]) -> float:
    """What the policy is truly worth, on average over the choices that are valued."""
    values = []
    for one in records:
        if one.kind != "sent" or len(one.candidates) < 2 or one.id not in truth:
            continue
        rates = truth[one.id]
        nets = {w.channel: rates[w.channel] * w.value - w.cost - w.loss for w in one.candidates}
        values.append(nets.get(asked.removeprefix("fixed:"), fmean(nets.values())))
    return fmean(values)


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--customers", type=int, default=250)
    parser.add_argument("--decisions", type=int, default=20)
    parser.add_argument("--world", default="default")
    asked = parser.parse_args()
    rows: dict[str, list[Any]] = {name: [] for name in ASKED}
    for seed in range(500, 500 + asked.seeds):
        world = world_of(asked.world, seed=seed, customers=asked.customers, decisions=asked.decisions)
        records, truth, end = run(world)
        for name in ASKED:
            verdict = what_if(
                records,
                name,
                make_policy(name),
                end + WINDOW_MS,
                seed=f"simulation:{seed}".encode(),
                exploration=0.03,
                window=WINDOW_MS,
            )
            rows[name].append((value_of(name, records, truth), verdict))
    estimates = ("ips", "snips", "dr")
    heads = "".join(f"{name:>9}{'held':>7}" for name in estimates)
    print(f"{'policy':14}{'valued':>7}{'refused':>8}{'effective':>10}{'truth':>9}{heads}   (values x 1000)")
    for name, found in rows.items():
        valued = [(truth, verdict) for truth, verdict in found if not verdict.refused]
        line = f"{name:14}{len(valued):7}{len(found) - len(valued):8}"
        line += f"{fmean(verdict.effective for _, verdict in found):10.0f}"
        if valued:
            line += f"{1000 * fmean(truth for truth, _ in valued):9.2f}"
            for which in estimates:
                made = [(truth, getattr(verdict, which)) for truth, verdict in valued]
                held = fmean(one.low <= truth <= one.high for truth, one in made)
                line += f"{1000 * fmean(one.value for _, one in made):9.2f}{held:7.0%}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
