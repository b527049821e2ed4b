"""Strict YAML: text in, plain data with the place of every node out. Pure: the caller reads the file.

YAML 1.2 core scalars only, so `no` and `12:30` stay text and `010` is ten. Refused: duplicate keys, anchors, aliases,
tags, merge keys, directives, several documents, more than 256 KiB, deep nesting, NaN and infinity. The tree is built
from parser events: aliases are refused before anything could expand them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from orchestrator.errors import Finding
from orchestrator.language.findings import quoted

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64

Path = tuple[str | int, ...]
Scalar = str | int | float | bool | None

_INT = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_OCTAL_OR_HEX = re.compile(r"0o[0-7]{1,18}|0x[0-9a-fA-F]{1,15}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?", re.ASCII)
_NOT_A_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_CONSTANTS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip

#: What ruamel.yaml says → what helps a person who does not know YAML's grammar.
_HINTS = (
    ("mapping values are not allowed", "put quotes around a text that holds ': ', or correct the indentation"),
    ("scanning a block scalar", "'>' starts a text block in YAML: write 'over 50' or 'under 50'"),
    ("cannot start any token", "put quotes around the text, and indent with spaces, not tabs"),
    ("could not find expected ':'", "write 'key: value', with a space after the colon"),
    ("did not find expected <document start>", "correct the indentation: all keys of one level start in one column"),
    ("expected <block end>", "correct the indentation: all keys of one level start in one column"),
    ("while parsing a flow", "close every [ with ] and every { with }"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node starts, counted from 1. `text_column` is where the text of a scalar on one line starts, else 0."""

    line: int
    column: int
    text_column: int = 0

    def within_text(self, offset: int) -> Place:
        """The place of a character of an inline scalar; of the scalar when it is not inline."""
        return Place(self.line, self.text_column + offset) if self.text_column else self


@dataclass(slots=True)
class Document:
    """One loaded file: plain data, and the place of every key and value by its path."""

    file: str
    data: object = None
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings

    def place(self, path: Path, *, key: bool = False) -> Place:
        """The place of the value (or of its key) at `path`, or of the nearest thing above it that the file holds."""
        for end in range(len(path), -1, -1):
            found = (self.keys if key and path[:end] in self.keys else self.values).get(path[:end])
            if found:
                return found
        return Place(1, 1)

    def finding(self, path: Path, message: str, fix: str = "", *, key: bool = False, offset: int = 0) -> Finding:
        place = self.place(path, key=key)
        if offset:
            place = place.within_text(offset)
        return Finding(self.file, place.line, place.column, message, fix)


