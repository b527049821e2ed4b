"""`orchestrator journeys explain`: what a journey does, in sentences; or its drawing."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from orchestrator.cli.journeys.common import Folder, Json, folder_of, hint, journey_of, out, print_json, program_of
from orchestrator.language import explain as words


def explain(
    journey: Annotated[str, typer.Argument(help="The journey: its file's name.")],
    folder: Folder = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="A Mermaid flowchart, for a pull request.")] = False,
    as_json: Json = False,
) -> None:
    """Tell in plain English what a journey does."""
    program = program_of(folder_of(folder))
    wanted = journey_of(program, journey)
    if mermaid:
        typer.echo(words.mermaid(wanted), nl=False)
        return
    lines = words.explain(wanted, program)
    if as_json:
        print_json(
            {
                "journey": wanted.slug,
                "version": wanted.version,
                "sentences": [{"text": line.text, "depth": line.depth, "step": line.step} for line in lines],
            }
        )
        return
    for line in lines:
        mark = "- " if line.depth else ""
        out.print(f"{'  ' * max(line.depth - 1, 0)}{mark}{escape(line.text)}")
    hint(f"orchestrator journeys simulate {wanted.slug}", "watch one customer go through it")
