"""Records of one partition, in order, to one commit. No I/O: documents and due customers were loaded before.

Where a batch begins and ends never changes what is decided: ticks fire the same timers, in the same order, as if every
record were applied alone. The same code runs in the worker, in embedded mode and in a replay.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from orchestrator.contracts import dead_letters, records
from orchestrator.contracts.moves import move_of
from orchestrator.contracts.records import CONTROL, TICK, Event
from orchestrator.engine import decision as decisions
from orchestrator.engine import state
from orchestrator.engine.context import Context, Result
from orchestrator.engine.state import Customer
from orchestrator.engine.step import fire, step
from orchestrator.engine.watches import take_in
from orchestrator.errors import EventFault
from orchestrator.learning.pooled import add_all
from orchestrator.learning.priors import Priors
from orchestrator.ports import LogRecord
from orchestrator.runtime.sweep import NO_ROLL, PER_TICK, Roll, sweeps_of, under_way
from orchestrator.stores.partition_state import Batch, Position, RelayRow, Sweep


@dataclass(frozen=True, slots=True)
class Destinations:
    """Names of the topics that relay rows go to."""

    events: str = "events"
    decisions: str = "decisions"
    dead: str = "dead-letters"


@dataclass(frozen=True, slots=True)
class Read:
    """One record with what it holds; `fault` says why it could not be read."""

    record: LogRecord
    event: Event | None
    fault: EventFault | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """Customers with a wait over, earliest first. `complete` is False when there are more than were loaded."""

    pairs: Sequence[tuple[int, str]] = ()
    complete: bool = True


class EventRaised(Exception):
    """The engine raised on an event: a defect of ours. The batch is applied again, carefully."""


def read(record: LogRecord) -> Read:
    """Decode a record of the events log. Never raises: what cannot be read becomes a dead letter."""
    try:
        event = records.decode(record.value)
    except (ValueError, RecursionError) as error:
        return Read(
            record, None, EventFault("", "unreadable", str(error), "publish through the gateway or a source topic")
        )
    if not event.customer and event.type != TICK and event.type != CONTROL:
        fault = EventFault("customer", "missing", "the record names no customer", "publish through the gateway")
        return Read(record, None, fault)
    return Read(record, event)


class BatchRun:
    """Applies records to documents and gathers one commit."""

    def __init__(
        self,
        context: Context,
        position: Position,
        documents: MutableMapping[str, Customer],
        due: Due,
        contexts: Mapping[str, Context],
        topics: Destinations,
        origin: str,
        *,
        priors: Mapping[str, Priors] | None = None,
        roll: Roll | None = None,
        careful: bool = False,
    ) -> None:
        """`documents` holds every customer that records, `due` and `roll` name; `contexts` each control record's
        program, `priors` each one's snapshot of shared beliefs. Without a roll a sweep must not be under way."""
        control = position.control
        self._spent = dict(control.spent)
        self.context = context.at_partition(control.partition, control.partitions, self._spent)
        self.position = replace(position)
        self.batch = Batch()
        self._roll = roll if roll is not None else Roll(start=NO_ROLL)
        #: Records applied; fewer than given when a tick needs more customers than were loaded.
        self.applied = 0
        #: Dead letters since the last customer event that could be applied; ticks and control records say nothing.
        self.dead_in_a_row = 0
        self._any_alive = False
        self._documents = documents
        self._contexts = contexts
        self._priors = priors or {}
        self._topics = topics
        self._origin = origin
        self._careful = careful
        self._touched: set[str] = set()
        self._waiting = list(due.pairs)
        self._horizon = None if due.complete else due.pairs[-1]
        #: Customers whose earliest wait is known better here than in the loaded pairs.
        self._armed: dict[str, int] = {}

    def dead_after(self, before: int) -> int:
        """Dead letters in a row when `before` of them stood in front of this batch."""
        return self.dead_in_a_row if self._any_alive else before + self.dead_in_a_row

    def run(self, reads: Sequence[Read]) -> None:
        """Apply records until all are applied or a tick cannot be finished with what was loaded."""
        for one in reads:
            event = one.event
            if event is None:
                self._dead(one, one.fault)
            elif event.type == TICK:
                if not self._tick(event.time):
                    break
            elif event.type == CONTROL:
                self._control(event)
            else:
                self._event(one, event)
            self.position.offset = one.record.offset
            self.applied += 1
        for customer_id in self._touched:
            self.batch.documents[customer_id] = state.encode(self._documents[customer_id])
        self.batch.timers = self._armed
        if self._spent != self.position.control.spent:
            self.position.control = structs.replace(self.position.control, spent=self._spent)

    def _event(self, one: Read, event: Event) -> None:
        customer = self._documents[event.customer]
        newcomer = not customer.first_seen
        before = state.encode(customer) if self._careful else b""
        was_due = customer.due()
        try:
            result = step(self.context, event.customer, customer, event, self.position.clock)
        except Exception as error:
            if not self._careful:
                raise EventRaised from error
            self._documents[event.customer] = state.decode(before)
            self._dead(
                one,
                EventFault("", "not_applicable", f"{type(error).__name__} in the engine", "report this event to us"),
            )
            return
        if newcomer and customer.first_seen:
            self.batch.newcomers.append(event.customer)
            self._roll.add(event.customer)
        self.dead_in_a_row, self._any_alive = 0, True
        self._gather(event.customer, customer, was_due, result)

    def _tick(self, at: int) -> bool:
        """Fire what is due by `at`, earliest first. False when not all of it was loaded: the tick is not over."""
        sweep = under_way(self.position.control)
        if sweep is not None and not self._roll.covers(sweep.cursor):
            return False
        waiting = self._waiting
        while waiting and waiting[0][0] <= at:
            if self._horizon is not None and waiting[0] > self._horizon:
                break
            due, customer_id = heapq.heappop(waiting)
            if self._armed.get(customer_id, due) != due:
                continue
            customer = self._documents[customer_id]
            was_due = customer.due()
            result = fire(self.context, customer_id, customer, at)
            self._gather(customer_id, customer, was_due, result, fired=True)
        if self._horizon is not None and self._horizon[0] <= at:
            return False
        self.position.clock = max(self.position.clock, at)
        if sweep is not None:
            self._sweep(sweep, self.position.clock)
        return True

    def _sweep(self, sweep: Sweep, at: int) -> None:
        """One tick's part of the look at every customer."""
        names = self._roll.after(sweep.cursor)
        place = sweep.place
        for name in names:
            customer = self._documents[name]
            was_due = customer.due()
            result, taken = take_in(self.context, name, customer, sweep.name, at, place)
            place += taken
            self._gather(name, customer, was_due, result)
        moved = structs.replace(
            sweep, cursor=names[-1] if names else sweep.cursor, place=place, done=len(names) < PER_TICK
        )
        control = self.position.control
        sweeps = [moved if one is sweep else one for one in control.sweeps]
        self.position.control = structs.replace(control, sweeps=sweeps)

    def _gather(
        self, customer_id: str, customer: Customer, was_due: int, result: Result, *, fired: bool = False
    ) -> None:
        batch = self.batch
        self._touched.add(customer_id)
        now_due = customer.due()
        if now_due != was_due or fired:
            self._armed[customer_id] = now_due
            if now_due:
                heapq.heappush(self._waiting, (now_due, customer_id))
        if result.decisions:
            key = customer_id.encode()
            topic = self._topics.decisions
            batch.relay.extend((topic, key, decisions.encode(decision)) for decision in result.decisions)
        batch.rows.extend(result.rows)
        for send_id in result.withdrawn:
            batch.withdrawn[send_id] = (self._withdrawal(customer_id, send_id),)
        for event in result.emitted:
            batch.relay.append((self._topics.events, event.customer.encode(), records.encode(event)))
        counts = batch.counts
        for name, by in result.counts.items():
            counts[name] = counts.get(name, 0) + by
        for journey, cost in result.spent.items():
            self._spent[journey] = self._spent.get(journey, 0.0) + cost
        if result.sums:
            add_all(batch.sums, result.sums)

    def _withdrawal(self, customer_id: str, send_id: str) -> RelayRow:
        """What the customer's state learns when a planned send was taken back: the contact never happened."""
        event = Event(
            id=f"{send_id}:withdrawn",
            type="message_failed",
            time=self.position.clock,
            customer=customer_id,
            source="orchestrator",
            data={"send_id": send_id, "reason": "withdrawn"},
        )
        return (self._topics.events, customer_id.encode(), records.encode(event))

    def _control(self, event: Event) -> None:
        kind, ref = event.data.get("kind"), str(event.data.get("ref", ""))
        control = self.position.control
        if kind == "program":
            programs = [digest for digest in control.programs if digest != ref]
            before, after = self.context, self._contexts[ref]
            partition, partitions = event.data.get("partition", 0), event.data.get("partitions", 1)
            self.position.control = structs.replace(
                control,
                programs=[*programs, ref],
                sweeps=sweeps_of(after.program, control),
                partition=partition,
                partitions=partitions,
            )
            after = after.with_priors(before.priors).with_health(before.unhealthy, before.stale)
            after = after.with_moves(control.moves)
            self.context = after.at_partition(partition, partitions, self._spent)
        elif kind == "priors":
            self.position.control = structs.replace(control, priors=ref)
            self.context = self.context.with_priors(self._priors[ref])
        elif kind == "move":
            move = move_of(event.data)
            # Where runs are moved to nothing leads away any more: so a move back takes the first one back.
            moves = [*(one for one in control.moves if one.old not in (move.old, move.new)), move]
            self.position.control = structs.replace(control, moves=moves)
            self.context = self.context.with_moves(moves)
        elif kind == "health":
            unhealthy = [str(name) for name in event.data.get("unhealthy", [])]
            # A channel that stays stale is stale since it first was.
            stale = {str(name): control.stale.get(str(name), event.time) for name in event.data.get("stale", [])}
            self.position.control = structs.replace(control, unhealthy=unhealthy, stale=stale)
            self.context = self.context.with_health(frozenset(unhealthy), stale)

    def _dead(self, one: Read, fault: EventFault | None) -> None:
        assert fault is not None
        record = one.record
        letter = dead_letters.dead_letter(
            record.value,
            (fault,),
            origin=f"{self._origin}/{record.offset}",
            at=max(record.timestamp, self.position.clock),
        )
        self.batch.relay.append((self._topics.dead, record.key or b"", dead_letters.encode(letter)))
        self.batch.counts["dead"] = self.batch.counts.get("dead", 0) + 1
        self.dead_in_a_row += 1
