"""What comes back to a send: provider feedback and customers' answers. The learning step of one event.

Opens never teach: mailboxes fetch images by themselves. A human click or a reply is a response, credited once, to its
send, within the policy's window.
"""

from __future__ import annotations

from typing import Any

from orchestrator.contracts.records import Event
from orchestrator.engine.context import Turn
from orchestrator.engine.state import OpenSend, Run
from orchestrator.language.program import Policy
from orchestrator.learning.cells import Cell

#: A message that is nothing but one of these words ends contact on its channel (CTIA, TCPA; and "please" with them).
STOP_WORDS = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
START_WORDS = frozenset({"start", "unstop"})
_POLITE = frozenset({"please", "now", "all", "me", "thanks"})

_PLANNED, _SENT, _DELIVERED, _FAILED = range(4)


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


def learn(turn: Turn, event: Event) -> None:
    """Apply feedback about one of the customer's sends; other events pass through."""
    handler = _HANDLERS.get(event.type)
    if handler is not None:
        handler(turn, event)


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
    rank = _DELIVERED if event.type == "message_delivered" else _SENT
    if rank > sent.rank and sent.rank != _FAILED:
        sent.rank = rank


def _failed(turn: Turn, event: Event) -> None:
    """It did not reach her: the cap's place is free again and silence means nothing."""
    sent = _open_send(turn, event)
    customer = turn.customer
    if event.data.get("permanent") and sent is not None:
        kind = {"email": "email", "sms": "phone"}.get(sent.channel, sent.channel)
        customer.addresses.pop(kind, None)
    if sent is None or sent.rank == _FAILED or sent.answered:
        return
    sent.rank = _FAILED
    customer.contacts = [contact for contact in customer.contacts if contact.send_id != sent.send_id]
    cell = customer.responses.get(sent.channel)
    if cell is not None:
        cell.sent(turn.at, -1.0)


def _clicked(turn: Turn, event: Event) -> None:
    if not event.data.get("machine"):
        _respond(turn, event, _open_send(turn, event), None)


def _replied(turn: Turn, event: Event) -> None:
    text = event.data.get("text")
    word = reply_word(text) if isinstance(text, str) else ""
    sent = _open_send(turn, event)
    channel = sent.channel if sent else event.data.get("channel")
    if word and isinstance(channel, str):
        consent(turn, channel, given=word == "start", purposes=("marketing", "service"))
        if word == "stop":
            return
    _respond(turn, event, sent, event.data)


def _unsubscribed(turn: Turn, event: Event) -> None:
    sent = _open_send(turn, event)
    channel = event.data.get("channel") or (sent.channel if sent else None)
    if isinstance(channel, str):
        consent(turn, channel, given=False, purposes=("marketing",))


def consent(turn: Turn, channel: str, *, given: bool, purposes: tuple[str, ...]) -> None:
    """Write what the customer said about a channel."""
    known = turn.customer.consents.setdefault(channel, {})
    for purpose in purposes:
        known[purpose] = given


def _respond(turn: Turn, event: Event, sent: OpenSend | None, reply: dict[str, Any] | None) -> None:
    if sent is None:
        return
    policy: Policy = turn.context.program.policy
    run = next((run for run in turn.customer.runs if run.id == sent.run_id), None)
    if run is not None and run.sends and run.sends[-1][1] == sent.send_id:
        _tell(run, reply)
    if sent.answered or event.time > sent.at + policy.credit_window:
        return
    sent.answered = True
    if sent.rank == _FAILED:
        return
    cell = turn.customer.responses.get(sent.channel)
    if cell is None:
        cell = turn.customer.responses[sent.channel] = Cell(at=turn.at)
    cell.responded(turn.at)
    turn.result.count(f"responded:{sent.channel}")


def _tell(run: Run, reply: dict[str, Any] | None) -> None:
    run.came["response"] = True
    if reply is not None:
        run.came["reply"] = reply


_HANDLERS = {
    "message_sent": _reported,
    "message_delivered": _reported,
    "message_failed": _failed,
    "message_bounced": _failed,
    "message_clicked": _clicked,
    "reply": _replied,
    "message_unsubscribed": _unsubscribed,
    "message_complained": _unsubscribed,
}
