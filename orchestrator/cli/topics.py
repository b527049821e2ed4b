"""`orchestrator topics create|check`."""

from __future__ import annotations

import typer

from orchestrator.runtime import topics
from orchestrator.settings import Settings, load

app = typer.Typer(no_args_is_help=True, help="Create and check the Kafka topics.")


@app.command()
def create() -> None:
    """Create the topics that are missing; then check all of them."""
    settings = load()
    created = topics.create(settings)
    for topic in topics.wanted(settings):
        typer.echo(f"{'created' if topic.name in created else 'exists '}  {topic.name}")
    _report(settings)


@app.command()
def check() -> None:
    """Say what is wrong with the topics and how to put it right. Exit code 1 when something is."""
    _report(load())


def _report(settings: Settings) -> None:
    findings = topics.check(settings)
    for finding in findings:
        typer.echo(f"{finding.level}: {finding}", err=True)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
    typer.echo(f"{len(topics.wanted(settings))} topics are fit for use")
