"""`orchestrator events publish FILE|-`: events from a file into a Kafka source topic."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from orchestrator.publisher import Publisher
from orchestrator.runtime.kafka_security import client_security
from orchestrator.settings import load

app = typer.Typer(no_args_is_help=True, help="Publish events.")

#: Lines between two words of progress, where stderr is not a terminal.
PROGRESS_EVERY = 10_000


@app.callback()
def group() -> None:
    """Publish events."""


@app.command()
def publish(
    file: Annotated[str, typer.Argument(help="Events as JSON lines or one JSON array; - reads standard input.")],
    topic: Annotated[str, typer.Option(help="Source topic; the first of topics.sources when left away.")] = "",
) -> None:
    """Publish each event of FILE, keyed by customer, acknowledged by all in-sync replicas.

    Only the JSON is checked here; ingest checks the events. A line that is no JSON object is reported with its number
    and the rest goes on. Exit codes: 0 all published, 1 some lines were bad, 2 FILE cannot be read, 3 Kafka is away.
    """
    settings = load()
    target = topic or settings.topics.sources[0]
    security = client_security(settings.kafka)
    published = bad = 0
    with _opened(file) as stream, Publisher(settings.kafka.bootstrap, target, **security) as publisher:
        for number, event in _events(stream):
            if isinstance(event, dict):
                try:
                    publisher.publish(event)
                except ValueError as problem:
                    event = f"not JSON: {problem}"
                else:
                    published += 1
                    _progress(published)
                    continue
            bad += 1
            typer.echo(f"{file}:{number}: {event if isinstance(event, str) else 'not a JSON object'}", err=True)
    _progress(published, last=True)
    typer.echo(f"published {published} events to {target}" + (f", {bad} refused" if bad else ""), err=True)
    if bad:
        raise typer.Exit(1)


def _opened(file: str) -> TextIO:
    if file == "-":
        return sys.stdin
    try:
        return Path(file).open(encoding="utf-8", errors="surrogateescape")
    except OSError as problem:
        typer.echo(f"cannot read {file}: {problem.strerror}", err=True)
        raise typer.Exit(2) from None


def _events(stream: TextIO) -> Iterator[tuple[int, Any]]:
    """(line number, event); in place of an event a sentence that says why there is none. An array counts its items."""
    lines = ((number, line) for number, line in enumerate(stream, start=1) if line.strip())
    first = next(lines, None)
    if first is None:
        return
    if first[1].lstrip().startswith("["):
        events = _parsed(first[1] + "".join(line for _, line in lines))
        yield from enumerate(events, start=1) if isinstance(events, list) else [(first[0], events)]
        return
    for number, line in chain([first], lines):
        yield number, _parsed(line)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        return f"not JSON: {problem}"


def _progress(published: int, *, last: bool = False) -> None:
    if sys.stderr.isatty():
        if last or published % 100 == 0:
            typer.echo(f"\r{published} events", err=True, nl=last)
    elif published % PROGRESS_EVERY == 0 and not last:
        typer.echo(f"{published} events", err=True)
