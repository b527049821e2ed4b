"""`orchestrator journeys fmt`: one way to write a file, with its comments kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.journeys.common import Folder, Json, folder_of, hint, out, print_json, say_findings
from orchestrator.errors import JourneysInvalid
from orchestrator.language.layout import laid_out


def fmt(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files; every YAML file of the folder when left away.")
    ] = None,
    folder: Folder = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 when a file would change.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write journeys in block style: one key a line, keys in their usual order, comments kept."""
    wanted = files or sorted(folder_of(folder).glob("*.yaml"))
    changed: list[str] = []
    faulty = False
    for file in wanted:
        try:
            before = file.read_text(encoding="utf-8")
        except OSError as problem:
            out.print(f"cannot read {file}: {problem.strerror}", style="red")
            raise typer.Exit(2) from None
        try:
            after = laid_out(file.as_posix(), before)
        except JourneysInvalid as error:
            faulty = True
            say_findings(error.findings)
            continue
        if after != before:
            changed.append(file.as_posix())
            if not check:
                file.write_text(after, encoding="utf-8")
    if as_json:
        print_json({"changed": changed, "checked": check})
    else:
        for name in changed:
            out.print(f"{'would change' if check else 'changed'} {name}")
        out.print(f"{len(wanted) - len(changed)} of {len(wanted)} files were laid out already")
        hint("orchestrator journeys fmt" if check and changed else "orchestrator journeys check")
    if faulty or (check and changed):
        raise typer.Exit(1)
