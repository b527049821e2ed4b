"""Another policy of choice, valued on the decisions of the one that ran.

Every logged choice among channels is weighed again by the policy in question, from what the record holds: candidates
with posterior, value, cost and loss, the customer's own counts, and her earlier sends in the log. The reward of a send
is value x (answered or not) - cost - expected loss, all as logged; sending nothing brings 0. Choices whose answers may
still come are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.engine.decision import Decision, Weighed
from orchestrator.errors import OrchestratorError
from orchestrator.learning.chance import Draws
from orchestrator.learning.choice import Candidate, ChoicePolicy, Situation, proper_shares
from orchestrator.learning.off_policy import Choice, Verdict, evaluate
from orchestrator.learning.priors import Priors

#: Policies that need what decision records do not hold, and what to ask instead.
_UNKNOWN = {
    "best_fixed": "it reads the shared beliefs of the time: ask for fixed:email, fixed:sms … instead",
    "ratio": "it counts opens, which decision records do not hold",
}


@dataclass(slots=True)
class _Past:
    """An earlier send, as policies may know it."""

    channel: str
    at: int
    answered: bool = False
    opened: bool = False


def what_if(
    decisions: Iterable[Decision],
    name: str,
    policy: ChoicePolicy,
    now: int,
    *,
    seed: bytes,
    exploration: float,
    window: int,
    level: float = 0.95,
) -> Verdict:
    """The verdict on `policy` (called `name`) as of `now` (ms). `window`: how long answers are waited for (ms).

    Raises OrchestratorError for a policy that cannot be valued from records.
    """
    reason = _UNKNOWN.get(name.partition(":")[0])
    if reason:
        raise OrchestratorError(f"{name} cannot be valued from decision records", fix=reason)
    choices: dict[str, Decision] = {}
    answered: dict[str, int] = {}
    for one in decisions:
        if one.kind == "answered":
            answered[one.id.removesuffix("-answered")] = one.at
        elif one.kind == "sent" or (one.kind == "skipped" and one.reason == "not_worth"):
            choices[one.id] = one
    ordered = sorted(choices.values(), key=lambda one: (one.at, one.id))
    return evaluate(_choices(ordered, answered, policy, seed, exploration, now - window), level)


def _choices(
    ordered: list[Decision],
    answered: dict[str, int],
    policy: ChoicePolicy,
    seed: bytes,
    exploration: float,
    until: int,
) -> Iterable[Choice]:
    draws, priors = Draws(), Priors()
    history: dict[str, list[tuple[str, _Past]]] = {}
    for one in ordered:
        past = history.setdefault(one.customer, [])
        for send_id, sent in past:
            sent.answered = answered.get(send_id, one.at + 1) <= one.at
        if _chosen_freely(one) and one.at <= until:
            candidates = [_candidate(weighed) for weighed in one.candidates]
            nothing = one.nothing > 0.0
            shares = proper_shares(
                policy(
                    Situation(
                        customer=one.customer,
                        at=one.at,
                        candidates=candidates,
                        history=[sent for _, sent in past],
                        priors=priors,
                        exploration=exploration,
                        nothing=nothing,
                        seed=seed,
                        names=(one.journey, one.customer, one.id),
                        draws=draws,
                    )
                ),
                len(candidates),
                nothing,
            )
            yield _weighed(one, candidates, shares, one.id in answered)
        if one.kind == "sent":
            past.append((one.id, _Past(one.channel, one.at)))


def _chosen_freely(one: Decision) -> bool:
    return one.channel_propensity > 0.0 and (len(one.candidates) > 1 or one.nothing > 0.0)


def _candidate(w: Weighed) -> Candidate:
    return Candidate(w.channel, w.a, w.b, w.value, w.cost, w.loss, 0.0, w.sends, w.responses, w.doubt)


def _weighed(one: Decision, candidates: list[Candidate], shares: list[float], answered: bool) -> Choice:
    nets = {candidate.channel: candidate.net for candidate in candidates}
    asked = sum(share * candidate.net for share, candidate in zip(shares, candidates, strict=True))
    chosen = next((k for k, candidate in enumerate(candidates) if candidate.channel == one.channel), None)
    if chosen is None:
        share, reward, believed = max(0.0, 1.0 - sum(shares)), 0.0, 0.0
    else:
        candidate = candidates[chosen]
        share, believed = shares[chosen], nets[candidate.channel]
        reward = candidate.value * answered - candidate.cost - candidate.loss
    return Choice(one.customer, one.channel_propensity, share, reward, believed, asked)