class _Stop(Exception):
    """Nothing useful can be read after this fault."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding


class _Builder:
    """Turns parser events into plain data without recursion."""

    def __init__(self, document: Document, first_line: int) -> None:
        self.document = document
        self.first_line = first_line
        #: (container, path) of open collections.
        self.open: list[tuple[dict[str, object] | list[object], Path]] = []
        #: The key that waits for its value, per open collection.
        self.pending: list[str | None] = []
        self.documents = 0

    def place(self, event: Event) -> Place:
        mark = event.start_mark
        return Place(mark.line + self.first_line, mark.column + 1)

    def report(self, place: Place, message: str, fix: str) -> Finding:
        finding = Finding(self.document.file, place.line, place.column, message, fix)
        self.document.findings.append(finding)
        return finding

    def feed(self, event: Event) -> None:
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise _Stop(
                    self.report(self.place(event), "a second document starts here", "write one journey per file")
                )
            if event.version or event.tags:
                self.report(self.place(event), "YAML directives (%) are not allowed", "remove the line")
        elif isinstance(event, NodeEvent):
            self.node(event)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            self.open.pop()
            self.pending.pop()

    def node(self, event: NodeEvent) -> None:
        place = self.place(event)
        if isinstance(event, AliasEvent):
            raise _Stop(self.report(place, "aliases (*name) are not allowed", "write the value out"))
        if event.anchor is not None:
            raise _Stop(self.report(place, "anchors (&name) are not allowed", "write the value out where it is used"))
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise _Stop(self.report(place, f"tags ({tag}) are not allowed", "remove the tag"))
        if isinstance(event, ScalarEvent):
            self.scalar(event, place)
        elif isinstance(event, MappingStartEvent):
            self.collection({}, place)
        elif isinstance(event, SequenceStartEvent):
            self.collection([], place)

    def scalar(self, event: ScalarEvent, place: Place) -> None:
        if self.expects_key():
            self.key(str(event.value), place)
            return
        start, end = event.start_mark, event.end_mark
        if start.line == end.line and event.style in (None, "", "'", '"'):
            quote = 1 if event.style in ("'", '"') else 0
            place = Place(place.line, place.column, place.column + quote)
        plain = event.style in (None, "")
        self.value(self.resolve(str(event.value), place) if plain else str(event.value), place)

    def resolve(self, text: str, place: Place) -> Scalar:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INT.fullmatch(text):
            return int(text)
        if _OCTAL_OR_HEX.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number not in (float("inf"), float("-inf")):
                return number
        elif not _NOT_A_NUMBER.fullmatch(text):
            return text
        self.report(place, f"{quoted(text)} is not a finite number", "write a number, or put quotes around the text")
        return text

    def expects_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1][0], dict) and self.pending[-1] is None

    def key(self, text: str, place: Place) -> None:
        container, path = self.open[-1]
        assert isinstance(container, dict)
        if text == "<<":
            raise _Stop(self.report(place, "merge keys (<<) are not allowed", "write the keys out"))
        if text in container:
            first = self.document.keys[(*path, text)]
            self.report(place, f"duplicate key {quoted(text)}", f"it is already in line {first.line}: keep one")
        else:
            self.document.keys[(*path, text)] = place
        self.pending[-1] = text

    def value(self, value: object, place: Place) -> Path:
        if not self.open:
            path: Path = ()
            self.document.data = value
        else:
            container, above = self.open[-1]
            if isinstance(container, list):
                path = (*above, len(container))
                container.append(value)
            else:
                key = self.pending[-1]
                assert key is not None
                path = (*above, key)
                container[key] = value
                self.pending[-1] = None
        self.document.values[path] = place
        return path

    def collection(self, container: dict[str, object] | list[object], place: Place) -> None:
        if self.expects_key():
            raise _Stop(self.report(place, "a key must be a word", "write 'key: value'"))
        if len(self.open) >= MAX_DEPTH:
            raise _Stop(self.report(place, f"nested deeper than {MAX_DEPTH} levels", "flatten the file"))
        self.open.append((container, self.value(container, place)))
        self.pending.append(None)


def load(file: str, text: str, *, first_line: int = 1) -> Document:
    """The document in `text`. Never raises: faults are in `Document.findings`, and `data` may then be incomplete.

    `first_line` is the line of the file at which `text` starts (front matter starts at 2).
    """
    document = Document(file)
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        document.findings.append(
            Finding(file, 1, 1, f"the file is larger than {MAX_BYTES // 1024} KiB", "split it into several files")
        )
        return document
    builder = _Builder(document, first_line)
    parser = YAML(typ="safe", pure=True)
    parser.version = (1, 2)
    try:
        ended = False
        for event in parser.parse(text):
            builder.feed(event)
            ended = ended or isinstance(event, DocumentEndEvent)
    except _Stop:
        pass
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(filter(None, (error.context, error.problem)))
        document.findings.append(
            Finding(
                file,
                (mark.line if mark else 0) + first_line,
                (mark.column if mark else 0) + 1,
                f"this is not valid YAML: {' '.join(words.split())}",
                next((fix for sign, fix in _HINTS if sign in words), "compare the line with a working journey"),
            )
        )
    except ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        line = before.count("\n") + first_line
        column = len(before) - (before.rfind("\n") + 1) + 1
        document.findings.append(
            Finding(file, line, column, "a character that is not allowed in YAML", "remove the invisible character")
        )
    except (YAMLError, ValueError, AssertionError, IndexError) as error:
        # Defects of the parser on strange input are a fault of the file for whoever wrote it.
        document.findings.append(
            Finding(file, first_line, 1, f"this is not valid YAML: {type(error).__name__}", "start from a working file")
        )
    if not document.findings and document.data is None:
        document.findings.append(Finding(file, first_line, 1, "the file is empty", "start from a working file"))
    return document
