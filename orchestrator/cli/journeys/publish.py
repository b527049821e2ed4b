"""`orchestrator journeys publish`: put a folder into force, in every partition of the log at once."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.journeys.common import (
    FolderArgument,
    Json,
    checked,
    err,
    fail,
    folder_of,
    hint,
    out,
    print_json,
    say_findings,
)
from orchestrator.language.program import Program
from orchestrator.runtime.journey_files import read_journeys
from orchestrator.settings import Settings, load
from orchestrator.testing.estimate import Estimate, estimate


def publish(
    folder: FolderArgument = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, however many people it reaches.")] = False,
    no_estimate: Annotated[bool, typer.Option("--no-estimate", help="Do not replay the recorded log first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the estimate, publish nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Put the folder's journeys into force, in every partition of the log at once. Runs stay on their version.

    First it replays what the log holds and says how many people it would have reached; above the setting
    `publish_ask_above` it asks. With a fault nothing is published: the version before stays in force.
    """
    settings = load()
    where = folder_of(folder)
    program, findings, _ = checked(where)
    errors = tuple(one for one in findings if one.level == "error")
    if program is None or errors:
        say_findings(errors)
        err.print("NOTHING WAS PUBLISHED. The journeys before these stay in force.", style="bold red")
        hint(f"orchestrator journeys check {where}")
        raise typer.Exit(1)
    expected = None if no_estimate else _estimate(settings, program)
    if expected is not None:
        _tell(expected, as_json=as_json and dry_run)
    if dry_run:
        return
    if expected is not None and expected.people > settings.publish_ask_above and not yes:
        _ask(expected, settings.publish_ask_above)
    program, changed = asyncio.run(_publish(settings, where))
    if as_json:
        print_json(
            {
                "version": program.version,
                "changed": changed,
                "journeys": sorted(program.journeys),
                "estimate": asdict(expected) if expected else None,
            }
        )
        return
    if not changed:
        out.print(f"version {program.version} is in force already")
        return
    out.print(f"published version {program.version}: {', '.join(sorted(program.journeys)) or 'no journeys'}")
    hint("orchestrator journeys list")


def _estimate(settings: Settings, program: Program) -> Estimate:
    from orchestrator.runtime.recorded_log import recorded

    return estimate(program, asyncio.run(recorded(settings)))


def _tell(expected: Estimate, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(expected))
        return
    if not expected.events:
        err.print("the log holds no events yet: nothing to estimate from")
        return
    sampled = f", from one customer in {expected.sampled}" if expected.sampled > 1 else ""
    err.print(
        f"by the {expected.events:,} events of the last {expected.days:g} days{sampled}: about"
        f" [bold]{expected.people:,} people[/] and {expected.messages:,} messages,"
        f" {expected.cost:,.2f} {expected.currency}"
    )
    for journey, people in sorted(expected.by_journey.items()):
        err.print(f"    {journey}: {people:,} people")


def _ask(expected: Estimate, limit: int) -> None:
    """A question above the limit; where nobody can answer, a refusal."""
    if not sys.stdin.isatty():
        fail(
            f"it would reach about {expected.people:,} people, more than publish_ask_above = {limit:,}",
            "look at the estimate, then publish with --yes",
            code=1,
        )
    if not typer.confirm(f"Publish to about {expected.people:,} people?", default=False, err=True):
        err.print("nothing was published")
        raise typer.Exit(1)


async def _publish(settings: Settings, folder: Path) -> tuple[Program, bool]:
    from orchestrator.runtime.catalogue import Catalogue
    from orchestrator.runtime.clock import WallClock
    from orchestrator.runtime.kafka_log import KafkaLog
    from orchestrator.runtime.publish_journeys import publish_program
    from orchestrator.stores.client import connect

    client, log = connect(settings.redis), KafkaLog(settings.kafka)
    try:
        catalogue = Catalogue(client, settings.seed.get_secret_value().encode())
        return await publish_program(client, log, catalogue, settings.topics.events, read_journeys(folder), WallClock())
    finally:
        await log.close()
        await client.aclose()
