"""`orchestrator schemas write|check`: the published JSON Schemas, generated from the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.contracts.json_schemas import event_schemas
from orchestrator.language.scenario_schema import scenario_schema
from orchestrator.language.schema import journey_schema, message_schema, policy_schema, segments_schema, stages_schema

app = typer.Typer(no_args_is_help=True, help="Write and check the published JSON Schemas.")

_SUFFIX = ".schema.json"
Folder = Annotated[Path, typer.Option("--dir", help="The folder of the schemas.")]
_HERE = Path("schemas")


def published() -> dict[str, str]:
    """File name → text of every schema we publish."""
    schemas: dict[str, dict[str, Any]] = {
        **event_schemas(),
        "journey": journey_schema(),
        "policy": policy_schema(),
        "message": message_schema(),
        "stages": stages_schema(),
        "segments": segments_schema(),
        "scenario": scenario_schema(),
    }
    return {
        f"{name}{_SUFFIX}": json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas.items()
    }


def drift(folder: Path) -> list[str]:
    """What in the folder differs from the models, a sentence each."""
    wanted = published()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob(f"*{_SUFFIX}")}
    return [
        *(f"{name} is missing" for name in sorted(wanted.keys() - found.keys())),
        *(f"{name} belongs to no model" for name in sorted(found.keys() - wanted.keys())),
        *(
            f"{name} differs from its model"
            for name in sorted(wanted.keys() & found.keys())
            if wanted[name] != found[name]
        ),
    ]


@app.command()
def write(folder: Folder = _HERE) -> None:
    """Write every schema; remove those of models that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = published()
    for path in folder.glob(f"*{_SUFFIX}"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")
    typer.echo(f"{len(wanted)} schemas in {folder}")


@app.command()
def check(folder: Folder = _HERE) -> None:
    """Say which schemas differ from the models. Exit code 1 when one does."""
    faults = drift(folder)
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        typer.echo("  to fix it: orchestrator schemas write", err=True)
        raise typer.Exit(1)
    typer.echo(f"{len(published())} schemas agree with the models")
