"""Policies of choice against each other on simulated customers, all by the production engine.

    python benchmarks/policies.py [--worlds default drifting] [--policies auto ratio] [--seeds 11 12 13]
                                  [--customers 1000] [--warm] [--json]

Every policy runs through `orchestrator.testing.Simulation`: the same gate, the same learning from the same kinds of
events, with the same luck. Printed is the share of what an all-knowing, short-sighted chooser gains over a random one,
(policy - random) / (oracle - random), cumulative over the first 5, 10, 20 and 50 decisions, in per cent: the mean over
seeds and the half-width of its 95 % interval (Student). `last` is decisions 46-50 alone; `unsub` consents lost per 1000
decisions; `calibration` the responses that came per response expected of the sends (1 is right).
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from worlds import CHANNELS, COSTS, LOSSES, MARGIN, START_MS, WORLDS, Customers, World, world_of

from orchestrator.language.journeys import compile_program
from orchestrator.learning.choice import ChoicePolicy, Situation
from orchestrator.learning.pooled import Snapshot
from orchestrator.testing.simulation import Simulation

POINTS = (5, 10, 20, 50)
POLICIES = (
    "random",
    "fixed:email",
    "fixed:push",
    "fixed:sms",
    "best_fixed",
    "round_robin",
    "eps_greedy",
    "ratio",
    "unpooled_thompson",
    "auto",
    "oracle",
)
#: Two-sided 95 % of Student's t by degrees of freedom.
_T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
_BINS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.12, 0.18, 0.3, 1.0)

JOURNEY = """
name: Nudge
owner: benchmark
status: live
trigger: nudge
reentry: always
steps:
  - {send: offer, channel: auto}
