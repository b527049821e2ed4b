"""A partition's log applied again, from its first record, in memory: the reference for what the state must be.

It runs the production batch code on one batch that is the whole log, so it has no fence, no Redis and no position to
get wrong. The same log always gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.contracts.messages import OutboxRow
from orchestrator.contracts.records import CONTROL
from orchestrator.engine.context import Context
from orchestrator.engine.state import Customer
from orchestrator.language.program import Journey, Program
from orchestrator.ports import LogRecord
from orchestrator.runtime.batch import BatchRun, Destinations, Due, read
from orchestrator.runtime.catalogue import EMPTY
from orchestrator.runtime.sweep import Roll
from orchestrator.stores.partition_state import Control, Position


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a log comes to: documents as stored, decisions as relayed (JSON), rows planned, ids withdrawn."""

    documents: dict[str, bytes]
    decisions: list[bytes]
    rows: dict[str, OutboxRow]
    withdrawn: set[str]
    counts: dict[str, int]
    position: Position


class _Documents(dict[str, Customer]):
    def __missing__(self, customer: str) -> Customer:
        self[customer] = found = Customer()
        return found


def replay(
    log: Iterable[LogRecord],
    program_of: Callable[[str], Program],
    seed: bytes,
    *,
    topics: Destinations | None = None,
    partition: int = 0,
) -> Replayed:
    """Apply a whole partition. `program_of` gives the program of a hash that a control record names."""
    topics = topics or Destinations()
    reads = [read(record) for record in log]
    contexts: dict[str, Context] = {}
    older: dict[str, Journey] = {}
    for one in reads:
        if one.event is not None and one.event.type == CONTROL and one.event.data.get("kind") == "program":
            ref = str(one.event.data["ref"])
            program = program_of(ref)
            contexts[ref] = Context(program=program, seed=seed, older=dict(older))
            older.update({journey.version: journey for journey in program.journeys.values()})
    start = Position(epoch="", seq=0, offset=-1, clock=0, control=Control())
    origin = f"kafka:{topics.events}/{partition}"
    context = Context(program=EMPTY, seed=seed)
    run = BatchRun(context, start, _Documents(), Due(), contexts, topics, origin, roll=Roll())
    run.run(reads)
    batch = run.batch
    return Replayed(
        documents=batch.documents,
        decisions=[value for topic, _, value in batch.relay if topic == topics.decisions],
        rows={row.send_id: row for row in batch.rows},
        withdrawn=set(batch.withdrawn),
        counts=batch.counts,
        position=run.position,
    )
