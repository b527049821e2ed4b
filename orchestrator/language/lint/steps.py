"""Steps nobody comes to, and loops in which no time passes."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import Finding
from orchestrator.language.flow import loops, reachable, takes_time
from orchestrator.language.lint.checked import Checked
from orchestrator.language.program import Branch, Journey, Jump


def findings(checked: Checked) -> Iterator[Finding]:
    """Unreachable steps and cases, and loops without a delay."""
    for journey in checked.journeys():
        yield from _unreachable(checked, journey)
        yield from _repeated_cases(checked, journey)
        yield from _loops(checked, journey)


def _unreachable(checked: Checked, journey: Journey) -> Iterator[Finding]:
    """The first step of every stretch that no run comes to."""
    live = reachable(journey.steps)
    dead_before = False
    for index, step in enumerate(journey.steps):
        if isinstance(step, Jump):
            continue
        dead = index not in live
        if dead and not dead_before:
            yield checked.places.at(
                journey.slug,
                step.path.removesuffix(".if"),
                "nobody ever comes to this step",
                "every way before it ends in 'exit': remove the step or make an exit conditional with 'if'",
            )
        dead_before = dead


def _repeated_cases(checked: Checked, journey: Journey) -> Iterator[Finding]:
    for step in journey.steps:
        if not isinstance(step, Branch):
            continue
        seen: set[str] = set()
        for number, (condition, _) in enumerate(step.cases):
            if condition.meaning and condition.meaning in seen:
                yield checked.places.at(
                    journey.slug,
                    f"{step.path}.branch[{number}]",
                    "no customer ever fits this case: a case above asks for the same",
                    "remove it, or ask for something else",
                )
            seen.add(condition.meaning)


def _loops(checked: Checked, journey: Journey) -> Iterator[Finding]:
    for loop in loops(journey.steps):
        if not any(takes_time(journey.steps[index]) for index in loop):
            step = journey.steps[loop[0]]
            yield checked.places.at(
                journey.slug,
                step.path,
                "this repeats without any time in between",
                "put a wait or a wait_for inside it",
                level="error",
            )
