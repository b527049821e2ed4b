"""A journey folder, run in virtual time by the production engine and gate: for tests, what-if and benchmarks.

    sim = Simulation("journeys", seed=7)
    sim.publish({"type": "purchase", "customer": "ada", "time": "2026-03-01T09:00:00Z", "data": {...}})
    sends = sim.advance(datetime(2026, 4, 1, tzinfo=UTC))

Nothing waits and nothing is random but by the seed: the same calls give the same sends, byte for byte.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestrator.contracts.envelope import to_ms
from orchestrator.contracts.messages import OutboxRow
from orchestrator.contracts.normalise import normalise
from orchestrator.contracts.records import Event
from orchestrator.engine.context import Context, Result
from orchestrator.engine.decision import Decision
from orchestrator.engine.state import Customer
from orchestrator.engine.step import fire, step
from orchestrator.engine.watches import take_in
from orchestrator.language.journeys import with_drafts
from orchestrator.language.program import Program
from orchestrator.learning.policies import PolicyMaker
from orchestrator.learning.pooled import Snapshot, add_all, evidence, merged, worth_a_snapshot
from orchestrator.learning.priors import Priors
from orchestrator.runtime.choice_policies import policy_makers
from orchestrator.runtime.journey_files import load_program
from orchestrator.runtime.sweep import sweeps_of
from orchestrator.stores.partition_state import Control


@dataclass(frozen=True, slots=True)
class Send:
    """One message that went out. `reasons` are sentences; `propensity` is the probability of this message on this
    channel under the policy that chose."""

    send_id: str
    customer: str
    journey: str
    message: str
    channel: str
    at: datetime
    propensity: float
    reasons: tuple[str, ...]
    #: What the message's template may show, bound when it was decided.
    facts: Mapping[str, Any]
    #: The customer's language, where she stated one.
    locale: str = ""


class Simulation:
    """One company in memory: all customers on one partition, virtual time, no provider.

    A send counts as sent and delivered at the moment it is decided, unless `confirm=False`: then publish
    `message_sent`, `message_delivered` or `message_failed` yourself, with `{"send_id": …}` as data. Replies
    (`reply` with `in_reply_to`) and clicks (`message_clicked` with `send_id`) are published like any event.
    """

    def __init__(
        self,
        journeys: str | Path | Program,
        *,
        seed: int | str = 0,
        confirm: bool = True,
        choice: str = "",
        policies: Mapping[str, PolicyMaker] | None = None,
        priors: Snapshot | None = None,
        learn_every: timedelta = timedelta(hours=1),
    ) -> None:
        """`journeys` is a folder of journey files (or a compiled program). Raises JourneysInvalid with every fault.

        Drafts run here as live journeys do: this is where they are tried. Another `seed` gives other draws.
        `choice` overrides the policy file's way to choose a channel; `policies` brings more of them by name.
        `priors` is what another simulation had learned (its `snapshot()`): without it, learning starts cold.
        Shared beliefs are renewed as production does it, at most every `learn_every` of virtual time.
        """
        program = journeys if isinstance(journeys, Program) else load_program(Path(journeys))
        self.program = with_drafts(program)
        if choice:
            self.program = replace(self.program, policy=replace(self.program.policy, choice=choice))
        self._sums: dict[str, list[int]] = merged([priors.sums]) if priors else {}
        self._snapshots = priors.number if priors else 0
        self._known = evidence(self._sums)
        self._learn_every = int(learn_every / timedelta(milliseconds=1))
        self._learned_at = 0
        self._spent: dict[str, float] = {}
        self._context = Context(
            program=self.program,
            spent=self._spent,
            seed=f"simulation:{seed}".encode(),
            priors=Priors(priors),
            makers={**policy_makers(), **(policies or {})},
        )
        self._confirm = confirm
        self._customers: dict[str, Customer] = {}
        self._timers: list[tuple[int, str]] = []
        self._armed: dict[str, int] = {}
        self._clock = 0
        self._published = 0
        #: Every decision so far, withheld, held and skipped ones with their reasons, in order.
        self.decisions: list[Decision] = []
        #: What was counted: `entered:<journey>`, `sent:<journey>:<channel>`, `ended:<journey>:<reason>` …
        self.counts: dict[str, int] = {}
        #: Events that journeys emitted.
        self.emitted: list[Event] = []

    @property
    def now(self) -> datetime:
        """The virtual clock."""
        return datetime.fromtimestamp(self._clock / 1000, UTC)

    def go_live(self, journeys: str | Path | Program) -> None:
        """Replace the program, as publishing does: runs stay on their version, and what starts by itself and is new
        looks once at every customer."""
        program = journeys if isinstance(journeys, Program) else load_program(Path(journeys))
        before, self.program = self.program, with_drafts(program)
        known = Control(sweeps=sweeps_of(before, Control()))
        new = [sweep for sweep in sweeps_of(self.program, known) if sweep not in known.sweeps]
        older = {**self._context.older, **{journey.version: journey for journey in before.journeys.values()}}
        self._context = replace(self._context, program=self.program, older=older)
        sends: list[Send] = []
        for sweep in new:
            place = 0
            for name in sorted(self._customers):
                customer = self._customers[name]
                result, taken = take_in(self._context, name, customer, sweep.name, self._clock, place)
                place += taken
                self._gather(name, customer, result, sends)

    def snapshot(self) -> Snapshot:
        """What all customers together have taught so far: give it to another simulation as `priors`."""
        return Snapshot(self._snapshots, merged([self._sums]))

    def health(self, *, down: Collection[str] = (), stale: Collection[str] = ()) -> None:
        """From now on these channels have no working provider, or their callbacks do not come."""
        before = self._context.stale
        self._context = self._context.with_health(
            frozenset(down), {channel: before.get(channel, self._clock) for channel in stale}
        )

    def customer(self, customer_id: str) -> Customer:
        """The customer's document, as the engine has it (not a copy)."""
        return self._customers.setdefault(customer_id, Customer())

    def publish(self, event: Mapping[str, Any]) -> list[Send]:
        """Let every timer due before the event's time fire, then apply the event. Returns what was sent by either.

        The event is the envelope that the gateway takes; `time` may be a datetime, `id` may be left out. An event
        older than the clock is applied now, as production would. Raises BadEvent with field and fix.
        """
        self._published += 1
        given = dict(event)
        given.setdefault("id", f"simulated-{self._published}")
        if isinstance(given.get("time"), datetime):
            given["time"] = given["time"].isoformat()
        received = self._clock
        if isinstance(given.get("time"), str):
            received = max(received, _milliseconds(given["time"]))
        return self.apply(normalise(given, received=received))

    def apply(self, event: Event) -> list[Send]:
        """The same for an event as the log holds it."""
        sends: list[Send] = []
        self._fire_until(event.time - 1, sends)
        self._clock = max(self._clock, event.time)
        self._apply(event, sends)
        return sends

    def advance(self, until: datetime) -> list[Send]:
        """Move the clock to `until`, letting every timer due by then fire. Returns what was sent on the way."""
        if until.tzinfo is None:
            raise ValueError(f"{until} has no time zone: write datetime(…, tzinfo=UTC)")
        sends: list[Send] = []
        self._fire_until(to_ms(until), sends)
        self._clock = max(self._clock, to_ms(until))
        return sends

    def _fire_until(self, until: int, sends: list[Send]) -> None:
        timers = self._timers
        while timers and timers[0][0] <= until:
            due, customer_id = heapq.heappop(timers)
            if self._armed.get(customer_id) != due:
                continue
            self._clock = max(self._clock, due)
            self._learn_together()
            customer = self._customers[customer_id]
            self._gather(customer_id, customer, fire(self._context, customer_id, customer, self._clock), sends)

    def _apply(self, event: Event, sends: list[Send]) -> None:
        self._learn_together()
        customer = self.customer(event.customer)
        self._gather(event.customer, customer, step(self._context, event.customer, customer, event, self._clock), sends)

    def _learn_together(self) -> None:
        """What the publisher of shared beliefs does in production, for the one partition there is."""
        if self._clock < self._learned_at + self._learn_every:
            return
        self._learned_at = self._clock
        known = evidence(self._sums)
        if worth_a_snapshot(self._known, known):
            self._known = known
            self._snapshots += 1
            self._context = self._context.with_priors(Priors(self.snapshot()))

    def _gather(self, customer_id: str, customer: Customer, result: Result, sends: list[Send]) -> None:
        due = customer.due()
        if due and self._armed.get(customer_id) != due:
            heapq.heappush(self._timers, (due, customer_id))
        self._armed[customer_id] = due
        self.decisions.extend(result.decisions)
        self.emitted.extend(result.emitted)
        for journey, cost in result.spent.items():
            self._spent[journey] = self._spent.get(journey, 0.0) + cost
        for name, by in result.counts.items():
            self.counts[name] = self.counts.get(name, 0) + by
        if result.sums:
            add_all(self._sums, result.sums)
        by_id = {decision.id: decision for decision in result.decisions}
        for row in result.rows:
            if row.send_id in result.withdrawn:
                continue
            sends.append(_send(row, by_id[row.send_id]))
            if self._confirm:
                for kind in ("message_sent", "message_delivered"):
                    self._apply(_feedback(kind, row), sends)
        # The log brings what journeys emit back to the same customer.
        for event in result.emitted:
            self._apply(event, sends)


def _feedback(kind: str, row: OutboxRow) -> Event:
    return Event(
        id=f"{row.send_id}:{kind}",
        type=kind,
        time=row.decided_at,
        customer=row.customer,
        source="simulation",
        data={"send_id": row.send_id, "channel": row.channel},
    )


def _send(row: OutboxRow, decision: Decision) -> Send:
    return Send(
        send_id=row.send_id,
        customer=row.customer,
        journey=row.journey,
        message=row.message,
        channel=row.channel,
        at=datetime.fromtimestamp(row.decided_at / 1000, UTC),
        propensity=decision.propensity,
        reasons=tuple(decision.reasons()),
        facts=row.facts,
        locale=row.locale,
    )


def _milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return to_ms(moment) if moment.tzinfo else 0
