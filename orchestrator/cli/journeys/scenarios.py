"""`orchestrator journeys test`: the scenarios beside the journeys, run in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from orchestrator.cli.journeys.common import (
    Folder,
    Json,
    err,
    fail,
    folder_of,
    hint,
    out,
    print_json,
    program_of,
    say_findings,
)
from orchestrator.errors import JourneysInvalid
from orchestrator.testing.scenarios import Outcome, run_file


def run_scenarios(
    journey: Annotated[str | None, typer.Argument(help="Only this journey's scenarios.")] = None,
    folder: Folder = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell what happened in each scenario.")] = False,
    as_json: Json = False,
) -> None:
    """Run every `<journey>.scenario.yaml`. Exit code 1 when one fails."""
    where = folder_of(folder)
    program = program_of(where)
    slug = Path(journey).name.removesuffix(".yaml").removesuffix(".scenario") if journey else "*"
    files = sorted(where.glob(f"{slug}.scenario.yaml"))
    if not files:
        fail(
            f"no scenarios for {journey}" if journey else f"no scenarios in {where}",
            f"write {where / (slug if journey else 'my_journey')}.scenario.yaml (docs/journeys-tools.md shows one)",
            code=1,
        )
    outcomes: list[Outcome] = []
    unreadable = 0
    for file in files:
        try:
            outcomes += run_file(file.as_posix(), file.read_text(encoding="utf-8"), program)
        except JourneysInvalid as error:
            unreadable += 1
            say_findings(error.findings)
    failed = [one for one in outcomes if one.failure]
    if as_json:
        print_json([{"name": one.name, "file": one.file, "line": one.line, "passed": not one.failure,
                     "failure": one.failure, "story": one.story} for one in outcomes])  # fmt: skip
    else:
        for one in outcomes:
            _say(one, verbose)
        without = sorted(set(program.journeys) - {file.name.removesuffix(".scenario.yaml") for file in files})
        out.print(f"{len(outcomes) - len(failed)} of {len(outcomes)} scenarios passed")
        if without and not journey:
            err.print(f"without a scenario: {', '.join(without)}", style="yellow")
        if not failed and not unreadable:
            hint("orchestrator journeys replay --events FILE", "what it would have done with recorded events")
    if failed or unreadable:
        raise typer.Exit(1)


def _say(one: Outcome, verbose: bool) -> None:
    mark = "[red]failed[/]" if one.failure else "[green]passed[/]"
    out.print(f"{mark}  {escape(one.file)}:{one.line}  {escape(one.name)}")
    if one.failure:
        out.print(f"        [red]{escape(one.failure)}[/]")
    if one.failure or verbose:
        for line in one.story:
            out.print(f"        {escape(line)}", style="dim")
