"""Runs that go on in another version of their journey, because somebody moved them.

A run is moved when its customer is next looked at after the move's place in the log: at her events and at the end of
her waits, so never too late, and a replay moves it at the same place. Its wait goes on as it began; what follows is
the new version's.
"""

from __future__ import annotations

from orchestrator.contracts.moves import Move
from orchestrator.engine.context import Context, Result
from orchestrator.engine.state import Customer, Run

#: Moves in a row, from version to version.
_MOST = 100


def move_runs(context: Context, customer: Customer, result: Result) -> None:
    """Bring the customer's runs to the versions they were moved to."""
    for run in (*customer.runs, *customer.resends):
        for _ in range(_MOST):
            move = context.moves.get(run.version)
            if move is None or move.new not in context.by_version or run.position not in move.positions:
                break
            _carry(run, move)
            result.count(f"moved:{run.journey}")


def _carry(run: Run, move: Move) -> None:
    run.version = move.new
    run.position = move.positions[run.position]
    run.loops = {move.paths.get(path, path): rounds for path, rounds in run.loops.items()}
    run.arms = {move.paths.get(name, name): arm for name, arm in run.arms.items()}
    run.passed = {move.paths.get(path, path): times for path, times in run.passed.items()}
