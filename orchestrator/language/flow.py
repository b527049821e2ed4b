"""How a run may walk through a journey's instructions: the graph that the lint and the drawings share.

Everything here knows instructions by what they do to the flow: where it goes next, whether time passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.language.program import (
    Branch,
    Exit,
    Instruction,
    Journey,
    Jump,
    Repeat,
    Split,
    Trigger,
    Wait,
    WaitFor,
)


def successors(steps: Sequence[Instruction], index: int) -> tuple[int, ...]:
    """Where a run may go from this instruction. `len(steps)` is the end of the journey."""
    step = steps[index]
    if isinstance(step, Branch):
        return tuple(dict.fromkeys((*(target for _, target in step.cases), step.otherwise)))
    if isinstance(step, Split):
        return tuple(dict.fromkeys(target for _, _, target in step.arms))
    if isinstance(step, Repeat):
        return (index + 1, step.end)
    if isinstance(step, Jump):
        return (step.target,)
    if isinstance(step, Exit):
        return ()
    return (index + 1,)


def takes_time(step: Instruction) -> bool:
    """Whether a run that comes by certainly waits here. A moment that may lie in the past does not count."""
    return (isinstance(step, Wait) and step.duration > 0) or (isinstance(step, WaitFor) and step.up_to > 0)


def reachable(steps: Sequence[Instruction]) -> frozenset[int]:
    """Every instruction some run may come to."""
    seen: set[int] = set()
    left = [0] if steps else []
    while left:
        index = left.pop()
        if index in seen or index >= len(steps):
            continue
        seen.add(index)
        left.extend(successors(steps, index))
    return frozenset(seen)


def predecessors(steps: Sequence[Instruction]) -> dict[int, tuple[int, ...]]:
    """Instruction → those from which a run may come to it, unreachable ones left out."""
    found: dict[int, list[int]] = {}
    for index in sorted(reachable(steps)):
        for target in successors(steps, index):
            found.setdefault(target, []).append(index)
    return {index: tuple(sources) for index, sources in found.items()}


def before(steps: Sequence[Instruction], index: int) -> frozenset[int]:
    """Every instruction that may have been walked before this one."""
    sources = predecessors(steps)
    seen: set[int] = set()
    left = list(sources.get(index, ()))
    while left:
        one = left.pop()
        if one not in seen:
            seen.add(one)
            left.extend(sources.get(one, ()))
    return frozenset(seen)


def loops(steps: Sequence[Instruction]) -> list[tuple[int, ...]]:
    """Groups of instructions that a run may walk round and round, each in the order of the file."""
    live = reachable(steps)
    reach = {
        index: _reach_from(steps, [target for target in successors(steps, index) if target in live]) for index in live
    }
    groups: dict[tuple[int, ...], None] = {}
    for index in sorted(live):
        if index in reach[index]:
            groups[tuple(sorted(one for one in reach[index] if index in reach[one]))] = None
    return list(groups)


def _reach_from(steps: Sequence[Instruction], starts: list[int]) -> frozenset[int]:
    seen: set[int] = set()
    left = list(starts)
    while left:
        index = left.pop()
        if index in seen or index >= len(steps):
            continue
        seen.add(index)
        left.extend(successors(steps, index))
    return frozenset(seen)


def paths_to(steps: Sequence[Instruction], goal: int, *, limit: int = 2_000) -> Iterator[tuple[int, ...]]:
    """Ways from the start to an instruction, each walking a loop at most once. At most `limit` of them."""
    given = 0
    left: list[tuple[int, ...]] = [(0,)] if steps else []
    while left and given < limit:
        path = left.pop()
        if path[-1] == goal:
            given += 1
            yield path
            continue
        left.extend(
            (*path, target)
            for target in successors(steps, path[-1])
            if target < len(steps) and path.count(target) < 1 and len(path) < 500
        )


def at_once(journey: Journey) -> frozenset[int]:
    """The instructions a run may come to in the same moment in which it enters."""
    steps = journey.steps
    seen: set[int] = set()
    left = [0] if steps else []
    while left:
        index = left.pop()
        if index in seen or index >= len(steps):
            continue
        seen.add(index)
        if not takes_time(steps[index]):
            left.extend(successors(steps, index))
    return frozenset(seen)


def started_by(journey: Journey) -> str:
    """The event type that starts the journey; empty when an absence or the clock does."""
    return journey.trigger.match.type if isinstance(journey.trigger, Trigger) else ""
