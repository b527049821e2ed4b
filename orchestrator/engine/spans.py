"""How long an absence must last for this customer."""

from __future__ import annotations

from orchestrator.engine.context import Turn
from orchestrator.language.program import Absence
from orchestrator.learning.cells import DAY_MS
from orchestrator.learning.rhythm import usual_gap


def span_of(turn: Turn, absence: Absence) -> int:
    """Milliseconds. A usual gap is the customer's own median, which few purchases blend with what all customers do."""
    if not absence.gaps:
        return absence.lasting
    usual = usual_gap(turn.customer.rhythms.get(""), turn.context.priors.rhythm(""))
    return round(absence.gaps * usual * DAY_MS)
