"""The demo's events: real orders told truly, invented things labelled and leading nowhere."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from orchestrator.contracts.normalise import normalise
from orchestrator.demo import purchases
from orchestrator.demo.categories import OTHER, category_of
from orchestrator.demo.customers import TIME_ZONES, CustomerModel
from orchestrator.demo.events import Story, story
from orchestrator.demo.purchases import Order

SLICE = Path(__file__).parents[2] / "examples" / "online_retail"


@pytest.fixture(scope="module")
def orders() -> list[Order]:
    return purchases.load()


@pytest.fixture(scope="module")
def year(orders: list[Order]) -> Story:
    return story(orders, CustomerModel(1))


def of(year: Story, kind: str) -> list[dict[str, Any]]:
    return [event for event in year.events if event["type"] == kind]


def test_the_slice_is_small_and_complete(orders: list[Order]) -> None:
    assert sum(file.stat().st_size for file in SLICE.iterdir() if file.is_file()) < 1_000_000
    assert len(orders) == 6_844
    assert len({order.customer for order in orders}) == 594
    assert sum(len(order.lines) for order in orders) > 70_000


def test_every_event_keeps_the_contract_and_comes_in_the_order_of_time(year: Story) -> None:
    received = int(datetime.fromisoformat("2011-12-31T00:00:00Z").timestamp() * 1000)
    records = [normalise(event, received=received) for event in year.events]
    assert not any(record.flags for record in records)
    assert [record.time for record in records] == sorted(record.time for record in records)
    ids = Counter(record.id for record in records)
    assert ids.most_common(1)[0][1] == 1
    assert set(Counter(record.type for record in records)) == {
        "customer_updated", "purchase", "order_refunded", "view",
    }  # fmt: skip


def test_all_money_of_the_slice_is_in_the_purchases(orders: list[Order], year: Story) -> None:
    real = sum(line.quantity * line.price for order in orders if not order.is_return for line in order.lines) + sum(
        order.carriage for order in orders if not order.is_return and order.lines
    )
    assert sum(event["data"]["total"] for event in of(year, "purchase")) == pytest.approx(real)


def test_a_profile_comes_before_everything_else_of_its_customer(year: Story) -> None:
    seen: set[str] = set()
    for event in year.events:
        if event["customer"] not in seen:
            assert event["type"] == "customer_updated"
            seen.add(event["customer"])


def test_addresses_lead_nowhere_and_belong_to_one_customer_each(year: Story) -> None:
    held: set[str] = set()
    for event in of(year, "customer_updated"):
        addresses = event["data"]["addresses"]
        assert re.fullmatch(r"customer\d+@example\.com", addresses["email"])
        assert re.fullmatch(r"\+1500555\d{4}", addresses["phone"])
        assert addresses["push"].startswith("demo-device-")
        held.update(addresses.values())
    assert len(held) == 3 * 594


def test_a_refund_names_an_earlier_order_of_the_customer_and_never_takes_back_more_than_was_bought(
    year: Story,
) -> None:
    bought: Counter[tuple[str, str]] = Counter()
    owner: dict[str, str] = {}
    refunds = 0
    for event in year.events:
        data = event["data"]
        if event["type"] == "purchase":
            owner[data["order_id"]] = event["customer"]
            for product in data["products"]:
                bought[data["order_id"], product["product_id"]] += product["quantity"]
        elif event["type"] == "order_refunded":
            refunds += 1
            assert owner[data["order_id"]] == event["customer"]
            for product in data["products"]:
                bought[data["order_id"], product["product_id"]] -= product["quantity"]
    assert refunds > 1_000
    assert min(bought.values()) >= 0


def test_what_is_left_out_is_counted(year: Story) -> None:
    """The numbers stand in the example's README."""
    readme = (SLICE / "README.md").read_text()
    assert dict(year.left_out) == {
        "lines that are no goods (discounts, fees, corrections)": 95,
        "orders without goods": 35,
        "returned lines whose purchase is not in the data": 195,
    }
    assert all(f"{number}" in readme for number in year.left_out.values())


