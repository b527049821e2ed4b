"""Moves runs between versions of a journey: who stands where, a rehearsal on copies, then one record per partition.

Workers move each run when its customer is next looked at after that record, so a replay of the log does the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import redis.asyncio

from orchestrator.contracts import records
from orchestrator.contracts.moves import Move
from orchestrator.engine import state
from orchestrator.engine.context import Context, Result
from orchestrator.engine.moves import move_runs
from orchestrator.engine.state import Customer
from orchestrator.engine.step import fire
from orchestrator.errors import OrchestratorError
from orchestrator.language.findings import listed
from orchestrator.language.moving import Plan, plan
from orchestrator.language.program import Journey
from orchestrator.ports import Clock, EventLog
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.stores.partition_state import PartitionState

#: Customers looked at in one go.
CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What became of copies of all runs concerned: moved, and taken through the end of their present wait."""

    moved: int
    #: customer-free words for what went wrong: `engine raised`, `looped`, … with counts. Empty when all went well.
    faults: Mapping[str, int]


class Mover:
    """One journey's move, from plan to record."""

    def __init__(self, client: redis.asyncio.Redis, catalogue: Catalogue, partitions: int) -> None:
        self._store = PartitionState(client)
        self._catalogue = catalogue
        self._partitions = partitions

    async def versions(self, journey: str) -> dict[str, Journey]:
        """Every published version of the journey, the one in force last. Raises OrchestratorError when none was."""
        found: dict[str, Journey] = {}
        control = await self._store.control(0)
        for digest in control.programs:
            program = await self._catalogue.program(digest)
            if journey in program.journeys:
                version = program.journeys[journey].version
                found.pop(version, None)
                found[version] = program.journeys[journey]
        if not found:
            raise OrchestratorError(
                f"no version of '{journey}' was ever published", fix="orchestrator journeys publish"
            )
        return found

    async def standing(self, journey: str) -> dict[str, Counter[int]]:
        """Version → position → how many runs stand there."""
        found: dict[str, Counter[int]] = {}
        async for _, _, customer in self._customers():
            for run in (*customer.runs, *customer.resends):
                if run.journey == journey:
                    found.setdefault(run.version, Counter())[run.position] += 1
        return found

    async def plan(self, journey: str, old: str, new: str, wishes: Mapping[str, str]) -> Plan:
        """The plan with counts per step. Raises OrchestratorError for a version nobody published."""
        versions = await self.versions(journey)
        for version in (old, new):
            if version not in versions:
                raise OrchestratorError(f"'{journey}' has no version {version}", fix=f"published: {listed(versions)}")
        if old == new:
            raise OrchestratorError("both versions are the same", fix="name two versions")
        return plan(versions[old], versions[new], (await self.standing(journey)).get(old, Counter()), wishes)

    async def rehearse(self, move: Move) -> Rehearsal:
        """Move copies, and let their present waits end."""
        moved, faults = 0, Counter[str]()
        contexts: dict[int, Context] = {}
        async for partition, _, customer in self._customers():
            if not any(run.version == move.old for run in customer.runs):
                continue
            if partition not in contexts:
                control = await self._store.control(partition)
                contexts[partition] = await self._catalogue.context(control.programs, control.unhealthy, control.priors)
            context = contexts[partition].with_moves([move])
            result = Result()
            move_runs(context, customer, result)
            left = [run for run in customer.runs if run.version == move.old]
            faults["left behind"] += len(left)
            moved += result.counts.get(f"moved:{move.journey}", 0)
            due = customer.due()
            if not due:
                continue
            try:
                after = fire(context, "rehearsal", customer, due)
            except Exception as error:
                faults[f"the engine raised {type(error).__name__}"] += 1
                continue
            for name, times in after.counts.items():
                if name.startswith("stranded:") or name.endswith(":looped"):
                    faults[name] += times
        return Rehearsal(moved, {name: times for name, times in sorted(faults.items()) if times})

    async def execute(self, log: EventLog, topic: str, move: Move, clock: Clock) -> None:
        """Put the move into every partition of the log."""
        data = move.data()
        record = records.encode(records.control("move", f"{move.old}-{move.new}", clock.now(), **data))
        for partition in range(await log.partitions(topic)):
            await log.append(topic, partition, [(None, record)])

    async def _customers(self) -> AsyncIterator[tuple[int, str, Customer]]:
        for partition in range(self._partitions):
            moves = (await self._store.control(partition)).moves
            versions = {move.old: move.new for move in moves}
            after = ""
            while names := await self._store.roll(partition, after, CHUNK):
                after = names[-1]
                for name, raw in zip(names, await self._store.load(partition, names), strict=True):
                    if raw is None:
                        continue
                    customer = state.decode(raw)
                    if versions:
                        _as_moved(customer, moves)
                    yield partition, name, customer


def _as_moved(customer: Customer, moves: list[Move]) -> None:
    """What earlier moves have made of the runs, though nothing has touched the customer since."""
    known = {move.old: move for move in moves}
    for run in (*customer.runs, *customer.resends):
        while (move := known.get(run.version)) is not None and run.position in move.positions:
            run.version, run.position = move.new, move.positions[run.position]
