"""One `send` step: gate, choice, reservation, outbox row. The only place a row is made."""

from __future__ import annotations

from typing import Any

from orchestrator.contracts.messages import ADDRESS_OF_CHANNEL, OutboxRow
from orchestrator.engine.context import Turn
from orchestrator.engine.decision import Decision, Weighed, WeighedText
from orchestrator.engine.evidence import pending, sent
from orchestrator.engine.facts import resolved
from orchestrator.engine.guards import channel_policy, held_until, reachable
from orchestrator.engine.holdout import chance_of_holdout, held_out_of_all, holdout_of_all
from orchestrator.engine.hours import count_sent
from orchestrator.engine.moments import moment_of
from orchestrator.engine.picks import picks
from orchestrator.engine.scope import customer_value
from orchestrator.engine.state import FAILED, OPEN_SENDS, RECENT_CONTACTS, Contact, Customer, Held, OpenSend, Run
from orchestrator.language.picks import NAME as PICKS
from orchestrator.language.picks import asks
from orchestrator.language.program import Journey, MessageTemplate, Send
from orchestrator.learning.chance import digest
from orchestrator.learning.choice import NOTHING, Candidate, Situation, choose, posterior
from orchestrator.learning.pooled import group_of
from orchestrator.learning.pressure import pressures, step_of
from orchestrator.learning.texts import choose_text

#: Messages on a channel that an explanation looks back on.
LATELY = 9


def send_id_of(run: Run, send: Send) -> str:
    """Deterministic and opaque: the same run, step and passage always give the same id."""
    if run.again:
        return digest(b"send", "again", run.again, size=12).hex()
    return digest(b"send", run.id, send.path, str(run.passed.get(send.path, 0)), size=12).hex()


def do_send(turn: Turn, journey: Journey, run: Run, send: Send) -> bool:
    """Carry the step out. True when the step is over (sent, withheld or skipped), False when it is held."""
    held = run.held
    deadline = held.until if held else turn.at + send.expires
    send_id = send_id_of(run, send)
    decision = _decision(turn, journey, run, send, send_id)
    templates = turn.context.program.messages
    texts = [name for name in send.messages if name in templates]
    if not texts:
        return _skip(turn, journey, run, send, decision, "no_message")
    if held and turn.at >= deadline:
        return _skip(turn, journey, run, send, decision, "expired")
    if len(texts) > 1:
        texts = _not_seen(turn, texts)
        if not texts:
            return _skip(turn, journey, run, send, decision, "seen")
    gates = {name: reachable(turn, journey, run, send, templates[name]) for name in texts}
    decision.excluded = gates[texts[0]].excluded
    texts = [name for name in texts if gates[name].channels]
    if not texts:
        return _skip(turn, journey, run, send, decision, "no_channel")
    free_at, why = held_until(turn, journey)
    if held is None:
        asked = moment_of(turn, journey, send, decision, free_at, deadline)
        if asked > free_at:
            free_at, why = asked, "hour"
    if free_at > turn.at:
        until = min(free_at, deadline)
        if held is None:
            decision.kind, decision.reason, decision.until = "held", why, until
            turn.result.decisions.append(decision)
        run.held = Held(deadline, why)
        run.waiting, run.due = "send", until
        turn.result.count(f"held:{journey.slug}:{why}")
        return False
    _choose_text(turn, decision, texts)
    decision.excluded = gates[decision.message].excluded
    expected, tired = choose_channel(turn, send, decision, gates[decision.message].channels)
    if decision.channel == NOTHING:
        return _skip(turn, journey, run, send, decision, "not_worth")
    if not run.first_send:
        run.first_send = turn.at
    if run.silent:
        decision.kind, decision.reason = "withheld", "holdout"
    else:
        _reserve(turn, journey, run, decision, expected, tired)
        turn.customer.open_sends[-1].until = deadline
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


def _not_seen(turn: Turn, texts: list[str]) -> list[str]:
    """The messages this customer has not been shown within the policy's time, by whatever journey."""
    since = turn.at - turn.context.program.policy.repeat_after
    seen = {one.message for one in turn.customer.open_sends if one.at > since and one.rank != FAILED}
    return [name for name in texts if name not in seen]


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
        message=send.messages[0] if len(send.messages) == 1 else "",
        purpose=journey.purpose,
        silent=run.silent,
        holdout=chance_of_holdout(turn, journey),
        holdout_all=holdout_of_all(turn, journey),
        silent_all=run.silent and held_out_of_all(turn, journey),
        spent=turn.customer.revenue,
        window=journey.goal.within if journey.goal is not None else 0,
    )


def _choose_text(turn: Turn, decision: Decision, texts: list[str]) -> None:
    context = turn.context
    chosen, weighed = choose_text(
        texts,
        group_of(turn.customer.segments),
        context.priors,
        exploration=context.program.policy.exploration,
        seed=context.seed,
        names=(decision.journey, turn.customer_id, decision.id),
    )
    decision.message, decision.message_propensity = chosen.message, chosen.share
    if len(weighed) > 1:
        decision.texts = [WeighedText(one.message, one.a, one.b, one.share) for one in weighed]


