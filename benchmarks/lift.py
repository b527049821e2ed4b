"""Lift on invented customers whose truth is known: false alarms while one peeks all the time, and power.

    python benchmarks/lift.py [--runs 400] [--customers 10000]

Customers buy within the window with a chance that differs between them (mean 8 %), for a lognormal sum; what they had
spent before tells something of it. After every 10th customer the report's interval is looked at. Printed is the share
of runs in which any look said "effect" although there was none (A/A; nominal 5 %), for conversions and for money; the
share of runs that found a true effect by the end, and after how many customers (median); how often the interval held
the truth at every look.
"""

from __future__ import annotations

import argparse
from math import log1p
from statistics import median

import numpy as np

from orchestrator.learning.lift import Effect, SampleRatio

EVERY = 10
MEAN = float(np.exp(3.0 + 0.18))


def run(seed: int, customers: int, share: float, effect: float) -> tuple[list[int], list[bool], bool]:
    """First look that was sure of conversions and of money (0: none); whether all looks held the truth; ratio alarm."""
    chance = np.random.default_rng(seed)
    treated = chance.random(customers) < share
    level = chance.lognormal(0.0, 0.8, customers)
    rate = np.minimum(0.95, 0.08 * level / np.exp(0.32) + effect * treated)
    bought = chance.random(customers) < rate
    money = bought * chance.lognormal(3.0, 0.6, customers)
    spent = 100.0 * level * chance.lognormal(0.0, 0.5, customers)
    effects, ratio = (Effect(), Effect()), SampleRatio()
    first, held, alarm = [0, 0], [True, True], False
    for place in range(customers):
        arm, before = bool(treated[place]), log1p(float(spent[place]))
        effects[0].add(arm, share, float(bought[place]), before)
        effects[1].add(arm, share, float(money[place]), before)
        ratio.add(arm, share)
        if place % EVERY:
            continue
        alarm = alarm or ratio.alarm()
        for which, truth in enumerate((effect, effect * MEAN)):
            interval = effects[which].interval()
            if interval is None:
                continue
            held[which] = held[which] and interval.low <= truth <= interval.high
            if interval.sure and not first[which]:
                first[which] = place + 1
    return first, held, alarm


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--customers", type=int, default=10_000)
    asked = parser.parse_args()
    print(
        f"{'treated':>8}{'effect':>8}{'':3}{'sure':>22}{'customers':>18}{'held at every look':>22}{'ratio alarm':>13}"
    )
    for share in (0.5, 0.9):
        for effect in (0.0, 0.02, 0.04):
            runs = [run(seed, asked.customers, share, effect) for seed in range(asked.runs)]
            sure = [sum(bool(first[k]) for first, _, _ in runs) / len(runs) for k in (0, 1)]
            held = [sum(held[k] for _, held, _ in runs) / len(runs) for k in (0, 1)]
            when = [median([first[k] for first, _, _ in runs if first[k]] or [0]) for k in (0, 1)]
            alarm = sum(alarm for *_, alarm in runs) / len(runs)
            print(
                f"{share:8.0%}{effect:8.0%}   conversions {sure[0]:6.1%} money {sure[1]:6.1%}"
                f"{when[0]:9.0f} {when[1]:8.0f}{held[0]:13.1%} {held[1]:8.1%}{alarm:12.2%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
