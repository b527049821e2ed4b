"""A send that certainly did not go out looks for another channel, until it expires.

The run has gone on meanwhile (its step ended when the message was handed over), so the search is a small run of its own
beside it: the same step, the channels that failed left out, another send id derived from the one that failed.
"""

from __future__ import annotations

from orchestrator.contracts.records import Event
from orchestrator.engine.context import Turn
from orchestrator.engine.sending import do_send
from orchestrator.engine.state import FAILED, RESENDS, Held, OpenSend, Run
from orchestrator.language.program import Journey, Send


def failing(turn: Turn, event: Event) -> OpenSend | None:
    """The send that this event fails for the first time, if it does."""
    if event.type != "message_failed" or event.data.get("reason") == "withdrawn":
        return None
    send_id = event.data.get("send_id")
    found = next((sent for sent in turn.customer.open_sends if sent.send_id == send_id), None)
    return found if found is not None and found.rank != FAILED and not found.answered else None


def send_anew(turn: Turn, failed: OpenSend) -> None:
    """Begin the search for another channel, unless the step names its channel, or the run was left for a reason."""
    customer = turn.customer
    run = _owner(turn, failed)
    journey = turn.context.by_version.get(run.version) if run is not None else None
    if run is None or journey is None or failed.until <= turn.at:
        return
    position = next(
        (index for index, one in enumerate(journey.steps) if one.path == failed.step and isinstance(one, Send)), -1
    )
    step = journey.steps[position] if position >= 0 else None
    if (
        not isinstance(step, Send)
        or step.channels == ("same",)
        or (len(step.channels) == 1 and step.channels[0] not in ("auto", "other"))
    ):
        return
    again = Run(
        id=run.id,
        journey=run.journey,
        version=run.version,
        entered=run.entered,
        position=position,
        bound=run.bound,
        came=dict(run.came),
        first_send=run.first_send,
        sends=list(run.sends),
        held=Held(failed.until, "failed"),
        arms=dict(run.arms),
        again=failed.send_id,
        tried=[*failed.tried, failed.channel],
    )
    customer.resends.append(again)
    del customer.resends[:-RESENDS]
    turn.result.count(f"sent_anew:{run.journey}:{failed.channel}")
    try_again(turn, journey, again)


def try_again(turn: Turn, journey: Journey, again: Run) -> None:
    """One attempt of the search; it stays in the document while quiet hours or a cap hold it."""
    step = journey.steps[again.position]
    assert isinstance(step, Send)
    before = len(again.sends)
    again.waiting, again.due = "", 0
    if not do_send(turn, journey, again, step):
        return
    turn.customer.resends = [one for one in turn.customer.resends if one is not again]
    run = next((one for one in (*turn.customer.runs, *turn.customer.past) if one.id == again.id), None)
    if run is not None and len(again.sends) > before:
        run.sends.append(again.sends[-1])


def _owner(turn: Turn, failed: OpenSend) -> Run | None:
    """The run the send belongs to: alive, or ended by coming to its end."""
    for run in turn.customer.runs:
        if run.id == failed.run_id:
            return run
    return next((run for run in turn.customer.past if run.id == failed.run_id and run.outcome == "finished"), None)
