"""`orchestrator report [JOURNEY]` and `orchestrator policy evaluate`: what the decision records say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from orchestrator.engine.decision import Decision
from orchestrator.language.durations import parse_duration
from orchestrator.language.program import Policy
from orchestrator.runtime.clock import WallClock
from orchestrator.settings import Settings, load

app = typer.Typer(no_args_is_help=True, help="Policies of choice.")

File = Annotated[
    str,
    typer.Option("--decisions", "--events", help="Records as JSON lines, - for standard input; else the log itself."),
]


@app.callback()
def group() -> None:
    """Policies of choice."""


def report(
    journey: Annotated[str, typer.Argument(help="One journey; all of them when left away.")] = "",
    decisions: File = "",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """What was sent, what came of it, and what of that is the messages' doing, by the holdouts.

    Reads the decisions log for as long as it reaches back. Exit codes: 0 fine, 2 usage, 3 the log does not answer.
    """
    from orchestrator.reporting.report import report as make
    from orchestrator.reporting.show import lines_of

    settings = load()
    policy = _policy(settings)
    made = make(
        _records(settings, decisions),
        WallClock().now(),
        journey=journey,
        margin=policy.margin,
        currency=policy.currency,
    )
    if journey and not any(one.treated.exposed + one.treated.waiting + one.held_out.exposed for one in made.journeys):
        typer.echo(f"no would-be send of '{journey}' is in the log", err=True)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(made), indent=2))
    else:
        for line in lines_of(made):
            typer.echo(line)


@app.command(name="evaluate")
def evaluate(
    policy: Annotated[str, typer.Option(help="The policy in question, as `choice:` names it: auto, fixed:sms …")],
    decisions: File = "",
    window: Annotated[str, typer.Option(help="Answers are waited for so long.")] = "7d",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """What would another policy of choice have brought, by the decisions of the one that ran?

    Exit codes: 0 valued, 1 the log cannot tell, 2 usage, 3 the log does not answer.
    """
    from orchestrator.learning.policies import make_policy
    from orchestrator.reporting.show import verdict_lines
    from orchestrator.reporting.what_if import what_if
    from orchestrator.runtime.choice_policies import policy_makers

    settings = load()
    rules = _policy(settings)
    try:
        asked = make_policy(policy, policy_makers())
        waited = parse_duration(window)
    except ValueError as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(2) from None
    verdict = what_if(
        _records(settings, decisions),
        policy,
        asked,
        WallClock().now(),
        seed=settings.seed.get_secret_value().encode(),
        exploration=rules.exploration,
        window=waited,
    )
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(verdict), indent=2))
    else:
        for line in verdict_lines(verdict, policy, rules.currency):
            typer.echo(line)
    if verdict.refused:
        raise typer.Exit(1)


def _policy(settings: Settings) -> Policy:
    """The organisation's policy, for margin and currency; the usual one where there is no journey folder."""
    from orchestrator.runtime.journey_files import load_program

    folder: Path = settings.journeys
    return load_program(folder).policy if folder.is_dir() else Policy(channels={})


def _records(settings: Settings, file: str) -> Iterable[Decision]:
    from orchestrator.runtime.decision_log import read_file, read_log

    return read_file(file) if file else asyncio.run(read_log(settings))
