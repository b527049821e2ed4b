"""What stays the same over many steps, and what one step gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.contracts.messages import OutboxRow
from orchestrator.contracts.moves import Move
from orchestrator.contracts.records import Event
from orchestrator.engine.decision import Decision
from orchestrator.engine.state import Customer
from orchestrator.errors import OrchestratorError
from orchestrator.language.picks import anybody_asks
from orchestrator.language.program import Journey, Program
from orchestrator.learning.chance import Draws
from orchestrator.learning.choice import ChoicePolicy
from orchestrator.learning.policies import BUILT_IN, PolicyMaker, make_policy
from orchestrator.learning.priors import Priors


@dataclass(slots=True)
class Context:
    """The program, beliefs and channel health in force at this position of the log, and the installation's seed."""

    program: Program
    seed: bytes
    priors: Priors = field(default_factory=Priors)
    #: Channels whose providers are all down.
    unhealthy: frozenset[str] = frozenset()
    #: Channels whose callbacks do not come, and since when (ms): their silence teaches nothing.
    stale: Mapping[str, int] = field(default_factory=dict)
    #: Versions that runs still stand on but the program has replaced.
    older: Mapping[str, Journey] = field(default_factory=dict)
    #: What journeys with a budget have spent in this partition so far.
    spent: Mapping[str, float] = field(default_factory=dict)
    #: Which partition this is, of how many: rates and budgets are divided evenly.
    partition: int = 0
    partitions: int = 1
    #: Version that runs were moved away from → the move.
    moves: Mapping[str, Move] = field(default_factory=dict)
    draws: Draws = field(default_factory=Draws)
    #: Makers of policies of choice by name: the built-in ones and those that add-ons bring.
    makers: Mapping[str, PolicyMaker] = field(default_factory=lambda: BUILT_IN)
    #: The policy that `choice:` of the program's policy names.
    choice: ChoicePolicy = field(init=False)
    by_version: dict[str, Journey] = field(init=False)
    #: Whether some message shows picks, so that likings are worth keeping.
    picks: bool = field(init=False)
    #: Journeys that were stopped: their runs end when their customer is next looked at.
    stopped: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.choice = make_policy(self.program.policy.choice, self.makers)
        except ValueError as error:
            raise OrchestratorError(
                str(error), fix="install the package that brings it, or change `choice:`"
            ) from error
        self.picks = anybody_asks(self.program)
        journeys = self.program.journeys.values()
        self.stopped = frozenset(journey.slug for journey in journeys if journey.status == "stopped")
        self.by_version = {**self.older, **{journey.version: journey for journey in self.program.journeys.values()}}

    def with_health(self, unhealthy: frozenset[str], stale: Mapping[str, int] | None = None) -> Context:
        """The same with other channels down or without callbacks."""
        return replace(self, unhealthy=unhealthy, stale=stale or {})

    def with_priors(self, priors: Priors) -> Context:
        """The same with another snapshot of shared beliefs."""
        return replace(self, priors=priors)

    def with_moves(self, moves: Sequence[Move]) -> Context:
        """The same where runs have been moved between versions."""
        return replace(self, moves={move.old: move for move in moves}) if moves or self.moves else self

    def at_partition(self, partition: int, partitions: int, spent: Mapping[str, float]) -> Context:
        """The same at one of the partitions, where journeys with a budget have spent this; `spent` is kept, not
        copied."""
        if (
            not spent
            and not self.spent
            and (partition, partitions) == (self.partition, self.partitions)
            and not any(
                journey.rollout is not None and journey.rollout.budget for journey in self.program.journeys.values()
            )
        ):
            return self
        return replace(self, partition=partition, partitions=partitions, spent=spent)


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
    #: Journey with a budget → what its messages cost.
    spent: dict[str, float] = field(default_factory=dict)
    #: What it adds to the partition's pooled sums of evidence (`learning.pooled`).
    sums: dict[str, list[int]] = field(default_factory=dict)

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
    #: A journey wrote a field of the customer.
    profile_set: bool = False
