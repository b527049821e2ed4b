"""`orchestrator journeys preview`: one message on every channel, as one customer would get it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.panel import Panel

from orchestrator.cli.journeys.common import Folder, Json, fail, folder_of, hint, out, print_json, program_of
from orchestrator.content.previews import Preview, previews
from orchestrator.language.findings import unknown
from orchestrator.language.load import load
from orchestrator.language.program import Program, Send
from orchestrator.testing.invented import PRODUCT

#: Invented customers to look at a message with.
CUSTOMERS: dict[str, dict[str, Any]] = {
    "regular": {
        "customer": {"first_name": "Ada", "orders": 4, "revenue": 80.5},
        "product": dict(PRODUCT),
        "order": {"id": "o-1", "revenue": 9.5},
        "run": {"id": "run-1", "entered": 0},
    },
    "stranger": {"customer": {}, "product": {"name": PRODUCT["name"]}, "run": {"id": "run-1", "entered": 0}},
}


def preview(
    message: Annotated[str, typer.Argument(help="The message: its file's name.")],
    folder: Folder = None,
    customer: Annotated[
        str, typer.Option(help="regular, stranger (nothing is known of her), or a JSON file of facts.")
    ] = "regular",
    given: Annotated[list[str] | None, typer.Option("--with", help="A fact: product.name=Tea, code=SHIPFREE.")] = None,
    locale: Annotated[str, typer.Option(help="Her language: de, pt-BR.")] = "",
    save: Annotated[Path | None, typer.Option("--save", help="Write <message>.<channel>.html and .txt there.")] = None,
    as_json: Json = False,
) -> None:
    """Show a message on every channel: text, parts of the SMS, what a phone cuts. Exit code 1 when one fails."""
    program = program_of(folder_of(folder))
    name = Path(message).name.removesuffix(".md").partition(".")[0]
    template = program.messages.get(name)
    if template is None:
        fail(unknown("message", name, program.messages), "orchestrator journeys list")
    facts = _facts(customer)
    facts.update(_literals(program, name))
    for text in given or []:
        _put(facts, text)
    shown = previews(template, facts, purpose=_purpose(program, name), locale=locale)
    if save is not None:
        _save(save, name, shown)
    if as_json:
        print_json([_plain(one) for one in shown])
    else:
        for one in shown:
            _say(one)
        hint(f"orchestrator journeys preview {name} --customer stranger", "does it hold when nothing is known of her?")
    if any(one.failure for one in shown):
        raise typer.Exit(1)


def _facts(customer: str) -> dict[str, Any]:
    if customer in CUSTOMERS:
        found: dict[str, Any] = json.loads(json.dumps(CUSTOMERS[customer]))
        return found
    try:
        data = json.loads(Path(customer).read_text(encoding="utf-8"))
    except OSError:
        fail(unknown("customer", customer, CUSTOMERS), "name a JSON file, or one of: regular, stranger")
    except ValueError as error:
        fail(f"{customer} is not JSON: {error}")
    if not isinstance(data, dict):
        fail(f"{customer} is not a mapping of facts", 'write {"customer": {"first_name": "Ada"}, "product": {…}}')
    return data


def _literals(program: Program, message: str) -> dict[str, object]:
    """What the first send of the message gives it by `with`."""
    for journey in program.journeys.values():
        for step in journey.steps:
            if isinstance(step, Send) and message in step.messages and step.literals:
                return dict(step.literals)
    return {}


def _purpose(program: Program, message: str) -> str:
    uses = {
        journey.purpose
        for journey in program.journeys.values()
        for step in journey.steps
        if isinstance(step, Send) and message in step.messages
    }
    return "service" if uses == {"service"} else "marketing"


def _put(facts: dict[str, Any], text: str) -> None:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        fail(f"'{text}' is not a fact", "write --with product.name=Tea")
    *parents, last = name.strip().split(".")
    into = facts
    for parent in parents:
        into = into.setdefault(parent, {})
    into[last] = load("--with", value).data


def _say(one: Preview) -> None:
    title = f"[bold]{one.channel}[/]  [dim]{escape(one.file)}[/]"
    if one.content is None:
        out.print(
            Panel(
                f"[red]{escape(one.failure)}[/]\nto fix it: {escape(one.fix)}",
                title=title,
                title_align="left",
                width=100,
            ),
            soft_wrap=False,
        )
        return
    content, lines = one.content, []
    if one.channel == "email":
        lines = [f"[bold]{escape(content.subject)}[/]", "", escape(content.text.rstrip())]
    elif one.channel == "push":
        lines = [
            f"[bold]{escape(content.title)}[/]",
            escape(content.text),
            f"[dim]opens {escape(content.link or 'the app')}[/]",
        ]
        lines += [f"[yellow]a phone shows of the {part}: {escape(text)}[/]" for part, text in one.cut.items()]
    else:
        lines = [escape(content.text)]
    if one.sms is not None:
        parts = one.sms
        word = "part" if parts.parts == 1 else "parts"
        because = f", because of {' '.join(parts.foreign)}" if parts.foreign else ""
        colour = "dim" if parts.parts <= 2 else "yellow"
        used = f"{parts.units} of {parts.room} places, {parts.encoding}{escape(because)}"
        lines.append(f"[{colour}]{parts.parts} {word}, {used}[/]")
    out.print(Panel("\n".join(lines), title=title, title_align="left", width=100), soft_wrap=False)


def _save(folder: Path, name: str, shown: list[Preview]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for one in shown:
        if one.content is None:
            continue
        text = "\n".join(part for part in (one.content.subject or one.content.title, one.content.text) if part)
        (folder / f"{name}.{one.channel}.txt").write_text(text.rstrip() + "\n", encoding="utf-8")
        if one.content.html:
            (folder / f"{name}.{one.channel}.html").write_text(one.content.html, encoding="utf-8")


def _plain(one: Preview) -> dict[str, Any]:
    content, sms = one.content, one.sms
    return {
        "channel": one.channel,
        "file": one.file,
        "failure": one.failure,
        "fix": one.fix,
        "subject": content.subject if content else "",
        "title": content.title if content else "",
        "text": content.text if content else "",
        "html": content.html if content else "",
        "link": content.link if content else "",
        "sms": {"encoding": sms.encoding, "parts": sms.parts, "units": sms.units, "room": sms.room} if sms else None,
        "cut": dict(one.cut),
    }
