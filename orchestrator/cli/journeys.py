"""`orchestrator journeys check|list|publish`: the files a marketer writes, checked, shown, put into force."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import Finding, JourneysInvalid
from orchestrator.language.journeys import check_program
from orchestrator.language.program import Program
from orchestrator.runtime.journey_files import read_journeys
from orchestrator.settings import Settings, load

app = typer.Typer(no_args_is_help=True, help="Check, show and publish journey files.")

Folder = Annotated[Path | None, typer.Argument(help="Folder of journeys; the setting `journeys` when left away.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@app.command()
def check(folder: Folder = None, as_json: Json = False) -> None:
    """Report every fault of every file at once, each with its place and what to write instead."""
    program, findings = _checked(folder or load().journeys)
    if as_json:
        typer.echo(json.dumps([_plain(finding) for finding in findings]))
    else:
        for finding in findings:
            typer.echo(f"{finding.level}: {finding}", err=True)
    if program is None:
        raise typer.Exit(1)
    if not as_json:
        typer.echo(f"{len(program.journeys)} journeys and {len(program.messages)} messages are fine")
        typer.echo("next: orchestrator journeys publish", err=True)


@app.command(name="list")
def list_(folder: Folder = None, as_json: Json = False) -> None:
    """The journeys of a folder: status, priority, owner, trigger, version."""
    program, findings = _checked(folder or load().journeys)
    if program is None:
        raise JourneysInvalid(findings)
    rows = [
        {
            "journey": journey.slug,
            "name": journey.name,
            "status": journey.status,
            "priority": journey.priority,
            "owner": journey.owner,
            "trigger": journey.trigger.text,
            "version": journey.version,
        }
        for journey in program.journeys.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo("{journey:24} {status:9} {priority:>3}  {owner:16} on {trigger:12} {version}  {name}".format(**row))


@app.command()
def publish(folder: Folder = None) -> None:
    """Put the folder's journeys into force, in every partition of the log at once. Runs stay on their version."""
    settings = load()
    program, changed = asyncio.run(_publish(settings, folder or settings.journeys))
    if not changed:
        typer.echo(f"version {program.version} is in force already")
        return
    typer.echo(f"published version {program.version}: {', '.join(sorted(program.journeys)) or 'no journeys'}")


async def _publish(settings: Settings, folder: Path) -> tuple[Program, bool]:
    from orchestrator.runtime.catalogue import Catalogue
    from orchestrator.runtime.clock import WallClock
    from orchestrator.runtime.kafka_log import KafkaLog
    from orchestrator.runtime.publish_journeys import publish_program
    from orchestrator.stores.client import connect

    client, log = connect(settings.redis), KafkaLog(settings.kafka)
    try:
        catalogue = Catalogue(client, settings.seed.get_secret_value().encode())
        files = read_journeys(folder)
        return await publish_program(client, log, catalogue, settings.topics.events, files, WallClock())
    finally:
        await log.close()
        await client.aclose()


def _checked(folder: Path) -> tuple[Program | None, tuple[Finding, ...]]:
    try:
        return check_program(read_journeys(folder))
    except JourneysInvalid as error:
        return None, error.findings


def _plain(finding: Finding) -> dict[str, object]:
    return {name: getattr(finding, name) for name in ("file", "line", "column", "level", "message", "fix")}
