"""`_stages.yaml` and `_segments.yaml`: lifecycle stages (the first that fits), segments (who fits is inside)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import Finding
from orchestrator.language.compile_conditions import Conditions
from orchestrator.language.findings import quoted
from orchestrator.language.load import Document, Path
from orchestrator.language.model import NAME
from orchestrator.language.moments import parse_span
from orchestrator.language.program import Absence, Segment, Stage

STAGES_FILE = "_stages.yaml"
SEGMENTS_FILE = "_segments.yaml"
#: More groups than this are a table of another system, not something people read.
MOST = 50

_ABSENCE = re.compile(r"missing (\S+) for (.+)")


def parse_stages(document: Document) -> tuple[tuple[Stage, ...], tuple[Finding, ...]]:
    """The stages in their order, and everything that is wrong with the file."""
    reader = Conditions(document)
    stages: list[Stage] = []
    lines = _lines(reader, "stages", "stages: {loyal: {customer.orders: at least 5}, visitor: else}")
    for index, (name, raw) in enumerate(lines.items()):
        path: Path = ("stages", name)
        _check_name(reader, name, path)
        if raw == "else":
            if index != len(lines) - 1:
                reader.error(path, "'else' is not the last stage", "move it to the end")
            stages.append(Stage(name))
        elif isinstance(raw, str) and raw.startswith("missing "):
            absence = _absence(reader, raw, path)
            if absence is not None:
                stages.append(Stage(name, absence=absence))
        else:
            condition = reader.condition(raw, path, ("customer",))
            if condition is not None:
                stages.append(Stage(name, condition))
    return tuple(stages), reader.findings.sorted()


def parse_segments(document: Document) -> tuple[tuple[Segment, ...], tuple[Finding, ...]]:
    """The segments, and everything that is wrong with the file."""
    reader = Conditions(document)
    segments: list[Segment] = []
    lines = _lines(reader, "segments", "segments: {tea_lovers: \"bought('tea', '90d')\"}")
    for name, raw in lines.items():
        path: Path = ("segments", name)
        _check_name(reader, name, path)
        condition = reader.condition(raw, path, ("customer",))
        if condition is not None:
            segments.append(Segment(name, condition))
    return tuple(segments), reader.findings.sorted()


def _lines(reader: Conditions, key: str, example: str) -> Mapping[str, Any]:
    document = reader.document
    reader.findings.extend(document.findings)
    if not document.ok:
        return {}
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get(key), dict) or not data[key]:
        reader.error((), f"'{key}' is missing", f"write {example}")
        return {}
    for other in data:
        if other != key:
            reader.error((other,), f"unknown key {quoted(other)}", f"known here: {key}", key=True)
    if len(data[key]) > MOST:
        reader.error((key,), f"more than {MOST} {key}", "keep those that journeys use")
    lines: dict[str, Any] = data[key]
    return lines


def _check_name(reader: Conditions, name: str, path: Path) -> None:
    if not NAME.fullmatch(name):
        reader.error(path, f"{quoted(name)} is not a name", "write a snake_case word", key=True)


def _absence(reader: Conditions, text: str, path: Path) -> Absence | None:
    """`missing purchase for 3x usual gap`: only purchases have a rhythm that a stage may follow."""
    match = _ABSENCE.fullmatch(" ".join(text.split()))
    if match is None or match[1] != "purchase":
        reader.error(path, f"{quoted(text)} is not an absence", "write 'missing purchase for 3x usual gap'")
        return None
    try:
        span = parse_span(match[2])
    except ValueError as error:
        message, _, fix = str(error).partition(": ")
        reader.error(path, message, fix)
        return None
    return Absence("purchase", span.lasting, span.gaps)
