"""The next purchase, predicted from the past only, on real purchases.

    python benchmarks/rhythm.py DATA [--bgnbd PYTHON] [--json]

DATA is a folder with grocery_odd_baskets.csv.gz (The Complete Journey: household, basket, time, category, items) and
online_retail_2011_lines.csv.gz (Online Retail, UCI). At every purchase in the second half of the calendar the next gap
is predicted from the first half of everybody (priors, medians, fitted models) and this customer's own past. Purchases
of the last 60 days are left out, so that long gaps may be seen. The production code predicts: `learning.rhythm` with
priors fitted by `learning.rhythm_priors`. Compared with the median gap of all, of the category, the customer's own
median and own mean gap, and with BG/NBD of `lifetimes` 0.11.3 (Fader, Hardie, Lee 2005), fitted per data set (per
category in the grocery panel), in an interpreter of its own (`--bgnbd`), because the library stopped in 2020. Its
forecast is the median of the next Poisson arrival, (alpha + T) (2 ** (1 / (r + x)) - 1).

Printed per data set: median absolute error in days of the exact guess, then median and mean absolute error of the guess
in whole days (the data know no hours), over all predictions and over those where the customer's
own gaps exist; how often the 80 % interval holds the gap; reminders: sent 3 days (visits: 1 day) before the predicted
day, a hit when the purchase comes within 7 days (visits: 2) after the reminder.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from statistics import fmean, median
from typing import Any

from orchestrator.learning import rhythm_priors
from orchestrator.learning.rhythm import Rhythm, next_gap, surplus, unexplained

DAY_MS = 86_400_000
TAIL_DAYS = 60
#: A category takes part when the first half of the year has this many gaps of it.
LEAST_GAPS = 100
Series = dict[tuple[str, str], list[tuple[int, float]]]


def grocery(folder: Path) -> tuple[Series, Series]:
    """Household x category, and household visits: days with the pieces bought."""
    by_category: dict[tuple[str, str], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    visits: dict[tuple[str, str], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for row in _rows(folder / "grocery_odd_baskets.csv.gz"):
        day = datetime.fromisoformat(row["transaction_timestamp"]).toordinal()
        by_category[row["household_id"], row["product_category"]][day] += float(row["items"])
        visits[row["household_id"], ""][day] += float(row["items"])
    return _series(by_category), _series(visits)


def online_retail(folder: Path) -> Series:
    """Orders of each customer that did not come back as such."""
    orders: dict[tuple[str, str], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for row in _rows(folder / "online_retail_2011_lines.csv.gz"):
        if row["is_return"] != "1":
            day = datetime.fromisoformat(row["invoice_date"]).toordinal()
            orders[row["customer_id"], ""][day] += float(row["quantity"])
    return _series(orders)


def _rows(file: Path) -> Iterable[dict[str, str]]:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def _series(days: Mapping[tuple[str, str], Mapping[int, float]]) -> Series:
    return {key: sorted(by_day.items()) for key, by_day in days.items()}


class Measured:
    """Errors, coverage and hits of one method."""

    def __init__(self) -> None:
        self.exact: list[float] = []
        self.errors: list[int] = []
        self.inside: list[bool] = []
        self.hits: list[bool] = []

    def add(self, predicted: float, actual: int, lead: int, window: int) -> None:
        self.exact.append(abs(predicted - actual))
        # The data are whole days, and a reminder goes on a day.
        predicted = max(1, round(predicted))
        self.errors.append(abs(predicted - actual))
        reminded = max(0, predicted - lead)
        self.hits.append(reminded <= actual <= reminded + window)

    def row(self) -> dict[str, float]:
        made = {
            "n": len(self.errors),
            "exact": round(median(self.exact), 2),
            "median": round(median(self.errors), 2),
            "mean": round(fmean(self.errors), 2),
            "hits": round(100 * fmean(self.hits), 1),
        }
        if self.inside:
            made["inside"] = round(100 * fmean(self.inside), 1)
        return made


def measure(series: Series, lead: int, window: int, bgnbd: str) -> dict[str, dict[str, float]]:
    """All methods on one data set."""
    first = min(points[0][0] for points in series.values())
    last = max(points[-1][0] for points in series.values())
    cut = (first + last) // 2
    rhythms: dict[tuple[str, str], Rhythm] = {}
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * rhythm_priors.WIDTH)
    gaps: dict[str, list[int]] = defaultdict(list)
    past: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for key, points in series.items():
        rhythm = rhythms[key] = Rhythm()
        before = None
        vector = sums[key[1]]
        seen = [day for day, _ in points if day <= cut]
        for day, amount in points:
            if day > cut:
                break
            if before is not None:
                gaps[key[1]].append(day - before)
            rhythm_priors.add_amount(vector, surplus(rhythm), unexplained(rhythm, day * DAY_MS), amount)
            rhythm.bought(day * DAY_MS, amount)
            before = day
        rhythm_priors.add_evidence(vector, rhythm, 1)
        if seen:
            past[key[1]].append((len(seen) - 1, seen[-1] - seen[0], cut - seen[0]))
    priors = rhythm_priors.RhythmPriors(sums)
    known = {category for category, found in gaps.items() if len(found) >= LEAST_GAPS}
    models = _bgnbd(bgnbd, {category: past[category] for category in known}) if bgnbd else {}
    medians = {category: median(gaps[category]) for category in known}
    everybody = median([gap for found in gaps.values() for gap in found])
    table: dict[str, Measured] = defaultdict(Measured)
    for key, points in series.items():
        category = key[1]
        if category not in known:
            continue
        prior, rhythm = priors.of(category), rhythms[key]
        own: list[int] = []
        for place, (day, amount) in enumerate(points):
            if place:
                own.append(day - points[place - 1][0])
            if day > cut:
                rhythm.bought(day * DAY_MS, amount)
            if day <= cut or day > last - TAIL_DAYS or place + 1 == len(points):
                continue
            actual = points[place + 1][0] - day
            guesses = {"all: median of all": everybody, "all: median of category": medians[category]}
            gap = next_gap(rhythm, prior)
            guesses["all: own rhythm"] = gap.quantile(0.5)
            if category in models:
                r, alpha = models[category]
                guesses["all: BG/NBD"] = (alpha + day - points[0][0]) * (2 ** (1 / (r + len(own))) - 1)
            if own:
                guesses.update({name.replace("all", "own", 1): guess for name, guess in guesses.items()})
                guesses["own: own median"], guesses["own: own mean"] = median(own), fmean(own)
            low, high = gap.quantile(0.1), gap.quantile(0.9)
            for name, guess in guesses.items():
                table[name].add(guess, actual, lead, window)
                if name.endswith("own rhythm"):
                    table[name].inside.append(low <= actual <= high)
    return {name: table[name].row() for name in sorted(table)}


_FIT = """
import json, sys, warnings
out, sys.stdout = sys.stdout, sys.stderr
warnings.simplefilter("ignore")
from lifetimes import BetaGeoFitter
fitted = {}
for category, rows in json.load(sys.stdin).items():
    x, tx, T = zip(*rows)
    for penalty in (0.0, 0.001, 0.01, 0.1):
        try:
            model = BetaGeoFitter(penalizer_coef=penalty)
            model.fit(list(x), list(tx), list(T))
        except Exception:
            continue
        fitted[category] = (float(model.params_["r"]), float(model.params_["alpha"]))
        break
print(json.dumps(fitted), file=out)
"""


def _bgnbd(python: str, past: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    done = subprocess.run([python, "-c", _FIT], input=json.dumps(past), capture_output=True, text=True, check=True)
    return {category: (r, alpha) for category, (r, alpha) in json.loads(done.stdout).items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--bgnbd", default="", help="interpreter with lifetimes installed")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    by_category, visits = grocery(asked.data)
    sets = {
        "Online Retail, customer": (online_retail(asked.data), 3, 7),
        "grocery, household visit": (visits, 1, 2),
        "grocery, household x category": (by_category, 3, 7),
    }
    for name, (series, lead, window) in sets.items():
        table = measure(series, lead, window, asked.bgnbd)
        if asked.json:
            print(json.dumps({"data": name, "methods": table}))
            continue
        print(f"{name}\n{'':28}{'n':>8}{'exact':>9}{'median':>9}{'mean':>9}{'hits %':>8}{'inside %':>10}")
        for method, row in table.items():
            inside = f"{row['inside']:10.1f}" if "inside" in row else ""
            print(
                f"{method:28}{row['n']:8}{row['exact']:9.2f}{row['median']:9.2f}{row['mean']:9.2f}{row['hits']:8.1f}{inside}"
            )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
