"""Products a message shows beside its own: picked for the customer when it is decided, from what she bought and saw.

Likings are kept while some message of the program asks for picks; otherwise they would only make documents larger.
"""

from __future__ import annotations

from typing import Any

from orchestrator.contracts.records import Event
from orchestrator.engine.context import Turn
from orchestrator.engine.scope import lines_of
from orchestrator.engine.state import Run
from orchestrator.learning.affinity import TOO_SOON, note, recommend
from orchestrator.learning.rhythm import gap_days


def learn_likings(turn: Turn, event: Event) -> None:
    """What a purchase or a view says of her likings."""
    if event.type in ("purchase", "view"):
        bought = event.type == "purchase"
        for line in lines_of(event.data):
            note(turn.customer.likings, line, event.time, bought=bought)


def picks(turn: Turn, run: Run) -> list[dict[str, Any]]:
    """What to show her now, without the product the run is about."""
    customer, priors = turn.customer, turn.context.priors
    rhythm = customer.rhythms.get("")
    product = run.bound.get("product")
    own = product.get("product_id") or product.get("sku") if isinstance(product, dict) else None

    def soonest(category: str) -> float:
        return gap_days(customer.rhythms.get(category), TOO_SOON, priors.rhythm(category))

    return recommend(
        customer.likings,
        turn.at,
        rhythm.n + 1.0 if rhythm is not None else 0.0,
        soonest,
        without=(own,) if isinstance(own, str) else (),
    )
