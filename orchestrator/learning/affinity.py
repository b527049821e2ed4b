"""What a customer is drawn to: products she bought and looked at, decayed; and which of them to show her now.

    score = (sum over her orders with the product of 2^(-age / 90 d) + 0.2 for each view, decayed as well)
            / (sum over her orders of 2^(-age / 90 d) + 2)

Her own decayed frequency is hard to beat for what is bought again (Li, Jullien, Ariannezhad, de Rijke 2023, "A next
basket recommendation reality check"). Left out is what she will not need yet (bought within the fifth part of the gaps
of its category that are shortest), and what is known to be out of stock. How due a product is changes no order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from orchestrator.learning.cells import DAY_MS

HALF_LIFE_MS = 90 * DAY_MS
#: What a view weighs beside a purchase.
VIEW = 0.2
#: Products kept for a customer, the ones she is drawn to most; and what is kept of each for a message to show.
PRODUCTS = 8
SHOWN = ("name", "category", "brand", "price", "url", "image_url")
_TEXT = 256
_WEIGHT_ORDERS = 2.0
#: The share of a category's gaps within which nobody needs it again.
TOO_SOON = 0.2


class Liking(msgspec.Struct, array_like=True, gc=False):
    """One product: decayed weight as of `at` (ms), when it was last bought (0: never), what a message may show."""

    weight: float = 0.0
    at: int = 0
    bought: int = 0
    facts: dict[str, Any] = {}
    in_stock: bool = True

    def present(self, at: int) -> float:
        """The weight at `at`."""
        return self.weight * float(2.0 ** (min(0, self.at - at) / HALF_LIFE_MS))


def note(likings: dict[str, Liking], product: Mapping[str, Any], at: int, *, bought: bool) -> None:
    """Count one product of a purchase or a view. The one she is drawn to least gives way."""
    key = product.get("product_id") or product.get("sku")
    if not isinstance(key, str):
        return
    liking = likings.get(key)
    if liking is None:
        if len(likings) >= PRODUCTS:
            del likings[min(likings, key=lambda name: (likings[name].present(at), name))]
        liking = likings[key] = Liking(at=at)
    liking.weight = liking.present(at) + (1.0 if bought else VIEW)
    liking.at = max(liking.at, at)
    if bought:
        liking.bought = max(liking.bought, at)
    facts = {name: product[name] for name in SHOWN if isinstance(product.get(name), str | int | float)}
    facts = {name: value[:_TEXT] if isinstance(value, str) else value for name, value in facts.items()}
    if facts:
        liking.facts = {"product_id": key, **facts}
    stock = product.get("stock")
    if isinstance(stock, int | float):
        liking.in_stock = stock > 0


def recommend(
    likings: Mapping[str, Liking],
    at: int,
    orders: float,
    soonest: Callable[[str], float],
    *,
    without: Sequence[str] = (),
    count: int = 3,
) -> list[dict[str, Any]]:
    """Up to `count` products to show at `at`, most liked first: their facts, with the `score`.

    `orders`: her decayed number of orders. `soonest(category)`: the days within which nobody needs it again. `without`:
    ids that are on show already.
    """
    found = []
    for key, liking in likings.items():
        if key in without or not liking.in_stock or not liking.facts:
            continue
        category = liking.facts.get("category")
        known = category if isinstance(category, str) else ""
        if liking.bought and at - liking.bought < soonest(known) * DAY_MS:
            continue
        found.append((liking.present(at) / (orders + _WEIGHT_ORDERS), key, liking.facts))
    found.sort(key=lambda one: (-one[0], one[1]))
    return [{**facts, "score": round(score, 4)} for score, _, facts in found[:count]]
