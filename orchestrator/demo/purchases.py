"""The slice of real purchases (Online Retail: a year of a UK gift shop), as orders. Nothing here is invented."""

from __future__ import annotations

import csv
import gzip
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import capwords
from zoneinfo import ZoneInfo

from orchestrator.errors import SettingsInvalid

#: Invoice times are the shop's local time.
_SHOP = ZoneInfo("Europe/London")
#: Lines that are carriage.
CARRIAGE = frozenset({"POST", "DOT", "C2"})
#: Lines that are neither goods nor carriage: manual corrections, discounts, fees.
NO_GOODS = frozenset({"M", "D", "BANK CHARGES", "CRUK", "S", "AMAZONFEE", "m"})

_PACKAGED = Path(__file__).parents[1] / "_data" / "online_retail"
_CHECKOUT = Path(__file__).parents[2] / "examples" / "online_retail"


@dataclass(frozen=True, slots=True)
class Line:
    """One product of an order. `quantity` is positive, also in a return; `price` is in GBP for one piece."""

    code: str
    name: str
    quantity: int
    price: float


@dataclass(frozen=True, slots=True)
class Order:
    """One invoice: a purchase, or a return. `at` is in UTC."""

    invoice: str
    customer: str
    country: str
    at: datetime
    is_return: bool
    lines: tuple[Line, ...]
    #: GBP for postage and carriage.
    carriage: float
    #: Lines that were left out because they are no goods.
    left_out: int


def folder() -> Path:
    """Where the slice lies: inside the installed package, else in the checkout's examples.

    Raises SettingsInvalid when it is in neither.
    """
    for place in (_PACKAGED, _CHECKOUT):
        if (place / "purchases.csv.gz").exists():
            return place
    raise SettingsInvalid(
        "the demo's purchases are missing", fix=f"put them back into {_CHECKOUT} (make_slice.py there makes them)"
    )


def load(place: Path | None = None) -> list[Order]:
    """All invoices in the order of time."""
    place = place or folder()
    names = {row["stock_code"]: capwords(row["description"]) for row in _rows(place / "products.csv.gz")}
    invoices: dict[str, list[dict[str, str]]] = {}
    for row in _rows(place / "purchases.csv.gz"):
        invoices.setdefault(row["invoice"], []).append(row)
    orders = [_order(invoice, rows, names) for invoice, rows in invoices.items()]
    return sorted(orders, key=lambda order: (order.at, order.invoice))


def _rows(file: Path) -> list[dict[str, str]]:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def _order(invoice: str, rows: list[dict[str, str]], names: dict[str, str]) -> Order:
    first = rows[0]
    lines: list[Line] = []
    carriage, left_out = 0.0, 0
    for row in rows:
        code, quantity, price = row["stock_code"], abs(int(row["quantity"])), float(row["unit_price"])
        if code in CARRIAGE:
            carriage += quantity * price
        elif code in NO_GOODS or quantity == 0:
            left_out += 1
        else:
            lines.append(Line(code, names[code], quantity, price))
    # A few invoices carry lines of two minutes: the first one is when it was made.
    local = datetime.fromisoformat(min(row["invoice_date"] for row in rows)).replace(tzinfo=_SHOP)
    return Order(
        invoice=invoice,
        customer=first["customer_id"],
        country=first["country"],
        at=local.astimezone(UTC),
        is_return=first["is_return"] == "1",
        lines=tuple(lines),
        carriage=round(carriage, 2),
        left_out=left_out,
    )


def some(orders: list[Order], *, customers: int, days: int, seed: int) -> list[Order]:
    """The orders of a drawn part of the customers in the first `days` of the slice, in the order of time."""
    everybody = sorted({order.customer for order in orders})
    drawn = set(random.Random(seed).sample(everybody, min(customers, len(everybody))))  # noqa: S311 - repeatable
    end = min(order.at for order in orders) + timedelta(days=days)
    return [order for order in orders if order.customer in drawn and order.at < end]
