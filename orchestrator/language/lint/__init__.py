"""What no single file shows: faults of a whole set of journeys and messages, found before anybody is written to.

Every check is a module with one function `findings(checked)`; all are pure and work on the compiled program.
Errors are what `publish` refuses; warnings are what a person should look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from orchestrator.errors import Finding
from orchestrator.language.lint import (
    audiences,
    caps,
    chains,
    content,
    expiry,
    languages,
    steps,
    texts,
    unset,
    wording,
)
from orchestrator.language.lint.checked import Checked
from orchestrator.language.lint.places import Places
from orchestrator.language.program import Program

CHECKS: Mapping[str, Callable[[Checked], Iterable[Finding]]] = {
    "unreachable steps, and loops without a delay": steps.findings,
    "journeys that trigger each other": chains.findings,
    "messages past their expiry": expiry.findings,
    "channels without content": content.findings,
    "caps that can never allow a step": caps.findings,
    "two owners on one audience": audiences.findings,
    "variables that some path leaves unset": unset.findings,
    "fake personalisation, and channels that say different things": wording.findings,
    "gaps between languages": languages.findings,
    "texts that cost or lose more than they need": texts.findings,
}


def lint(files: Mapping[str, str], program: Program) -> tuple[Finding, ...]:
    """Everything found in the program of these texts, in the order of files and lines."""
    checked = Checked(program, Places(files))
    found = {finding for check in CHECKS.values() for finding in check(checked)}
    return tuple(sorted(found, key=lambda one: (one.file, one.line, one.column, one.message)))
