"""What stays the same over many steps, and what one step gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.contracts.messages import OutboxRow
from orchestrator.contracts.records import Event
from orchestrator.engine.decision import Decision
from orchestrator.engine.state import Customer
from orchestrator.language.program import Journey, Program
from orchestrator.learning.chance import Draws
from orchestrator.learning.choice import Priors


@dataclass(slots=True)
class Context:
    """The program, beliefs and channel health in force at this position of the log, and the installation's seed."""

    program: Program
    seed: bytes
    priors: Priors = field(default_factory=Priors)
    #: Channels whose providers are all down.
    unhealthy: frozenset[str] = frozenset()
    #: Versions that runs still stand on but the program has replaced.
    older: Mapping[str, Journey] = field(default_factory=dict)
    draws: Draws = field(default_factory=Draws)
    by_version: dict[str, Journey] = field(init=False)

    def __post_init__(self) -> None:
        self.by_version = {**self.older, **{journey.version: journey for journey in self.program.journeys.values()}}

    def with_health(self, unhealthy: frozenset[str]) -> Context:
        """The same with other channels down."""
        return replace(self, unhealthy=unhealthy)


@dataclass(slots=True)
class Result:
    """What one step decided. The customer's state is changed in place: give `step` a copy it may keep."""

    #: False when the event was a duplicate and nothing but its counter moved.
    applied: bool = True
    decisions: list[Decision] = field(default_factory=list)
    rows: list[OutboxRow] = field(default_factory=list)
    #: Ids of sends that must not go if they are still only planned.
    withdrawn: list[str] = field(default_factory=list)
    emitted: list[Event] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by


@dataclass(slots=True)
class Turn:
    """One customer's turn: everything the parts of a step share. `at` is the engine's now in ms."""

    context: Context
    customer_id: str
    customer: Customer
    at: int
    result: Result
    event: Event | None = None
