"""One `send` step: gate, choice, reservation, outbox row. The only place a row is made."""

from __future__ import annotations

from typing import Any

from orchestrator.contracts.messages import ADDRESS_OF_CHANNEL, OutboxRow
from orchestrator.engine.context import Turn
from orchestrator.engine.decision import Decision, Weighed
from orchestrator.engine.guards import channel_policy, held_until, reachable
from orchestrator.engine.scope import customer_value
from orchestrator.engine.state import OPEN_SENDS, RECENT_CONTACTS, Contact, Held, OpenSend, Run
from orchestrator.language.program import Journey, Send
from orchestrator.learning.cells import Cell
from orchestrator.learning.chance import digest, uniform
from orchestrator.learning.choice import Candidate, candidate, choose


def send_id_of(run: Run, send: Send) -> str:
    """Deterministic and opaque: the same run, step and passage always give the same id."""
    return digest(b"send", run.id, send.path, str(run.passed.get(send.path, 0)), size=12).hex()


def do_send(turn: Turn, journey: Journey, run: Run, send: Send) -> bool:
    """Carry the step out. True when the step is over (sent, withheld or skipped), False when it is held."""
    held = run.held
    deadline = held.until if held else turn.at + send.expires
    send_id = send_id_of(run, send)
    decision = _decision(turn, journey, run, send, send_id)
    template = turn.context.program.messages.get(decision.message)
    if template is None:
        return _skip(turn, journey, run, send, decision, "no_message")
    if held and turn.at >= deadline:
        return _skip(turn, journey, run, send, decision, "expired")
    gate = reachable(turn, journey, run, send, template)
    decision.excluded = gate.excluded
    if not gate.channels:
        return _skip(turn, journey, run, send, decision, "no_channel")
    free_at, why = held_until(turn, journey)
    if free_at > turn.at:
        until = min(free_at, deadline)
        if held is None:
            decision.kind, decision.reason, decision.until = "held", why, until
            turn.result.decisions.append(decision)
        run.held = Held(deadline, why)
        run.waiting, run.due = "send", until
        turn.result.count(f"held:{journey.slug}:{why}")
        return False
    _choose(turn, send, decision, gate.channels)
    if not run.first_send:
        run.first_send = turn.at
    if run.silent:
        decision.kind, decision.reason = "withheld", "holdout"
    else:
        _reserve(turn, journey, run, decision)
        turn.result.rows.append(_row(turn, journey, run, send, decision, deadline))
    return _over(turn, journey, run, send, decision)


def _skip(turn: Turn, journey: Journey, run: Run, send: Send, decision: Decision, reason: str) -> bool:
    decision.kind, decision.reason = "skipped", reason
    return _over(turn, journey, run, send, decision)


def _over(turn: Turn, journey: Journey, run: Run, send: Send, decision: Decision) -> bool:
    run.held = None
    run.passed[send.path] = run.passed.get(send.path, 0) + 1
    turn.result.decisions.append(decision)
    tail = decision.channel if decision.kind in ("sent", "withheld") else decision.reason
    turn.result.count(f"{decision.kind}:{journey.slug}:{tail}")
    return True


def _message(turn: Turn, run: Run, send: Send, send_id: str) -> str:
    """One of the step's messages, drawn evenly among those this run has not used."""
    if len(send.messages) == 1:
        return send.messages[0]
    used = {sent.message for sent in turn.customer.open_sends if sent.run_id == run.id}
    left = [name for name in send.messages if name not in used] or list(send.messages)
    return left[int(uniform(turn.context.seed, "message", send_id) * len(left))]


def _decision(turn: Turn, journey: Journey, run: Run, send: Send, send_id: str) -> Decision:
    return Decision(
        kind="sent",
        id=send_id,
        at=turn.at,
        customer=turn.customer_id,
        journey=journey.slug,
        version=journey.version,
        run_id=run.id,
        step=send.path,
        message=_message(turn, run, send, send_id),
        purpose=journey.purpose,
        silent=run.silent,
    )


def _choose(turn: Turn, send: Send, decision: Decision, channels: tuple[str, ...]) -> None:
    policy = turn.context.program.policy
    priors = turn.context.priors
    candidates: list[Candidate] = []
    for channel in channels:
        money = channel_policy(policy, channel)
        candidates.append(
            candidate(
                channel,
                turn.customer.responses.get(channel),
                turn.at,
                priors,
                value=policy.response_value,
                cost=money.cost,
                consent_loss=money.consent_loss,
            )
        )
    choice = choose(
        candidates,
        exploration=policy.exploration,
        seed=turn.context.seed,
        names=(decision.journey, turn.customer_id, decision.id),
        draws=turn.context.draws,
    )
    decision.channel = choice.channel
    decision.propensity = choice.propensity
    decision.mode = "named" if choice.mode == "only" and send.channels == (choice.channel,) else choice.mode
    decision.priors = priors.version
    decision.candidates = [Weighed(c.channel, c.a, c.b, c.value, c.cost, c.loss, c.share) for c in choice.candidates]


def _reserve(turn: Turn, journey: Journey, run: Run, decision: Decision) -> None:
    """Count the contact at once: nothing else may use the same place under the cap."""
    customer, at, channel = turn.customer, turn.at, decision.channel
    customer.contacts.append(Contact(at, channel, journey.purpose, journey.slug, decision.id))
    del customer.contacts[:-RECENT_CONTACTS]
    customer.open_sends.append(OpenSend(decision.id, run.id, channel, decision.message, at))
    del customer.open_sends[:-OPEN_SENDS]
    cell = customer.responses.get(channel)
    if cell is None:
        cell = customer.responses[channel] = Cell(at=at)
    cell.sent(at)
    run.sends.append((channel, decision.id))
    # `response` and `reply` mean answers to the run's last message.
    run.came.pop("response", None)
    run.came.pop("reply", None)


def _row(turn: Turn, journey: Journey, run: Run, send: Send, decision: Decision, deadline: int) -> OutboxRow:
    on_unknown = send.on_unknown
    if on_unknown is None:
        service_mail = journey.purpose == "service" and decision.channel == "email"
        on_unknown = "retry" if service_mail else "drop"
    return OutboxRow(
        send_id=decision.id,
        customer=turn.customer_id,
        run_id=run.id,
        journey=journey.slug,
        version=journey.version,
        program=turn.context.program.version,
        step=send.path,
        message=decision.message,
        channel=decision.channel,
        address=turn.customer.addresses[_address_kind(decision.channel)],
        purpose=journey.purpose,
        facts=_facts(turn, run, send),
        decided_at=turn.at,
        not_before=turn.at,
        not_after=deadline,
        on_unknown=on_unknown,
    )


def _address_kind(channel: str) -> str:
    return ADDRESS_OF_CHANNEL.get(channel, channel)


def _facts(turn: Turn, run: Run, send: Send) -> dict[str, Any]:
    """What templates may show, bound now: the dispatcher only renders."""
    customer: dict[str, Any] = dict(turn.customer.attributes)
    for name in ("orders", "revenue"):
        customer[name] = customer_value(turn.customer, (name,), turn.at)
    return {**run.bound, "customer": customer, "run": {"id": run.id, "entered": run.entered}, **send.literals}