def choose_channel(turn: Turn, send: Send, decision: Decision, channels: tuple[str, ...]) -> tuple[float, int]:
    """Choose among reachable channels. Returns the rate expected of the chosen one, and its step of pressure."""
    context, customer, at = turn.context, turn.customer, turn.at
    policy, priors = context.program.policy, context.priors
    group = group_of(customer.segments)
    waited_for, tired = pending(turn), pressures(customer.contacts, at)
    candidates: list[Candidate] = []
    # In one order, however the author listed them: the same choice for the same channels.
    for channel in sorted(channels):
        money = channel_policy(policy, channel)
        belief = priors.belief(group, channel, policy.response_value)
        cell = customer.responses.get(channel)
        a, b, doubt = posterior(cell, belief, channel, at, waited_for.get(channel, 0.0))
        left = cell.at_present(at) if cell is not None else 0.0
        candidates.append(
            Candidate(
                channel,
                a,
                b,
                belief.value * priors.rested(channel, step_of(tired.get(channel, 0.0))),
                money.cost,
                belief.hazard * money.consent_loss,
                0.0,
                cell.n * left if cell is not None else 0.0,
                cell.s * left if cell is not None else 0.0,
                doubt + belief.value_doubt,
            )
        )
    choice = choose(
        context.choice,
        Situation(
            customer=turn.customer_id,
            at=at,
            candidates=candidates,
            history=customer.open_sends,
            priors=priors,
            exploration=policy.exploration,
            nothing=policy.nothing,
            seed=context.seed,
            names=(decision.journey, turn.customer_id, decision.id),
            draws=context.draws,
        ),
    )
    decision.channel = choice.channel
    decision.channel_propensity = choice.propensity
    decision.propensity = choice.propensity * decision.message_propensity
    decision.nothing = choice.nothing
    decision.policy = policy.choice
    decision.mode = "named" if choice.mode == "only" and send.channels == (choice.channel,) else choice.mode
    decision.priors = priors.version
    decision.candidates = [
        Weighed(
            c.channel,
            c.a,
            c.b,
            c.value,
            c.cost,
            c.loss,
            c.share,
            tired.get(c.channel, 0.0),
            c.doubt,
            c.sends,
            c.responses,
            *_lately(customer, c.channel),
        )
        for c in candidates
    ]
    expected = next((c.rate for c in candidates if c.channel == choice.channel), 0.0)
    return expected, step_of(tired.get(choice.channel, 0.0))


def _lately(customer: Customer, channel: str) -> tuple[int, int]:
    """Of her last messages on the channel: how many, and how many she answered."""
    last = [one.answered for one in customer.open_sends if one.channel == channel and one.rank != FAILED][-LATELY:]
    return len(last), sum(last)


def _reserve(turn: Turn, journey: Journey, run: Run, decision: Decision, expected: float, tired: int) -> None:
    """Count the contact at once: nothing else may use the same place under the cap."""
    customer, at, channel = turn.customer, turn.at, decision.channel
    customer.contacts.append(Contact(at, channel, journey.purpose, journey.slug, decision.id))
    del customer.contacts[:-RECENT_CONTACTS]
    open_send = OpenSend(
        decision.id,
        run.id,
        channel,
        decision.message,
        at,
        tired=tired,
        counted=channel not in turn.context.stale,
        step=decision.step,
        tried=run.tried,
    )
    customer.open_sends.append(open_send)
    del customer.open_sends[:-OPEN_SENDS]
    customer.sent_on(channel, at)
    if open_send.counted:
        sent(turn, open_send, expected=expected)
        count_sent(turn, at)
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
        facts=_facts(turn, run, send, turn.context.program.messages[decision.message]),
        decided_at=turn.at,
        not_before=turn.at,
        not_after=deadline,
        locale=locale_of(turn.customer),
        on_unknown=on_unknown,
    )


def locale_of(customer: Customer) -> str:
    """The language she reads, as her attributes state it: `de`, `pt-BR`. Empty when nobody said."""
    stated = customer.attributes.get("locale") or customer.attributes.get("language")
    return stated if isinstance(stated, str) and len(stated) <= 16 else ""


def _address_kind(channel: str) -> str:
    return ADDRESS_OF_CHANNEL.get(channel, channel)


def _facts(turn: Turn, run: Run, send: Send, template: MessageTemplate) -> dict[str, Any]:
    """What templates may show, bound now: the dispatcher only renders."""
    customer: dict[str, Any] = dict(turn.customer.attributes)
    for name in ("orders", "revenue"):
        customer[name] = customer_value(turn.customer, (name,), turn.at)
    return {
        **run.bound,
        "customer": customer,
        "run": {"id": run.id, "entered": run.entered},
        **({PICKS: picks(turn, run)} if asks(template) else {}),
        **resolved(turn, run, send.literals),
    }
