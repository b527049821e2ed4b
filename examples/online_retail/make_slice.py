"""Cut the demo's purchases out of the public data set Online Retail. See README.md for origin and licence.

    python make_slice.py OnlineRetail.csv

reads the whole data set as CSV (the columns of the UCI file, in any order) and writes purchases.csv.gz and
products.csv.gz beside this script. The same input gives the same bytes.

Kept are customers who come back often and buy for a household rather than for a shop: 5 to 30 days with a purchase,
and no invoice of more than 40 lines. Nothing of theirs is left out or changed, except lines without a customer.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

BUYING_DAYS = range(5, 31)
MOST_LINES = 40
HERE = Path(__file__).parent
#: How the copies in circulation write an invoice's date.
DATE_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M", "%Y-%m-%dT%H:%M:%S")


def main(source: Path) -> None:
    lines = read(source)
    kept = chosen(lines)
    lines = [line for line in lines if line["customer_id"] in kept]
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        names[line["stock_code"]][line["description"]] += 1
    columns = (
        "invoice", "invoice_date", "customer_id", "country", "stock_code", "quantity", "unit_price", "is_return",
    )  # fmt: skip
    write(HERE / "purchases.csv.gz", columns, ([line[column] for column in columns] for line in lines))
    # One product is written in several ways: the most frequent one is its name, the first in the alphabet on a tie.
    products = ([code, min(names[code].items(), key=lambda item: (-item[1], item[0]))[0]] for code in sorted(names))
    write(HERE / "products.csv.gz", ("stock_code", "description"), products)
    print(f"{len(kept)} customers, {len({line['invoice'] for line in lines})} invoices, {len(lines)} lines")


def read(source: Path) -> list[dict[str, str]]:
    """All lines with a customer, in the order of time."""
    lines = []
    with source.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            if not row["CustomerID"] or row["CustomerID"] == "NA":
                continue
            lines.append(
                {
                    "invoice": row["InvoiceNo"],
                    "invoice_date": moment(row["InvoiceDate"]),
                    "customer_id": str(int(float(row["CustomerID"]))),
                    "country": row["Country"],
                    "stock_code": row["StockCode"],
                    "quantity": str(int(float(row["Quantity"]))),
                    "unit_price": f"{float(row['UnitPrice']):g}",
                    "is_return": "1" if row["InvoiceNo"].startswith("C") else "0",
                    "description": row["Description"].strip(),
                }
            )
    lines.sort(key=lambda line: line["invoice_date"])  # Stable: an invoice keeps the order of its lines.
    return lines


def moment(text: str) -> str:
    for form in DATE_FORMS:
        try:
            return datetime.strptime(text, form).strftime("%Y-%m-%dT%H:%M")  # noqa: DTZ007 - the shop's local time
        except ValueError:
            continue
    raise SystemExit(f"cannot read the date {text!r}; known forms: {', '.join(DATE_FORMS)}")


def chosen(lines: Iterable[dict[str, str]]) -> set[str]:
    days: dict[str, set[str]] = defaultdict(set)
    sizes: Counter[tuple[str, str]] = Counter()
    for line in lines:
        sizes[line["customer_id"], line["invoice"]] += 1
        if line["is_return"] == "0":
            days[line["customer_id"]].add(line["invoice_date"][:10])
    too_large = {customer for (customer, _), size in sizes.items() if size > MOST_LINES}
    return {customer for customer, when in days.items() if len(when) in BUYING_DAYS} - too_large


def write(target: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    # No time stamp and no name inside, so that the same rows are the same bytes.
    target.write_bytes(gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
