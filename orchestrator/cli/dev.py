"""`orchestrator dev`: the whole product in one process, empty and persistent, for building on."""

from __future__ import annotations

import asyncio
import logging
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.errors import JourneysInvalid
from orchestrator.settings import Settings, load

#: Seconds between looks at the journeys' folder.
LOOK = 1.0


def dev(
    port: Annotated[int | None, typer.Option(help="Port of the gateway; 0 takes a free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that keeps everything; removing it starts afresh.")] = None,
    journeys: Annotated[Path | None, typer.Option(help="Folder of journeys; a saved change goes into force.")] = None,
) -> None:
    """Run everything in this process, on a Redis of its own. Needs no Kafka, Redis or Docker."""
    given: dict[str, Any] = {name: value for name, value in (("data", data), ("journeys", journeys)) if value}
    settings = load(**given)
    if port is not None:
        settings = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"port": port})})
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from orchestrator.runtime.clock import WallClock
    from orchestrator.runtime.collector import calm
    from orchestrator.runtime.embedded import Embedded
    from orchestrator.runtime.signals import stop_on_signals

    settings, key = prepared(settings)
    stop = stop_on_signals()
    async with Embedded(settings, WallClock()) as embedded:
        program, _ = await embedded.publish_journeys(settings.journeys)
        typer.echo(f"listening on {embedded.url}")
        typer.echo(f"API key      {key}")
        typer.echo(f"data         {settings.data.absolute()}")
        typer.echo(f"journeys     {', '.join(sorted(program.journeys)) or 'none'} (from {settings.journeys}/)")
        typer.echo(f"channels     {', '.join(sorted(settings.channels))}")
        typer.echo("publish an event:", err=True)
        typer.echo(
            f"  curl {embedded.url}/v1/events -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' "
            """-d '{"id": "e-1", "type": "purchase", "time": "2026-03-01T09:30:00Z", "customer": "c-1", """
            """"data": {"order_id": "o-1", "products": [{"name": "Coffee", "category": "coffee", "price": 9.5}]}}'""",
            err=True,
        )
        calm()
        watching = asyncio.create_task(_watch(embedded, settings.journeys, stop))
        try:
            await embedded.serve(stop)
        finally:
            stop.set()
            await watching
    typer.echo(f"stopped; everything is kept in {settings.data}", err=True)


def prepared(settings: Settings) -> tuple[Settings, str]:
    """Settings with what a first start makes up: secrets, kept in the data folder, and the console as provider.

    Returns the API key's text too.
    """
    from orchestrator.runtime.api_keys import digest
    from orchestrator.settings import ApiKey

    update: dict[str, Any] = {}
    key = _kept(settings.data / "api-key", "ok_")
    keys = [*settings.gateway.keys, ApiKey(name="dev", sha256=digest(key))]
    update["gateway"] = settings.gateway.model_copy(update={"keys": keys})
    if "seed" not in settings.model_fields_set:
        from pydantic import SecretStr

        update["seed"] = SecretStr(_kept(settings.data / "seed", ""))
    if not settings.channels:
        update["channels"] = {"console": {}, "console_sms": {}, "console_push": {}}
    return settings.model_copy(update=update), key


def _kept(file: Path, prefix: str) -> str:
    """A random secret that stays the same from start to start; only this user can read the file."""
    if file.exists():
        return file.read_text(encoding="utf-8").strip()
    file.parent.mkdir(parents=True, exist_ok=True)
    secret = prefix + secrets.token_urlsafe(32)
    file.touch(mode=0o600)
    file.write_text(secret + "\n", encoding="utf-8")
    return secret


async def _watch(embedded: Any, folder: Path, stop: asyncio.Event) -> None:
    """Put saved changes into force; a fault is told and the version before stays."""
    told = ""
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), LOOK)
            return
        except TimeoutError:
            pass
        try:
            program, changed = await embedded.publish_journeys(folder)
            told = ""
            if changed:
                typer.echo(f"journeys in force: {', '.join(sorted(program.journeys)) or 'none'} ({program.version})")
        except JourneysInvalid as error:
            if str(error) != told:
                told = str(error)
                typer.echo(f"{told}\nthe journeys before these stay in force", err=True)
