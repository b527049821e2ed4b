"""`orchestrator journeys move`: bring runs from one version of a journey to another, on purpose and rehearsed."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from orchestrator.cli.journeys.common import Json, err, fail, hint, out, print_json
from orchestrator.language.moving import Plan
from orchestrator.runtime.moving import Mover, Rehearsal
from orchestrator.settings import Settings, load


def move(
    journey: Annotated[str, typer.Argument(help="The journey: its file's name.")],
    old: Annotated[str, typer.Option("--from", help="The version whose runs are moved.")] = "",
    new: Annotated[str, typer.Option("--to", help="The version they go on in; the one in force when left away.")] = "",
    wishes: Annotated[
        list[str] | None,
        typer.Option("--map", help="What a step becomes: 'steps[2]=steps[3]'. May stand several times."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show plan and rehearsal, move nobody.")] = False,
    as_json: Json = False,
) -> None:
    """Move runs between versions: a plan with counts per step, a rehearsal on copies, then one record in the log.

    Refuses to strand anyone: every step somebody stands at needs its step in the new version. Exit code 1 then.
    """
    slug = Path(journey).name.removesuffix(".yaml")
    asyncio.run(_move(load(), slug, old, new, _wishes(wishes or []), yes=yes, dry_run=dry_run, as_json=as_json))


async def _move(
    settings: Settings,
    slug: str,
    old: str,
    new: str,
    wishes: dict[str, str],
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    from orchestrator.runtime.catalogue import Catalogue
    from orchestrator.runtime.clock import WallClock
    from orchestrator.runtime.kafka_log import KafkaLog
    from orchestrator.stores.client import connect

    client = connect(settings.redis)
    try:
        catalogue = Catalogue(client, settings.seed.get_secret_value().encode())
        mover = Mover(client, catalogue, settings.topics.partitions)
        if not old:
            await _show_versions(mover, slug, as_json)
            return
        new = new or list(await mover.versions(slug))[-1]
        plan = await mover.plan(slug, old, new, wishes)
        rehearsal = None if plan.stranded else await mover.rehearse(plan.move)
        possible = rehearsal is not None and not rehearsal.faults
        if as_json:
            print_json(_plain(plan, rehearsal, moved=possible and not dry_run))
        else:
            _say(plan, rehearsal)
        if not possible:
            if not as_json:
                err.print("nobody was moved", style="red")
            raise typer.Exit(1)
        if dry_run:
            return
        if not yes and not _agreed(rehearsal):
            raise typer.Exit(1)
        log = KafkaLog(settings.kafka)
        try:
            await mover.execute(log, settings.topics.events, plan.move, WallClock())
        finally:
            await log.close()
        if not as_json:
            out.print(f"moved to {new}: each run goes on there when its customer is next looked at")
    finally:
        await client.aclose()


async def _show_versions(mover: Mover, slug: str, as_json: bool) -> None:
    versions, standing = await mover.versions(slug), await mover.standing(slug)
    rows = [
        {"version": version, "runs": sum(standing.get(version, {}).values()), "in_force": version == list(versions)[-1]}
        for version in versions
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        out.print(f"{row['version']}  {row['runs']:>8,} runs{'  in force' if row['in_force'] else ''}")
    hint(f"orchestrator journeys move {slug} --from {rows[0]['version']} --dry-run")


def _agreed(rehearsal: Rehearsal | None) -> bool:
    count = rehearsal.moved if rehearsal else 0
    if not sys.stdin.isatty():
        fail("nobody can answer the question here", "look at the plan, then move with --yes", code=1)
    return typer.confirm(f"Move {count:,} runs?", default=False, err=True)


def _say(plan: Plan, rehearsal: Rehearsal | None) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("step", "runs", "becomes"):
        table.add_column(column, no_wrap=True, justify="right" if column == "runs" else "left")
    for row in plan.rows:
        table.add_row(row.step, f"{row.runs:,}", row.becomes or f"[red]nothing: {escape(row.why)}[/]")
    out.print(table)
    if plan.stranded:
        first = plan.stranded[0].step
        err.print(f"    to fix it: say what they become: --map '{first}=steps[…]'")
    elif rehearsal is not None:
        out.print(f"rehearsed on copies: {rehearsal.moved:,} runs moved")
        for name, times in rehearsal.faults.items():
            err.print(f"in the rehearsal: {name} ({times})", style="red")


def _plain(plan: Plan, rehearsal: Rehearsal | None, *, moved: bool) -> dict[str, object]:
    return {
        "from": plan.move.old,
        "to": plan.move.new,
        "steps": [asdict(row) for row in plan.rows],
        "stranded": sum(row.runs for row in plan.stranded),
        "rehearsed": rehearsal.moved if rehearsal else 0,
        "faults": dict(rehearsal.faults) if rehearsal else {},
        "moved": moved,
    }


def _wishes(given: list[str]) -> dict[str, str]:
    wishes = {}
    for text in given:
        old, equals, new = text.partition("=")
        if not equals:
            fail(f"'{text}' says not what a step becomes", "write --map 'steps[2]=steps[3]'")
        wishes[old.strip()] = new.strip()
    return wishes
