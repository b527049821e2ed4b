"""What comes back to a send: provider feedback and customers' answers. The learning step of one event.

A human click or a reply is a response, credited once, to its send, within the channel's window. Human opens count only
where they can be told from a machine's. A purchase soon after a response feeds the value of responses, not the rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.contracts.records import Event
from orchestrator.engine import evidence
from orchestrator.engine.context import Turn
from orchestrator.engine.decision import Decision
from orchestrator.engine.facts import understood
from orchestrator.engine.hours import count_engaged
from orchestrator.engine.scope import revenue_of
from orchestrator.engine.state import DELIVERED, FAILED, SENT, OpenSend, Run
from orchestrator.learning.cells import OPENS_SEEN

#: A message that is nothing but one of these words ends contact on its channel (CTIA, TCPA; and "please" with them).
STOP_WORDS = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
START_WORDS = frozenset({"start", "unstop"})
_POLITE = frozenset({"please", "now", "all", "me", "thanks"})


def reply_word(text: str) -> str:
    """`stop`, `start` or "" for a reply's text."""
    words = ["".join(c for c in word if c.isalnum()) for word in text.lower().replace("opt out", "optout").split()]
    meaning = [word for word in words if word and word not in _POLITE]
    if len(meaning) == 1:
        if meaning[0] in STOP_WORDS:
            return "stop"
        if meaning[0] in START_WORDS:
            return "start"
    return ""


def learn(turn: Turn, event: Event, labels: Sequence[str] = ()) -> None:
    """Apply feedback about one of the customer's sends; other events pass through.

    `labels` are the customer's segments before the event.
    """
    handler = _HANDLERS.get(event.type)
    if handler is not None:
        handler(turn, event)
    elif event.type == "customer_updated" and turn.customer.responses:
        evidence.moved(turn, labels)


def _open_send(turn: Turn, event: Event) -> OpenSend | None:
    data = event.data
    send_id = data.get("send_id") or data.get("in_reply_to")
    sends = turn.customer.open_sends
    if send_id:
        return next((sent for sent in sends if sent.send_id == send_id), None)
    if event.type == "reply":
        # An SMS names no message: it answers the last one on its channel.
        channel = data.get("channel")
        return next((sent for sent in reversed(sends) if sent.channel == channel), None)
    return None


def _reported(turn: Turn, event: Event) -> None:
    sent = _open_send(turn, event)
    if sent is None:
        return
    rank = DELIVERED if event.type == "message_delivered" else SENT
    if rank > sent.rank and sent.rank != FAILED:
        sent.rank = rank


def _failed(turn: Turn, event: Event) -> None:
    """It did not reach her: the cap's place is free again and silence means nothing."""
    sent = _open_send(turn, event)
    customer = turn.customer
    if event.data.get("permanent") and sent is not None:
        kind = {"email": "email", "sms": "phone"}.get(sent.channel, sent.channel)
        customer.addresses.pop(kind, None)
    if sent is None or sent.rank == FAILED or sent.answered:
        return
    sent.rank = FAILED
    customer.contacts = [contact for contact in customer.contacts if contact.send_id != sent.send_id]
    customer.unsent_on(sent.channel)
    if sent.counted:
        evidence.taken_back(turn, sent)


def _opened(turn: Turn, event: Event) -> None:
    sent = _open_send(turn, event)
    if sent is None or sent.channel not in OPENS_SEEN:
        return
    if event.data.get("machine"):
        evidence.machine(turn, sent.channel)
    elif not sent.opened and sent.rank != FAILED and _in_time(turn, event, sent):
        sent.opened = True
        if sent.counted and not sent.answered:
            evidence.opened(turn, sent)
            count_engaged(turn, sent)


def _clicked(turn: Turn, event: Event) -> None:
    if event.data.get("machine"):
        _opened(turn, event)
    else:
        _respond(turn, event, _open_send(turn, event), None)


