"""`orchestrator journeys check`: every fault of every file at once, and what only the whole set shows."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.journeys.common import Folder, Json, checked, folder_of, hint, out, print_json, say_findings
from orchestrator.errors import Finding


class Format(StrEnum):
    """How findings are written."""

    text = "text"
    github = "github"
    json = "json"


def check(
    path: Annotated[Path | None, typer.Argument(help="Folder of journeys, or one file of it.")] = None,
    folder: Folder = None,
    how: Annotated[Format, typer.Option("--format", help="github writes annotations for pull requests.")] = Format.text,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    as_json: Json = False,
) -> None:
    """Check every file, and all journeys against each other. Exit code 1 when something is wrong.

    Each fault comes with its place, what was meant, and what to write instead.
    """
    where, only = _wanted(path, folder)
    program, findings, _ = checked(where)
    shown = tuple(one for one in findings if only is None or Path(one.file).resolve() == only)
    if as_json or how is Format.json:
        print_json([_plain(one) for one in shown])
    elif how is Format.github:
        for one in shown:
            out.print(_annotation(one), markup=False)
    else:
        say_findings(shown)
    errors = sum(one.level == "error" for one in shown)
    warnings = len(shown) - errors
    if how is Format.text and not as_json:
        if shown:
            out.print(f"{_count(errors, 'error')}, {_count(warnings, 'warning')}")
        elif program is not None:
            out.print(
                f"{_count(len(program.journeys), 'journey')} and {_count(len(program.messages), 'message')} are fine"
            )
        if not errors:
            hint("orchestrator journeys test", "run the scenarios beside the journeys")
    if errors or (strict and warnings) or (program is None and only is None):
        raise typer.Exit(1)


def _wanted(path: Path | None, folder: Path | None) -> tuple[Path, Path | None]:
    """The folder to check, and the one file to tell about."""
    if path is None or path.is_dir():
        return path or folder_of(folder), None
    parent = path.parent.parent if path.parent.name == "messages" else path.parent
    return folder or parent, path.resolve()


def _plain(finding: Finding) -> dict[str, object]:
    return {name: getattr(finding, name) for name in ("file", "line", "column", "level", "message", "fix")}


def _annotation(one: Finding) -> str:
    """A workflow command that GitHub shows beside the line of the pull request."""
    text = f"{one.message} ({one.fix})" if one.fix else one.message
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    file = one.file.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{one.level} file={file},line={one.line},col={one.column}::{text}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
