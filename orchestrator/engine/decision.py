"""The record of a decision: what was decided, among what, why not the others, by which rule. One per would-be send,
and one for each entry and end of a run. A customer's timeline is these records in order."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["entered", "ended", "sent", "withheld", "skipped", "held", "converted", "emitted", "answered"]


class Weighed(msgspec.Struct, array_like=False, omit_defaults=True):
    """One reachable channel as the choice saw it. Money in the policy's currency."""

    channel: str
    #: Posterior Beta(a, b) of the response rate.
    a: float
    b: float
    value: float
    cost: float
    loss: float
    #: Probability with which the policy picks it.
    share: float
    #: Messages to this customer on it of late, halved every 3.5 days.
    pressure: float = 0.0
    #: Relative variance of its value that is shared with all customers of her group.
    doubt: float = 0.0
    #: Her own decayed sends and responses.
    sends: float = 0.0
    responses: float = 0.0
    #: Of her last messages on it (LAST at most), how many there were and how many she answered.
    last: int = 0
    answered: int = 0


class WeighedText(msgspec.Struct, omit_defaults=True):
    """One message of a step with several, as the choice saw it: posterior Beta(a, b) in the customer's group."""

    message: str
    a: float
    b: float
    share: float


class Decision(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`sent` became an outbox row; `withheld` would have, but for a holdout; `reason` says why the others."""

    kind: Kind
    id: str
    at: int
    customer: str
    journey: str
    version: str
    run_id: str
    step: str = ""
    message: str = ""
    channel: str = ""
    purpose: str = ""
    #: Why: `cap`, `quiet_hours`, `no_channel`, `expired`, `holdout`; for ends `goal`, `exit`, the author's word …
    reason: str = ""
    #: Held until (ms).
    until: int = 0
    #: Probability of this message on this channel under the policy that ran: the product of the next two.
    propensity: float = 0.0
    channel_propensity: float = 0.0
    message_propensity: float = 0.0
    #: The policy of choice that ran (`choice:` of the policy).
    policy: str = ""
    #: Probability of sending nothing, where the policy may.
    nothing: float = 0.0
    #: The step's messages that could be shown, when there were several.
    texts: list[WeighedText] = []
    #: How it was chosen: `only`, `best`, `explore`, `named`.
    mode: str = ""
    candidates: list[Weighed] = []
    #: channel → why it was not a candidate.
    excluded: dict[str, str] = {}
    #: The snapshot of shared beliefs that was used.
    priors: str = ""
    #: Ends: whether the goal counted as a conversion, and the money it brought.
    converted: bool = False
    value: float = 0.0
    #: True when the run belongs to a holdout.
    silent: bool = False
    #: Split → arm of the run, on its end and conversion.
    arms: dict[str, str] = {}
    #: Ends and conversions: source and id of the event that brought them.
    event: str = ""
    #: Would-be sends: the probability with which she was held out of this journey, and of all; whether of all.
    holdout: float = 0.0
    holdout_all: float = 0.0
    silent_all: bool = False
    #: Would-be sends: what she had spent before, and how long after the first one a goal counts (ms).
    spent: float = 0.0
    window: int = 0
    #: The probability with which the best hour was chosen among the allowed ones (`at: best`).
    hour_chance: float = 0.0

    def reasons(self) -> list[str]:
        """The decision in sentences for people, most telling first: what held it, why this channel, what she did on
        each lately, what was left out and why."""
        said: list[str] = []
        if self.reason and self.kind in ("skipped", "held", "withheld"):
            said.append(_REASONS.get(self.reason, self.reason))
        mode = _MODES.get(self.mode)
        if mode and self.channel:
            said.append(f"{self.channel}: {mode}")
        for weighed in sorted(self.candidates, key=lambda w: (-w.share, w.channel)):
            rate = weighed.a / (weighed.a + weighed.b)
            worth = rate * weighed.value - weighed.cost - weighed.loss
            said.append(
                f"{weighed.channel}: {_lately(weighed)}, expected to answer {rate:.0%},"
                f" worth {worth:.3f} a message, picked {weighed.share:.0%} of the time"
            )
        said.extend(f"{channel}: {_EXCLUDED.get(why, why)}" for channel, why in sorted(self.excluded.items()))
        if len(self.texts) > 1:
            best = max(self.texts, key=lambda text: (text.share, text.message))
            shown = next((text for text in self.texts if text.message == self.message), best)
            told = "the message answered most" if shown is best else f"tried beside {best.message}, answered more"
            said.append(f"{self.message}: {told}, picked {shown.share:.0%} of the time")
        return said


def _lately(weighed: Weighed) -> str:
    if not weighed.last:
        return "never used for her"
    if weighed.last == 1:
        return "she answered the last one" if weighed.answered else "she did not answer the last one"
    return f"she answered {weighed.answered} of her last {weighed.last}"


_MODES = {
    "only": "the only channel left",
    "best": "the best expected answer",
    "explore": "tried to learn whether it answers better",
    "named": "the journey names it",
}
_EXCLUDED = {
    "no_content": "the message has no text for it",
    "no_consent": "no consent for this purpose",
    "no_address": "no address",
    "unhealthy": "the provider is down",
    "ignored": "ignored in this run",
    "cap": "its cap is reached",
    "failed": "it failed a moment ago",
    "rollout": "not part of this rollout",
}
_REASONS = {
    "no_channel": "no channel is left",
    "seen": "she has seen each of the step's messages of late",
    "not_worth": "no channel is worth its cost now",
    "cap": "the cap is reached",
    "quiet_hours": "quiet hours",
    "expired": "expired before it could go",
    "hour": "waits for its hour",
    "priority": "a more important journey has a message due",
    "holdout": "in the holdout: decided, not sent",
}

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Decision)


def encode(decision: Decision) -> bytes:
    """JSON bytes for the decisions log."""
    return _encoder.encode(decision)


def decode(raw: bytes) -> Decision:
    """The record of its JSON bytes."""
    return _decoder.decode(raw)
