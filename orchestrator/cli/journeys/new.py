"""`orchestrator journeys new`: a journey of one's own, begun from one that works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.journeys.common import Folder, Json, fail, folder_of, hint, out, print_json
from orchestrator.cli.schemas import published
from orchestrator.language.findings import unknown
from orchestrator.language.journeys import compile_program
from orchestrator.language.model import NAME
from orchestrator.language.policy import FILE as POLICY
from orchestrator.language.program import Journey, Program, Send
from orchestrator.language.stages import SEGMENTS_FILE, STAGES_FILE
from orchestrator.runtime.examples import shipped_journeys
from orchestrator.runtime.journey_files import read_journeys


def new(
    name: Annotated[str | None, typer.Argument(help="The new journey's name, in snake_case.")] = None,
    example: Annotated[str, typer.Option("--from", help="The example to begin with; --list shows them.")] = "",
    folder: Folder = None,
    show: Annotated[bool, typer.Option("--list", help="Show the examples.")] = False,
    as_json: Json = False,
) -> None:
    """Begin a journey from an example: its file as a draft, its messages and its scenarios.

    Nothing that exists is overwritten.
    """
    source = shipped_journeys()
    files = read_journeys(source)
    program = compile_program(files)
    if show or name is None:
        _list(program, as_json)
        if not show:
            raise typer.Exit(2)
        return
    slug = name.removesuffix(".yaml")
    if not NAME.fullmatch(slug):
        fail(f"'{slug}' is not a journey's name", "write it in snake_case: winter_sale_follow_up")
    origin = example or next(iter(sorted(program.journeys)))
    if origin not in program.journeys:
        fail(unknown("example", origin, program.journeys), "orchestrator journeys new --list")
    where = folder_of(folder)
    if (where / f"{slug}.yaml").exists():
        fail(f"{where / slug}.yaml exists already", "choose another name", code=1)
    written = _write(where, slug, origin, files, program, source)
    if as_json:
        print_json({"journey": slug, "from": origin, "files": [path.as_posix() for path in written]})
        return
    for path in written:
        out.print(f"wrote {path.as_posix()}")
    at = f" --dir {folder}" if folder else ""
    hint(
        f"edit {where / slug}.yaml, then: orchestrator journeys check{at}",
        "it is a draft until you write 'status: live'",
    )


def _list(program: Program, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"example": one.slug, "name": one.name, "messages": sorted(_messages(one))}
                for one in program.journeys.values()
            ]
        )
        return
    for one in program.journeys.values():
        out.print(f"{one.slug:28} {one.name}")
    hint("orchestrator journeys new my_journey --from " + next(iter(sorted(program.journeys)), "EXAMPLE"))


def _messages(journey: Journey) -> set[str]:
    return {name for step in journey.steps if isinstance(step, Send) for name in step.messages}


def _write(where: Path, slug: str, origin: str, files: dict[str, str], program: Program, source: Path) -> list[Path]:
    """The journey, its messages where they are not there yet, its scenarios, and a policy where there is none."""
    written: list[Path] = []

    def put(name: str, text: str) -> None:
        path = where.parent / name.removeprefix("../") if name.startswith("../") else where / name
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)

    put(f"{slug}.yaml", _draft(files[f"{origin}.yaml"], slug))
    wanted = _messages(program.journeys[origin])
    for name, text in sorted(files.items()):
        if name.startswith("messages/") and Path(name).name.partition(".")[0] in wanted:
            put(name, text)
    scenarios = source / f"{origin}.scenario.yaml"
    if scenarios.exists():
        put(f"{slug}.scenario.yaml", scenarios.read_text(encoding="utf-8"))
    put(POLICY, files.get(POLICY, ""))
    for extra in (STAGES_FILE, SEGMENTS_FILE):
        if extra in files and _needs(program.journeys[origin], extra):
            put(extra, files[extra])
    # Editors find the schemas where the comment on top of each file says.
    for schema, text in published().items():
        if schema.partition(".")[0] in ("journey", "scenario", "policy", "message", "stages", "segments"):
            put(f"../schemas/{schema}", text)
    return written


def _needs(journey: Journey, extra: str) -> bool:
    """Whether the journey lives on stages or segments."""
    words = ("stage",) if extra == STAGES_FILE else ("segment",)
    return any(word in repr(journey) for word in words)


def _draft(text: str, slug: str) -> str:
    """The example as a draft of another name. Editors find the schema by the comment on top where it is there."""
    text = re.sub(r"^status: .*$", "status: draft", text, count=1, flags=re.MULTILINE)
    title = slug.replace("_", " ").capitalize()
    return re.sub(r"^name: .*$", f"name: {title}", text, count=1, flags=re.MULTILINE)
