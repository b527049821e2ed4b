"""`orchestrator doctor` and `orchestrator health`: what is wrong with this installation, and how to put it right."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from orchestrator.settings import load


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False) -> None:
    """Check Kafka, Redis, topics, partition count, providers and journeys. Exit code 1 when something is wrong."""
    from orchestrator.ops.doctor import examine

    findings = asyncio.run(examine(load()))
    if as_json:
        typer.echo(json.dumps([{"part": f.part, "ok": f.ok, "message": f.message, "fix": f.fix} for f in findings]))
    else:
        for finding in findings:
            word, colour = ("ok  ", typer.colors.GREEN) if finding.ok else ("FAIL", typer.colors.RED)
            typer.secho(f"{word}  {finding.part:11} {finding.message}", fg=colour)
            if finding.fix:
                typer.echo(f"                  to fix it: {finding.fix}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(3 if any(f.unreachable for f in findings) else 1)


def health(stage: Annotated[str, typer.Argument(help="worker, ingest, dispatcher or gateway")]) -> None:
    """Whether a process of this stage on this host gave a sign of life lately; for containers' health checks."""
    from orchestrator.ops.doctor import heartbeat_here

    found = asyncio.run(heartbeat_here(load(), stage))
    typer.echo(f"{stage}: {', '.join(found) if found else 'no sign of life on this host'}")
    if not found:
        raise typer.Exit(1)
