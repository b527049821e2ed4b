"""`orchestrator journeys simulate`: one invented customer through virtual time, every decision with its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.markup import escape

from orchestrator.cli.journeys.common import (
    Folder,
    Json,
    fail,
    folder_of,
    hint,
    journey_of,
    out,
    print_json,
    program_of,
)
from orchestrator.engine.decision import Decision
from orchestrator.errors import BadEvent
from orchestrator.language.lint.checked import span
from orchestrator.language.program import Absence, Journey
from orchestrator.runtime.journey_files import read_journeys
from orchestrator.testing.invented import introduction, story
from orchestrator.testing.scenarios import told
from orchestrator.testing.simulation import Send, Simulation

CUSTOMER = "ada"
#: When the event that starts the journey comes, unless somebody says otherwise: a Monday, in the morning.
START = "2026-03-02 10:00"


def simulate(
    journey: Annotated[str, typer.Argument(help="The journey: its file's name.")],
    folder: Folder = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--with", help="A fact: product.price=60, customer.country=PL. May stand several times."),
    ] = None,
    channels: Annotated[str, typer.Option(help="The channels she can be reached on.")] = "email,sms,push",
    answers: Annotated[str, typer.Option(help="The channel whose messages she clicks; none when left away.")] = "",
    reply: Annotated[str, typer.Option(help="She answers the first message with this text.")] = "",
    buys_after: Annotated[int | None, typer.Option(help="She buys again this many days after it starts.")] = None,
    days: Annotated[int, typer.Option(min=1, help="How long to watch.")] = 90,
    start: Annotated[str, typer.Option(help="When the journey starts, in her own time.")] = START,
    zone: Annotated[str, typer.Option(help="Her time zone; the policy's when left away.")] = "",
    seed: Annotated[int, typer.Option(help="Other seeds give other draws.")] = 1,
    all_journeys: Annotated[bool, typer.Option("--all", help="Let the other journeys of the folder run too.")] = False,
    as_json: Json = False,
) -> None:
    """Watch one invented customer go through a journey: what happens when, and why."""
    where = folder_of(folder)
    program = program_of(where)
    wanted = journey_of(program, journey)
    lives = _zone(zone or program.policy.time_zone)
    at = _moment(start, lives)
    # Whoever is watched is in no holdout: there would be nothing to see.
    shown = replace(wanted, holdout=0.0, status="live")
    journeys = {**(program.journeys if all_journeys else {}), wanted.slug: shown}
    sim = Simulation(replace(program, journeys=journeys, policy=replace(program.policy, holdout=0.0)), seed=seed)
    facts = _facts(given or [])
    attributes, events = story(wanted, read_journeys(where)[f"{wanted.slug}.yaml"], CUSTOMER, at, facts)
    begin = min(event["time"] for event in events) - timedelta(minutes=1)
    reachable = [name.strip() for name in channels.split(",") if name.strip()]
    watch = _Watch(sim, answers, reply)
    try:
        sim.publish(introduction(CUSTOMER, begin, channels=reachable, zone=zone, attributes=attributes))
        for event in events:
            watch.publish(event)
        if buys_after is not None:
            again = {**events[-1], "id": "invented-again", "type": "purchase", "time": at + timedelta(days=buys_after)}
            again["data"] = {**again["data"], "order_id": "o-again"}
            watch.until(again["time"])
            watch.publish(again)
        watch.until(at + timedelta(days=days))
    except BadEvent as error:
        fail(f"the invented event is not valid: {error}", "state its facts: --with product.price=60")
    entered = any(one.kind == "entered" and one.journey == wanted.slug for one in sim.decisions)
    if as_json:
        print_json([_plain(one, lives) for one in sim.decisions])
    else:
        _say(sim, events, lives)
        if not entered:
            _why_outside(sim, wanted)
        elif (run := sim.customer(CUSTOMER).live_run(wanted.slug)) is not None:
            step = wanted.steps[run.position].path if run.position < len(wanted.steps) else "the end"
            out.print(f"after {days} days she is still inside, at {step}", style="dim")
        scenarios = where / f"{wanted.slug}.scenario.yaml"
        test = f"orchestrator journeys test {wanted.slug}"
        hint(test if scenarios.exists() else f"write {scenarios}, then: {test}")
    if not entered:
        raise typer.Exit(1)


class _Watch:
    """Lets time pass and answers as she would."""

    def __init__(self, sim: Simulation, answers: str, reply: str) -> None:
        self._sim = sim
        self._answers = answers
        self._reply = reply

    def publish(self, event: dict[str, Any]) -> None:
        self._react(self._sim.publish(event))

    def until(self, moment: datetime) -> None:
        while moment > self._sim.now:
            # Hour by hour, so that an answer comes before what is due after it.
            self._react(self._sim.advance(min(moment, self._sim.now + timedelta(hours=1))))

    def _react(self, sends: list[Send]) -> None:
        for send in sends:
            if send.channel == self._answers:
                self._answer("message_clicked", send, {"send_id": send.send_id})
            elif self._reply:
                text, self._reply = self._reply, ""
                self._answer("reply", send, {"in_reply_to": send.send_id, "text": text})

    def _answer(self, kind: str, send: Send, data: dict[str, Any]) -> None:
        self._react(
            self._sim.publish(
                {
                    "type": kind,
                    "customer": CUSTOMER,
                    "time": send.at + timedelta(hours=1),
                    "data": {"channel": send.channel, **data},
                }
            )
        )


def _say(sim: Simulation, events: list[dict[str, Any]], zone: ZoneInfo) -> None:
    out.print("An invented customer; times are her own.", style="dim")
    first = sim.decisions[0].at if sim.decisions else 0
    for event in events:
        out.print(f"{event['time'].astimezone(zone):%a %Y-%m-%d %H:%M}  [dim]event[/] {event['type']}")
    for one in sim.decisions:
        at = datetime.fromtimestamp(one.at / 1000, UTC).astimezone(zone)
        text = told(one, zone).partition("  ")[2]
        passed = f"[dim]+{span(one.at - first)}[/]"
        out.print(f"{at:%a %Y-%m-%d %H:%M}  [{_COLOURS.get(one.kind, 'white')}]{escape(text)}[/]  {passed}")
        for reason in one.reasons():
            out.print(f"                      {escape(reason)}", style="dim")


_COLOURS = {"sent": "green", "entered": "bold", "ended": "bold", "held": "yellow", "skipped": "red"}


def _why_outside(sim: Simulation, wanted: Journey) -> None:
    """Say why the invented customer stayed outside, and what would bring her in."""
    said = {
        "audience": "the audience does not fit her",
        "reentry": "the re-entry rule says no",
        "inside": "she is inside already",
    }
    reasons = [name.rpartition(":")[2] for name in sorted(sim.counts) if name.startswith(f"ignored:{wanted.slug}:")]
    trigger = wanted.trigger
    if isinstance(trigger, Absence) and trigger.event == "response":
        out.print(
            "she did not enter: it starts when several messages stay unanswered, which one invented customer does not"
            f" show. Its scenarios do: orchestrator journeys test {wanted.slug} --verbose"
        )
        return
    why = said.get(reasons[0], reasons[0]) if reasons else "the invented event does not fit the trigger"
    out.print(f"she did not enter: {why}. State what should hold: --with customer.country=PL --with product.price=60")


def _plain(one: Decision, zone: ZoneInfo) -> dict[str, Any]:
    at = datetime.fromtimestamp(one.at / 1000, UTC)
    return {
        "at": at.isoformat(), "local": at.astimezone(zone).isoformat(), "kind": one.kind, "journey": one.journey,
        "step": one.step, "message": one.message, "channel": one.channel, "reason": one.reason,
        "reasons": one.reasons(), "propensity": one.propensity,
    }  # fmt: skip


def _facts(given: list[str]) -> dict[str, Any]:
    from orchestrator.language.load import load

    facts: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            fail(f"'{text}' is not a fact", "write --with product.price=60")
        facts[name.strip()] = load("--with", value).data
    return facts


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        fail(f"'{name}' is not a time zone", "write --zone Europe/Warsaw")


def _moment(text: str, zone: ZoneInfo) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"'{text}' is not a time", f"write --start '{START}'")
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
