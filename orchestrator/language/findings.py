"""Collecting faults: all at once, each with its place, a likely meaning and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from orchestrator.errors import Finding

#: How much of a person's value is quoted back in a message.
QUOTE = 60


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known word that `word` most likely stands for, or an empty string."""
    matches = difflib.get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    return matches[0] if matches else ""


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """One sentence: unknown key 'wiat' — did you mean 'wait'?"""
    known = tuple(known)
    near = did_you_mean(word, known)
    if near:
        return f"unknown {what} {quoted(word)} — did you mean '{near}'?"
    return f"unknown {what} {quoted(word)}"


def quoted(value: object) -> str:
    """A value in single quotes, as YAML would show it, cut to a readable length."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, dict):
        return "a mapping"
    elif isinstance(value, list):
        return "a list"
    else:
        text = str(value)
    return f"'{text if len(text) <= QUOTE else text[: QUOTE - 1] + '…'}'"


def listed(words: Iterable[str]) -> str:
    """a, b or c"""
    words = tuple(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}" if words else ""


class Findings:
    """Faults of one load, in the order of files, lines and columns."""

    def __init__(self) -> None:
        self._all: list[Finding] = []

    def add(self, finding: Finding) -> None:
        if finding not in self._all:
            self._all.append(finding)

    def extend(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.add(finding)

    def sorted(self) -> tuple[Finding, ...]:
        return tuple(sorted(self._all, key=lambda f: (f.file, f.line, f.column, f.message)))

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.sorted() if finding.level == "error")
