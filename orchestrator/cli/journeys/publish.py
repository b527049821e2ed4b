"""`orchestrator journeys publish`: put a folder into force, in every partition of the log at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.journeys.common import checked, folder_of, hint, out, say_findings
from orchestrator.language.program import Program
from orchestrator.runtime.journey_files import read_journeys
from orchestrator.settings import Settings, load


def publish(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of journeys; the setting `journeys` when left away.")
    ] = None,
) -> None:
    """Put the folder's journeys into force, in every partition of the log at once. Runs stay on their version."""
    settings = load()
    where = folder_of(folder)
    program, findings, _ = checked(where)
    errors = tuple(one for one in findings if one.level == "error")
    if program is None or errors:
        say_findings(errors)
        out.print("nothing was published: what was in force stays in force", style="red")
        hint(f"orchestrator journeys check {where}")
        raise typer.Exit(1)
    program, changed = asyncio.run(_publish(settings, where))
    if not changed:
        out.print(f"version {program.version} is in force already")
        return
    out.print(f"published version {program.version}: {', '.join(sorted(program.journeys)) or 'no journeys'}")


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
