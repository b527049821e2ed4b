"""The `orchestrator` command. Data goes to stdout, progress and logs to stderr.

Exit codes: 0 fine, 1 findings or unhealthy, 2 usage, 3 a dependency does not answer, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator import __version__
from orchestrator.cli import demo, dev, doctor, events, journeys, processes, reports, schemas, topics
from orchestrator.errors import OrchestratorError

app = typer.Typer(
    name="orchestrator",
    help="Event-driven journeys on the channel each customer answers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command(name="demo")(demo.demo)
app.command(name="dev")(dev.dev)
app.add_typer(journeys.app, name="journeys")
app.add_typer(events.app, name="events")
app.add_typer(topics.app, name="topics")
app.add_typer(schemas.app, name="schemas")
app.command(name="report")(reports.report)
app.add_typer(reports.app, name="policy")
app.command(name="doctor")(doctor.doctor)
app.command(name="health")(doctor.health)
app.command(name="gateway")(processes.gateway)
app.command(name="ingest")(processes.ingest)
app.command(name="worker")(processes.worker)
app.command(name="dispatcher")(processes.dispatcher)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    config: Annotated[Path | None, typer.Option(help="Settings file; ./orchestrator.toml when there is one.")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Event-driven journeys on the channel each customer answers."""
    if config is not None:
        os.environ["ORCHESTRATOR_CONFIG"] = str(config)


def main() -> None:
    """Run the command line; errors of ours become one clear message and their exit code."""
    try:
        app()
    except OrchestratorError as error:
        typer.secho(error.message, fg="red", err=True)
        if error.fix:
            typer.echo(f"  to fix it: {error.fix}", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if not _redis_is_away(error):
            raise
        typer.secho("Redis does not answer", fg="red", err=True)
        typer.echo("  to fix it: start Redis, or correct redis.url (ORCHESTRATOR_REDIS__URL)", err=True)
        sys.exit(3)


def _redis_is_away(error: Exception) -> bool:
    """Whether the client could not reach Redis. The client is only known when a command has loaded it."""
    client = sys.modules.get("redis.exceptions")
    return client is not None and isinstance(error, client.ConnectionError | client.TimeoutError)