"""
MESSAGE = "---\nsubject: An offer\nsms: An offer\npush: {title: An offer, body: For you}\n---\nAn offer.\n"


def files(world: World) -> dict[str, str]:
    """The journey folder of the benchmark."""
    channels = "\n".join(
        f"  {name}: {{cost: {COSTS[k]}, consent_loss: {LOSSES[k]}}}" for k, name in enumerate(CHANNELS)
    )
    policy = f"currency: EUR\nmargin: {MARGIN:.0%}\nresponse_value: 1\nchannels:\n{channels}\n"
    if world.nothing:
        policy += "nothing: allowed\n"
    return {"_policy.yaml": policy, "nudge.yaml": JOURNEY, "messages/offer.md": MESSAGE}


@dataclass
class Outcome:
    """One run: expected net value of each decision by number, and what is counted."""

    values: list[float]
    sent: int = 0
    unsubscribed: int = 0
    expected: float = 0.0
    came: float = 0.0
    #: Per bin of the expected rate: sends, expected, true.
    bins: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0, 0.0] for _ in _BINS[1:]])
    seconds: float = 0.0
    state_bytes: float = 0.0
    snapshot: Snapshot | None = None


def run(world: World, choice: str, priors: Snapshot | None = None) -> Outcome:
    """One policy through one world."""
    people = Customers(world)
    now = {"decision": 0}

    def oracle(_argument: str) -> ChoicePolicy:
        def choose(situation: Situation) -> Sequence[float]:
            customer = int(situation.customer)
            nets = [
                people.net(customer, now["decision"], CHANNELS.index(c.channel), situation.at)
                for c in situation.candidates
            ]
            best = max(range(len(nets)), key=nets.__getitem__)
            shares = [0.0] * len(nets)
            if not situation.nothing or nets[best] > 0.0:
                shares[best] = 1.0
            return shares

        return choose

    sim = Simulation(
        compile_program(files(world)), seed=world.seed, choice=choice, policies={"oracle": oracle}, priors=priors
    )
    began = time.process_time()
    for customer in range(world.customers):
        sim.publish(
            {
                "type": "customer_updated",
                "customer": str(customer),
                "time": _moment(START_MS),
                "data": {
                    "addresses": {"email": f"c{customer}@example.com", "phone": f"+1500{customer:07}", "push": "t"},
                    "consents": {name: {"marketing": True} for name in CHANNELS},
                    "segments": [f"s{people.label[customer]}"],
                },
            }
        )
    queue: list[tuple[int, int, int, str, dict[str, Any]]] = []
    number = 0
    for decision in range(world.decisions):
        for customer in range(world.customers):
            queue.append((int(people.times[decision, customer]), number, customer, "nudge", {"decision": decision}))
            number += 1
    end = int(people.times[-1].max())
    for customer in range(world.customers):
        for at, total in zip(people.organic[customer], people.organic_total[customer], strict=True):
            if at < end:
                queue.append((int(at), number, customer, "purchase", {"total": round(float(total), 2)}))
                number += 1
    heapq.heapify(queue)
    outcome = Outcome([0.0] * world.decisions)
    while queue:
        at, _, customer, kind, data = heapq.heappop(queue)
        if kind == "nudge":
            now["decision"] = data["decision"]
        if kind == "message_unsubscribed":
            outcome.unsubscribed += 1
        if kind == "purchase":
            number += 1
            data = {"order_id": f"o{number}", **data}
        seen = len(sim.decisions)
        event = {"type": kind, "customer": str(customer), "time": _moment(at), "data": data}
        for send in sim.publish(event):
            decision, channel = data["decision"], CHANNELS.index(send.channel)
            rate = people.rate(customer, decision, channel, at)
            outcome.values[decision] += people.net(customer, decision, channel, at)
            outcome.sent += 1
            weighed = next(w for d in sim.decisions[seen:] for w in d.candidates if w.channel == send.channel)
            believed = weighed.a / (weighed.a + weighed.b)
            outcome.expected += believed
            outcome.came += rate
            row = outcome.bins[next(i for i, top in enumerate(_BINS[1:]) if believed <= top)]
            row[0] += 1
            row[1] += believed
            row[2] += rate
            for answer in people.answers(customer, decision, channel, at):
                number += 1
                key = "in_reply_to" if answer.type == "reply" else "send_id"
                extra = {} if answer.type == "purchase" else {key: send.send_id}
                heapq.heappush(queue, (at + answer.delay, number, customer, answer.type, {**answer.data, **extra}))
        sim.decisions.clear()
    outcome.values = [value / world.customers for value in outcome.values]
    outcome.seconds = time.process_time() - began
    outcome.snapshot = sim.snapshot()
    return outcome


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def share(policy: Outcome, random: Outcome, oracle: Outcome, first: int, last: int) -> float:
    """Share of the oracle's gain over random in decisions [first, last), in per cent."""
    gain = sum(oracle.values[first:last]) - sum(random.values[first:last])
    return 100.0 * (sum(policy.values[first:last]) - sum(random.values[first:last])) / gain


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half-width of its 95 % interval."""
    if len(values) < 2:
        return values[0], float("nan")
    return mean(values), _T95.get(len(values) - 1, 1.96) * stdev(values) / len(values) ** 0.5


def measure(name: str, policies: Sequence[str], seeds: Sequence[int], customers: int, warm: bool) -> dict[str, Any]:
    """All policies through one world, over the seeds."""
    runs: dict[str, list[Outcome]] = {}
    for seed in seeds:
        world = world_of(name, seed=seed, customers=customers)
        for policy in dict.fromkeys(("random", *policies, "oracle")):
            runs.setdefault(policy, []).append(run(world, policy))
        if warm:
            before = run(world_of(name, seed=seed + 1000, customers=customers), "auto")
            runs.setdefault("auto, warm priors", []).append(run(world, "auto", before.snapshot))
    table: dict[str, Any] = {}
    half = WORLDS[name].decisions // 2
    for policy, outcomes in runs.items():
        row: dict[str, Any] = {}
        spans = {str(n): (0, n) for n in POINTS} | {"last": (45, 50), "after_half": (half, 50)}
        for label, (first, last) in spans.items():
            shares = [
                share(one, random, oracle, first, last)
                for one, random, oracle in zip(outcomes, runs["random"], runs["oracle"], strict=True)
            ]
            row[label] = [round(x, 1) for x in interval(shares)]
        row["value"] = round(1000 * mean(mean(one.values) for one in outcomes), 2)
        sent = sum(one.sent for one in outcomes)
        row["sent"] = round(sent / len(outcomes) / customers / WORLDS[name].decisions, 3)
        row["unsub"] = round(1000 * sum(one.unsubscribed for one in outcomes) / sent, 2)
        row["calibration"] = round(sum(one.came for one in outcomes) / sum(one.expected for one in outcomes), 3)
        row["bins"] = [
            [round(sum(one.bins[i][j] for one in outcomes), 1) for j in range(3)] for i in range(len(_BINS) - 1)
        ]
        row["seconds"] = round(mean(one.seconds for one in outcomes), 1)
        table[policy] = row
    return table


def main() -> None:
    """Print the table of each world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="+", default=["default"], choices=list(WORLDS))
    parser.add_argument("--policies", nargs="+", default=list(POLICIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[11, 12, 13])
    parser.add_argument("--customers", type=int, default=1000)
    parser.add_argument("--warm", action="store_true", help="also auto with priors learned in another company's year")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    for name in asked.worlds:
        table = measure(name, asked.policies, asked.seeds, asked.customers, asked.warm)
        if asked.json:
            print(json.dumps({"world": name, "seeds": asked.seeds, "customers": asked.customers, "policies": table}))
            continue
        print(f"{name}: {asked.customers} customers, seeds {asked.seeds}")
        heads = "".join(f"{head:>12}" for head in ("n=5", "n=10", "n=20", "n=50", "last", "2nd half"))
        print(f"{'policy':20}{heads}  value  sent  unsub  calib     s")
        for policy, row in table.items():
            cells = "".join(
                f"{row[k][0]:7.1f}±{row[k][1]:<4.1f}" for k in ("5", "10", "20", "50", "last", "after_half")
            )
            print(
                f"{policy:20}{cells}{row['value']:7.2f}{row['sent']:6.2f}{row['unsub']:7.2f}{row['calibration']:7.2f}{row['seconds']:6.1f}"
            )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
