"""`orchestrator journeys list`: what there is, in one table."""

from __future__ import annotations

from rich.table import Table

from orchestrator.cli.journeys.common import FolderArgument, Json, folder_of, hint, out, print_json, program_of
from orchestrator.language.explain import trigger_words

_COLOURS = {"live": "green", "draft": "yellow", "draining": "blue", "stopped": "red"}


def list_(folder: FolderArgument = None, as_json: Json = False) -> None:
    """Every journey: status, priority, owner, what starts it, version."""
    program = program_of(folder_of(folder))
    journeys = sorted(program.journeys.values(), key=lambda one: (-one.priority, one.slug))
    if as_json:
        print_json(
            [
                {
                    "journey": one.slug,
                    "name": one.name,
                    "status": one.status,
                    "priority": one.priority,
                    "owner": one.owner,
                    "trigger": trigger_words(one),
                    "purpose": one.purpose,
                    "version": one.version,
                }
                for one in journeys
            ]
        )
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("journey", "status", "priority", "owner", "starts", "version", "name"):
        table.add_column(column, justify="right" if column == "priority" else "left", no_wrap=True)
    for one in journeys:
        status = f"[{_COLOURS[one.status]}]{one.status}[/]"
        table.add_row(one.slug, status, str(one.priority), one.owner, trigger_words(one), one.version, one.name)
    out.print(table)
    if journeys:
        hint(f"orchestrator journeys explain {journeys[0].slug}")
    else:
        hint("orchestrator journeys new my_first_journey")
