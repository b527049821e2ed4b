"""One would-be send: what is known of each candidate, and the draw from a policy's shares.

A candidate's response rate has a Beta posterior: the customer's own decayed counts added to the shared prior. Where
human opens can be told, the rate is P(open) · P(response | open), each with its own posterior; both are learned from
more answers than the product is, and the product is kept as the Beta with its mean and variance. A send whose answer
may still be on its way counts only by the share of answers that would have come by now (Vernade, Cappé, Perchet 2017).

The channel is drawn *from the shares*, so the logged propensity is exact for the policy that was run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from orchestrator.learning.cells import OPENS_SEEN, Cell
from orchestrator.learning.chance import Draws, uniform
from orchestrator.learning.priors import Belief, Priors

#: The name under which sending nothing stands among the candidates of a record.
NOTHING = "nothing"


class Candidate(msgspec.Struct, gc=False):
    """One reachable channel, with all that the choice weighs. Money in the policy's currency."""

    channel: str
    #: Posterior Beta(a, b) of the response rate.
    a: float
    b: float
    #: What one response brings; what one message costs; what it loses in consents, on average.
    value: float
    cost: float
    loss: float
    #: Probability with which the policy picks this channel.
    share: float = 0.0
    #: The customer's own decayed sends and responses.
    sends: float = 0.0
    responses: float = 0.0
    #: Relative variance of the value of a message that is shared with all customers of the group.
    doubt: float = 0.0

    @property
    def rate(self) -> float:
        """Posterior mean of the response rate."""
        return self.a / (self.a + self.b)

    @property
    def net(self) -> float:
        """Expected net value of one message at the posterior mean."""
        return self.rate * self.value - self.cost - self.loss


def posterior(
    cell: Cell | None, belief: Belief, channel: str, at: int, pending: float = 0.0
) -> tuple[float, float, float]:
    """Beta (a, b) of the response rate at `at`, and the relative variance of its mean that comes from the prior's own.

    `pending` answers of the sends counted are still on their way.
    """
    n = s = 0.0
    o = 0.0 if channel in OPENS_SEEN else -1.0
    if cell is not None:
        factor = cell.at_present(at)
        n, s, o = cell.n * factor, cell.s * factor, cell.o * factor
    if o < 0.0:
        prior = belief.response
        a, b = prior.a + s, prior.b + max(0.0, n - s - pending)
        return a, b, prior.variance * (prior.strength / a) ** 2
    opens, after = belief.opens, belief.after_open
    open_a, open_b = opens.a + o, opens.b + max(0.0, n - o - pending)
    after_a, after_b = after.a + s, after.b + max(0.0, o - s)
    open_all, after_all = open_a + open_b, after_a + after_b
    open_mean, after_mean = open_a / open_all, after_a / after_all
    mean = open_mean * after_mean
    square = (open_mean * (open_a + 1.0) / (open_all + 1.0)) * (after_mean * (after_a + 1.0) / (after_all + 1.0))
    weight = mean * (1.0 - mean) / (square - mean * mean) - 1.0
    doubt = opens.variance * (opens.strength / open_a) ** 2 + after.variance * (after.strength / after_a) ** 2
    return mean * weight, (1.0 - mean) * weight, doubt


class PastSend(Protocol):
    """What a policy may know of an earlier send."""

    @property
    def channel(self) -> str: ...
    @property
    def at(self) -> int: ...
    @property
    def answered(self) -> bool: ...
    @property
    def opened(self) -> bool: ...


class Situation(msgspec.Struct, frozen=True, gc=False):
    """Everything a policy may look at. `names` are what the draw hangs on: journey, customer, decision."""

    customer: str
    at: int
    candidates: Sequence[Candidate]
    #: Sends to this customer that are remembered, oldest first.
    history: Sequence[PastSend]
    priors: Priors
    exploration: float
    #: Whether sending nothing is an answer.
    nothing: bool
    seed: bytes
    names: tuple[str, ...]
    draws: Draws


#: A policy gives the probability of each candidate, exact for what is drawn. What they leave of 1 is the probability
#: of sending nothing, where that is allowed; where it is not, they are scaled to 1.
ChoicePolicy = Callable[[Situation], Sequence[float]]


class Choice(msgspec.Struct, frozen=True, gc=False):
    """The chosen channel (NOTHING for none) and the exact probability of that."""

    channel: str
    propensity: float
    #: `best` when the chosen channel has the largest share, else `explore`; `only` when nothing else could be.
    mode: str
    #: Probability of sending nothing.
    nothing: float = 0.0


def choose(policy: ChoicePolicy, situation: Situation) -> Choice:
    """Draw one of the candidates (at least one) by the policy's shares, which are written into them.

    The same situation repeats the draw.
    """
    candidates = situation.candidates
    if len(candidates) == 1 and not situation.nothing:
        candidates[0].share = 1.0
        return Choice(candidates[0].channel, 1.0, "only")
    shares = proper_shares(policy(situation), len(candidates), situation.nothing)
    nothing = max(0.0, 1.0 - sum(shares)) if situation.nothing else 0.0
    if nothing < 1e-12:
        nothing = 0.0
    chosen = _drawn([*shares, nothing], uniform(situation.seed, "choice", *situation.names))
    for candidate, share in zip(candidates, shares, strict=True):
        candidate.share = share
    best = max(*shares, nothing)
    if chosen == len(candidates):
        return Choice(NOTHING, nothing, "best" if nothing == best else "explore", nothing)
    share = shares[chosen]
    return Choice(candidates[chosen].channel, share, "best" if share == best else "explore", nothing)


def proper_shares(shares: Sequence[float], count: int, nothing: bool) -> list[float]:
    """A policy's numbers as probabilities, whatever it returned: an add-on's slip must not stop a send."""
    proper = [share if 0.0 <= share < 1e300 else 0.0 for share in list(shares)[:count]]
    proper += [0.0] * (count - len(proper))
    total = sum(proper)
    if total <= 0.0 and not nothing:
        return [1.0 / count] * count
    if total > 1.0 or (not nothing and total != 1.0):
        proper = [share / total for share in proper]
    return proper


def _drawn(shares: Sequence[float], point: float) -> int:
    last = 0
    for index, share in enumerate(shares):
        if share > 0.0:
            last = index
            point -= share
            if point < 0.0:
                break
    return last
