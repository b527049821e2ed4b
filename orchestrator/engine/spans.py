"""How long an absence must last for this customer."""

from __future__ import annotations

from orchestrator.engine.state import Customer
from orchestrator.language.program import Absence
from orchestrator.learning.cells import DAY_MS
from orchestrator.learning.rhythm import gap_days


def span_of(customer: Customer, absence: Absence) -> int:
    """Milliseconds. A usual gap is the customer's own median, which few purchases blend with what all customers do."""
    if not absence.gaps:
        return absence.lasting
    return round(absence.gaps * gap_days(customer.rhythms.get("")) * DAY_MS)
