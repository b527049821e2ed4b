"""`orchestrator journeys replay`: who would have been written to, had these journeys run on what was recorded."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from orchestrator.cli.journeys.common import Folder, Json, err, fail, folder_of, hint, out, print_json, program_of
from orchestrator.contracts.records import Event
from orchestrator.runtime.recorded_log import recorded
from orchestrator.settings import load
from orchestrator.testing.history import History, difference, read_history, replay_history


def replay(
    events: Annotated[
        str, typer.Option("--events", help="Recorded events as JSON lines; - reads standard input.")
    ] = "",
    from_topic: Annotated[bool, typer.Option("--from-topic", help="What the log in Kafka holds.")] = False,
    folder: Folder = None,
    diff: Annotated[Path | None, typer.Option("--diff", help="Compare with the journeys of this other folder.")] = None,
    days_after: Annotated[float, typer.Option(min=0, help="Days to go on after the last event.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Other seeds give other draws and holdouts.")] = 1,
    as_json: Json = False,
) -> None:
    """Replay recorded events in virtual time: who gets what, when, on which channel, and what it costs.

    Nobody is written to. Nobody answers but where the recorded events say so.
    """
    if bool(events) == from_topic:
        fail("replay what?", "name the recorded events: --events FILE, or --from-topic")
    where = folder_of(folder)
    program = program_of(where)
    other = program_of(diff) if diff is not None else None
    read: list[Event | str] | None = None
    if from_topic:
        read = [*asyncio.run(recorded(load()))]
    elif other is not None:
        read = list(_events(events))
    report = replay_history(
        program, read if read is not None else _events(events), seed=seed, days_after=days_after, progress=_progress
    )
    if other is None:
        print_json(report.plain()) if as_json else _say(report)
    else:
        before = replay_history(other, read or [], seed=seed, days_after=days_after, progress=_progress)
        told = difference(before, report)
        print_json(told) if as_json else _say_difference(told, str(diff), str(where))
    if not as_json:
        if other is None:
            hint("orchestrator journeys replay --diff OTHER_DIR …", "compare with what is live, in people")
        hint("orchestrator journeys publish")
    if not report.events:
        raise typer.Exit(1)


def _events(file: str) -> Iterator[Event | str]:
    with _opened(file) as lines:
        yield from read_history(lines, file)


@contextmanager
def _opened(file: str) -> Iterator[Iterable[bytes]]:
    if file == "-":
        yield sys.stdin.buffer
        return
    if not Path(file).is_file():
        fail(f"cannot read {file}", "name a file of events, one JSON object a line")
    with Path(file).open("rb") as stream:
        yield stream


def _progress(events: int) -> None:
    if err.is_terminal:
        err.print(f"{events:,} events", end="\r")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _say(report: History) -> None:
    out.print(
        f"{report.events:,} events of {report.customers:,} customers, {report.first} to {report.last}"
        + (f"; {report.refused:,} lines refused" if report.refused else "")
    )
    for fault in report.faults:
        err.print(fault, style="yellow", markup=False)
    sms = report.by_channel.get("sms", {}).get("messages", 0)
    out.print(
        f"[bold]would have written to {report.people:,} customers, {report.messages:,} messages"
        f" ({sms:,} by SMS), cost {report.cost:,.2f} {report.currency}[/]"
    )
    table = _table("journey", "entered", "people", "messages", "cost")
    for slug, row in report.journeys.items():
        table.add_row(slug, f"{row['entered']:,}", f"{row['people']:,}", f"{row['messages']:,}", f"{row['cost']:,.2f}")
    out.print(table)
    table = _table("channel", "messages", "cost")
    for channel, row in report.by_channel.items():
        table.add_row(channel, f"{row['messages']:,}", f"{row['cost']:,.2f}")
    out.print(table)
    table = _table("step", "message", "channel", "messages")
    for row in report.by_step:
        table.add_row(f"{row['journey']} {row['step']}", row["message"], row["channel"], f"{row['messages']:,}")
    out.print(table)
    channels = list(report.by_channel)
    days = list(report.by_day)
    table = _table("day", *channels)
    for day in days[-14:]:
        table.add_row(day, *(f"{report.by_day[day].get(channel, 0):,}" for channel in channels))
    out.print(table)
    if len(days) > 14:
        out.print(f"… and {len(days) - 14} days before; --json shows all", style="dim")
    table = _table("not sent because", "times")
    for reason, times in report.suppressed.items():
        table.add_row(reason.replace("_", " "), f"{times:,}")
    for slug, reasons in report.not_entered.items():
        for reason, times in reasons.items():
            table.add_row(f"not entered: {slug}, {reason}", f"{times:,}")
    out.print(table)


def _say_difference(told: dict[str, Any], before: str, after: str) -> None:
    people, messages, cost = told["people"], told["messages"], told["cost"]
    out.print(f"before: {before}   after: {after}", style="dim")
    out.print(
        f"[bold]{people['before']:,} → {people['after']:,} customers[/]:"
        f" {people['only_after']:,} would hear from us who did not, {people['only_before']:,} no more"
    )
    out.print(f"{messages['before']:,} → {messages['after']:,} messages")
    out.print(f"cost {cost['before']:,.2f} → {cost['after']:,.2f} {cost['currency']}")
    table = _table("journey", "only before", "only after", "something else", "the same")
    for slug, row in told["journeys"].items():
        table.add_row(
            slug,
            f"{row['only_before']:,}",
            f"{row['only_after']:,}",
            f"{row['both_but_different']:,}",
            f"{row['both_the_same']:,}",
        )
    out.print(table)
