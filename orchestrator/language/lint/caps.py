"""Caps that can never allow a step: on every way to it, the messages before have used the cap up until it expires."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import Finding
from orchestrator.language.flow import paths_to
from orchestrator.language.lint.checked import Checked, span
from orchestrator.language.program import Cap, Journey, Send, Wait, WaitFor, WaitUntil

#: Longer than any window: a wait whose end nobody can tell.
_LONG = 10**15


def findings(checked: Checked) -> Iterator[Finding]:
    """Sends that always expire when the sends before them went out."""
    policy = checked.program.policy
    for journey in checked.journeys():
        limits = [(journey.cap, "the journey's cap")]
        if journey.purpose == "marketing":
            limits.append((policy.cap, "the company's cap"))
        for index, send in checked.sends(journey):
            for cap, whose in limits:
                if cap is not None and _never(journey, index, send, cap):
                    yield checked.places.at(
                        journey.slug,
                        send.path,
                        f"{whose} of {cap.count} per {span(cap.window)} never allows this step:"
                        f" {'a message' if cap.count == 1 else f'{cap.count} messages'} of this journey went shortly"
                        f" before, and this one expires after {span(send.expires)}",
                        "wait longer before it, raise the cap, or give it more time with 'expires'",
                    )
                    break


def _never(journey: Journey, index: int, send: Send, cap: Cap) -> bool:
    """Whether on every way the last `count` messages are so young that the cap frees no place before it expires."""
    some = False
    for path in paths_to(journey.steps, index):
        some = True
        ages = _ages(journey, path[:-1])
        if len(ages) < cap.count or ages[-cap.count] + send.expires > cap.window:
            return False
    return some


def _ages(journey: Journey, path: tuple[int, ...]) -> list[int]:
    """How old each earlier message of the way is at most, oldest first. The slowest way through every wait counts."""
    ages: list[int] = []
    for index in path:
        step = journey.steps[index]
        if isinstance(step, Wait):
            passed = _LONG if step.after_last else step.duration
        elif isinstance(step, WaitFor):
            passed = step.up_to
        elif isinstance(step, WaitUntil):
            passed = _LONG
        elif isinstance(step, Send):
            # It may itself be held until it expires; then it is skipped, so it counts from when it went.
            ages = [age + step.expires for age in ages]
            ages.append(0)
            continue
        else:
            continue
        ages = [age + passed for age in ages]
    return ages