def test_some_views_lead_to_a_purchase_and_some_do_not(year: Story) -> None:
    bought: dict[tuple[str, str], list[str]] = {}
    for event in of(year, "purchase"):
        for product in event["data"]["products"]:
            bought.setdefault((event["customer"], product["product_id"]), []).append(event["time"])

    def leads(view: dict[str, Any]) -> bool:
        start = datetime.fromisoformat(view["time"])
        times = bought.get((view["customer"], view["data"]["product_id"]), [])
        return any(0 <= (datetime.fromisoformat(time) - start).total_seconds() < 3 * 86_400 for time in times)

    leading = sum(map(leads, of(year, "view")))
    assert 1_000 < leading < len(of(year, "view")) - 1_000


def test_the_same_seed_tells_the_same_story_and_another_one_another(orders: list[Order], year: Story) -> None:
    assert story(orders, CustomerModel(1)).events == year.events
    other = story(orders, CustomerModel(2))
    assert other.events != year.events
    real = [event for event in year.events if event["type"] == "purchase"]
    assert [event for event in other.events if event["type"] == "purchase"] == real


def test_every_country_of_the_slice_has_a_time_zone(orders: list[Order]) -> None:
    unknown = {order.country for order in orders} - set(TIME_ZONES)
    assert unknown <= {"Unspecified", "European Community", "RSA"}


@pytest.mark.parametrize(
    ("description", "category"),
    [
        ("White Hanging Heart T-light Holder", "candles"),
        ("Pack Of 72 Retrospot Cake Cases", "baking"),
        ("Set/10 Red Polkadot Party Candles", "candles"),
        ("Jumbo Bag Red Retrospot", "bags"),
        ("Christmas Gingham Tree", "christmas"),
        ("Zinc Metal Heart Decoration", OTHER),
    ],
)
def test_the_first_fitting_row_of_the_table_decides(description: str, category: str) -> None:
    assert category_of(description) == category


def test_most_products_have_a_category_of_their_own(orders: list[Order]) -> None:
    names = {line.name for order in orders for line in order.lines}
    assert sum(category_of(name) == OTHER for name in names) < 0.3 * len(names)


def test_an_invoice_keeps_the_shops_local_time(orders: list[Order]) -> None:
    """British summer time: 1 July 2011 in the file is one hour earlier in UTC."""
    summer = next(order for order in orders if order.at.isoformat().startswith("2011-07"))
    winter = next(order for order in orders if order.at.isoformat().startswith("2010-12"))
    with gzip.open(SLICE / "purchases.csv.gz", "rt") as file:
        rows = {row["invoice"]: row["invoice_date"] for row in csv.DictReader(file)}
    assert datetime.fromisoformat(rows[summer.invoice]).hour - summer.at.hour == 1
    assert datetime.fromisoformat(rows[winter.invoice]).hour == winter.at.hour


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_slice", SLICE / "make_slice.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_cuts_whole_customers_and_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = _script()
    monkeypatch.setattr(script, "HERE", tmp_path)
    head = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    regular = [f"{n},22,RED BAG ,2,2011-0{n}-01 10:30:00,1.25,14911.0,EIRE\n" for n in range(1, 7)]
    regular.append('C7,22,"RED  BAG",-1,2011-07-01 10:30:00,1.25,14911.0,EIRE\n')
    rare = "80,22,RED BAG,1,2011-01-01 10:30:00,1.25,15000.0,France\n"
    nobody = "81,22,RED BAG,1,2011-01-01 10:30:00,1.25,,France\n"
    wholesaler = [
        f"9{n},{code},BULK,1,2011-0{n}-02 10:30:00,1.25,16000.0,France\n" for n in range(1, 7) for code in range(41)
    ]
    source = tmp_path / "all.csv"
    source.write_text(head + "".join([*regular, rare, nobody, *wholesaler]))
    script.main(source)
    assert capsys.readouterr().out == "1 customers, 7 invoices, 7 lines\n"
    made = {name: (tmp_path / name).read_bytes() for name in ("purchases.csv.gz", "products.csv.gz")}
    orders = purchases.load(tmp_path)
    assert [order.is_return for order in orders] == [False] * 6 + [True]
    assert orders[-1].lines == (purchases.Line("22", "Red Bag", 1, 1.25),)
    script.main(source)
    assert {name: (tmp_path / name).read_bytes() for name in made} == made


def test_the_script_says_how_to_call_it() -> None:
    answer = subprocess.run([sys.executable, str(SLICE / "make_slice.py")], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "python make_slice.py OnlineRetail.csv" in answer.stderr
