"""How much of what the best hour brings is captured, by customers whose day is known.

    python benchmarks/send_time.py [--customers 1500]

Every customer opens by a curve of her own over the day: one hump (the model's own shape), or two narrow ones at
different hours (not its shape). Messages go out one by one at any hour from 8 to 22; after each number of them a rule
names its hour. Printed is the share of the gain of her best hour over a random one that the rule captures: everybody's
best hour, the two hours in which she opened most (as vendors describe theirs), and `learning.send_time` with
everybody's curve as its prior.
"""

from __future__ import annotations

import argparse
from math import cos, exp, pi

import numpy as np

from orchestrator.learning.cells import UNIT
from orchestrator.learning.send_time import BINS, WIDTH, Hours, bin_of, chance_at, common_curve, own_curve

ALLOWED = range(8, 22)
POINTS = (10, 20, 50, 100)


def rates(shape: str, chance: np.random.Generator) -> list[float]:
    """Chance of an open at each hour of the day."""
    level = chance.normal(-1.0, 0.6)
    if shape == "one hump":
        best, height = chance.normal(18, 4), abs(chance.normal(0.8, 0.3))
        eta = [level + height * cos(2 * pi * (hour - best) / 24) for hour in range(24)]
    else:
        humps = [(chance.uniform(8, 13), 1.2), (chance.uniform(16, 22), 1.6)]
        eta = [
            level - 0.5 + sum(high * exp(-(((hour - at + 12) % 24 - 12) ** 2) / 4.5) for at, high in humps)
            for hour in range(24)
        ]
    return [1 / (1 + exp(-value)) for value in eta]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1500)
    asked = parser.parse_args()
    for shape in ("one hump", "two humps"):
        chance = np.random.default_rng(5)
        people = [rates(shape, chance) for _ in range(asked.customers)]
        known = [Hours() for _ in people]
        sums = [0] * WIDTH
        print(f"{shape}\n{'messages':>9}{'everybody':>11}{'own busiest':>13}{'own curve':>11}")
        for number in range(1, max(POINTS) + 1):
            for person, hours in zip(people, known, strict=True):
                hour = int(chance.integers(ALLOWED.start, ALLOWED.stop))
                place = bin_of(hour * 60)
                hours.add_sent(place)
                sums[place] += UNIT
                if chance.random() < person[hour]:
                    hours.add_engaged(place)
                    sums[BINS + place] += UNIT
            if number not in POINTS:
                continue
            common = common_curve(sums)
            gains = np.zeros(3)
            total = 0.0
            top = max(ALLOWED, key=lambda hour: chance_at(common, 60 * hour))
            for person, hours in zip(people, known, strict=True):
                some = float(np.mean([person[hour] for hour in ALLOWED]))
                total += max(person[hour] for hour in ALLOWED) - some
                busiest = max(range(BINS), key=lambda place: hours.engaged[place])
                curve = own_curve(hours, common)
                mine = max(ALLOWED, key=lambda hour: chance_at(curve, 60 * hour))
                gains += np.array([person[top], person[2 * busiest], person[mine]]) - some
            shares = 100 * gains / total
            print(f"{number:9}{shares[0]:10.0f}%{shares[1]:12.0f}%{shares[2]:10.0f}%", flush=True)


if __name__ == "__main__":
    main()