def _replied(turn: Turn, event: Event) -> None:
    text = event.data.get("text")
    word = reply_word(text) if isinstance(text, str) else ""
    sent = _open_send(turn, event)
    channel = sent.channel if sent else event.data.get("channel")
    if word and isinstance(channel, str):
        consent(turn, channel, given=word == "start", purposes=("marketing", "service"))
        if word == "stop":
            evidence.lost(turn, channel)
            return
    _respond(turn, event, sent, event.data)


def _unsubscribed(turn: Turn, event: Event) -> None:
    sent = _open_send(turn, event)
    channel = event.data.get("channel") or (sent.channel if sent else None)
    if isinstance(channel, str):
        if turn.customer.consents.get(channel, {}).get("marketing") is not False:
            evidence.lost(turn, channel, evidence.COMPLAINT if event.type == "message_complained" else 1.0)
        consent(turn, channel, given=False, purposes=("marketing",))


def _bought(turn: Turn, event: Event) -> None:
    """Credit a purchase to the send it names, else to the last response of the day before it."""
    sent = _open_send(turn, event)
    if sent is None:
        after = event.time - evidence.VALUE_WINDOW_MS
        answered = [one for one in turn.customer.open_sends if after <= one.answered_at <= event.time]
        sent = max(answered, key=lambda one: one.answered_at, default=None)
    if sent is not None and sent.counted:
        evidence.bought(turn, sent, turn.context.program.policy.margin * revenue_of(event.data))


def consent(turn: Turn, channel: str, *, given: bool, purposes: tuple[str, ...]) -> None:
    """Write what the customer said about a channel."""
    known = turn.customer.consents.setdefault(channel, {})
    for purpose in purposes:
        known[purpose] = given


def _respond(turn: Turn, event: Event, sent: OpenSend | None, reply: dict[str, Any] | None) -> None:
    if sent is None:
        return
    run = next((run for run in turn.customer.runs if run.id == sent.run_id), None)
    if run is not None and run.sends and run.sends[-1][1] == sent.send_id:
        _tell(run, reply)
    if sent.answered or not _in_time(turn, event, sent):
        return
    sent.answered, sent.answered_at = True, event.time
    turn.customer.answered_on(sent.channel)
    if sent.rank == FAILED or not sent.counted:
        return
    value = 0.0 if reply is None else turn.context.program.policy.reply_value
    evidence.responded(turn, sent, delay=max(0, event.time - sent.at), value=value)
    if not sent.opened:
        count_engaged(turn, sent)
    sent.opened = sent.opened or sent.channel in OPENS_SEEN
    turn.result.count(f"responded:{sent.channel}")
    turn.result.decisions.append(_answered(turn, event, sent))


def _answered(turn: Turn, event: Event, sent: OpenSend) -> Decision:
    """The record that a send was answered, for the timeline and for whoever values another policy by what came."""
    contact = next((one for one in turn.customer.contacts if one.send_id == sent.send_id), None)
    return Decision(
        kind="answered",
        id=f"{sent.send_id}-answered",
        at=turn.at,
        customer=turn.customer_id,
        journey=contact.journey if contact is not None else "",
        version="",
        run_id=sent.run_id,
        step=sent.step,
        message=sent.message,
        channel=sent.channel,
        purpose=contact.purpose if contact is not None else "",
        reason=event.type,
        event=f"{event.source}/{event.id}",
    )


def _in_time(turn: Turn, event: Event, sent: OpenSend) -> bool:
    return event.time <= sent.at + turn.context.program.policy.credit_window_of(sent.channel)


def _tell(run: Run, reply: dict[str, Any] | None) -> None:
    run.came["response"] = True
    if reply is not None:
        run.came["reply"] = understood(reply)


_HANDLERS = {
    "message_sent": _reported,
    "message_delivered": _reported,
    "message_failed": _failed,
    "message_bounced": _failed,
    "message_opened": _opened,
    "message_clicked": _clicked,
    "purchase": _bought,
    "reply": _replied,
    "message_unsubscribed": _unsubscribed,
    "message_complained": _unsubscribed,
}
