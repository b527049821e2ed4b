"""What the commands about journeys share: their options, how a folder is loaded, how things are said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from orchestrator.errors import Finding, JourneysInvalid
from orchestrator.language.findings import unknown
from orchestrator.language.journeys import check_program
from orchestrator.language.lint import lint
from orchestrator.language.program import Journey, Program
from orchestrator.runtime.journey_files import read_journeys
from orchestrator.settings import load

Folder = Annotated[
    Path | None, typer.Option("--dir", help="Folder of journeys; the setting `journeys` when left away.")
]
FolderArgument = Annotated[
    Path | None, typer.Argument(help="Folder of journeys; the setting `journeys` when left away.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]

#: Rich only on a terminal; NO_COLOR is honoured. Nothing is wrapped in a file or a pipe.
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
if not out.is_terminal:
    out.width = 1_000

_COLOURS = {"error": "red", "warning": "yellow"}


def folder_of(folder: Path | None) -> Path:
    """The folder that was named, else the one of the settings."""
    return folder or load().journeys


def checked(folder: Path, *, with_lint: bool = True) -> tuple[Program | None, tuple[Finding, ...], dict[str, str]]:
    """The program (None when there are errors), everything found, with paths as typed, and the texts."""
    try:
        files = read_journeys(folder)
    except JourneysInvalid as error:
        return None, _here(folder, error.findings), {}
    program, findings = check_program(files)
    if program is not None and with_lint:
        findings = tuple(
            sorted({*findings, *lint(files, program)}, key=lambda one: (one.file, one.line, one.column, one.message))
        )
    return program, _here(folder, findings), files


def program_of(folder: Path) -> Program:
    """The program of a folder; ends the command with every fault when there are any."""
    program, findings, _ = checked(folder, with_lint=False)
    if program is None:
        say_findings(findings)
        hint(f"orchestrator journeys check --dir {folder}")
        raise typer.Exit(1)
    return program


def journey_of(program: Program, name: str) -> Journey:
    """The journey of a name, with or without `.yaml` and folder."""
    slug = Path(name).name.removesuffix(".yaml")
    journey = program.journeys.get(slug)
    if journey is None:
        fail(unknown("journey", slug, program.journeys), "orchestrator journeys list")
    return journey


def _here(folder: Path, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(
        one if one.file == str(folder) else replace(one, file=(folder / one.file).as_posix()) for one in findings
    )


def say_findings(findings: Iterable[Finding]) -> None:
    """Findings with place and fix, one below the other, on stdout."""
    for one in findings:
        colour = _COLOURS[one.level]
        out.print(
            f"[bold]{escape(one.file)}[/]:{one.line}:{one.column}: [{colour}]{one.level}[/]: {escape(one.message)}"
        )
        if one.fix:
            out.print(f"    to fix it: {escape(one.fix)}", style="dim")


def print_json(value: Any) -> None:
    """Compact JSON on one line, keys as given."""
    typer.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str))


def hint(command: str, why: str = "") -> None:
    """The next useful command."""
    err.print(f"next: [bold]{escape(command)}[/]" + (f"  ({escape(why)})" if why else ""))


def fail(message: str, fix: str = "", *, code: int = 2) -> NoReturn:
    """Say what is wrong and end the command."""
    err.print(f"[red]{escape(message)}[/]")
    if fix:
        err.print(f"    to fix it: {escape(fix)}")
    raise typer.Exit(code)
