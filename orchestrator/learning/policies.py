"""The policies by name: `choice: auto` and the ones it is compared with.

`auto` is tempered Thompson sampling over expected net value: ROWS joint draws from Beta(TEMPER a, TEMPER b) give each
channel's share of wins, net of its cost and of the risk to the consent; `exploration` of the probability is spread
evenly. What is unsure of a whole group (`Candidate.doubt`) is drawn in full, for all its customers learn it together.
The rows are one fixed Latin hypercube of normal numbers, so the shares are a plain function of the posteriors: exact,
repeatable, and steadier than so many random draws. Thompson (1933) draws from the posterior itself, which explores
for ever-lasting customers; one who will see tens of messages is served better by a narrower draw (Chapelle & Li 2011
report the same for delayed, batched feedback).

A policy is a function `Situation -> shares`. Others are added by the entry point group `orchestrator.policies`; what
stands after a colon in `choice: name:argument` is given to the policy's maker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from orchestrator.learning.choice import Candidate, ChoicePolicy, Situation

ROWS = 128
TEMPER = 30.0
#: The same for the doubt that all customers of a group share.
SHARED_TEMPER = 4.0
#: The rule compared with: messages of the last six months, at least this many on at least two channels.
_RATIO_WINDOW_MS = 182 * 86_400_000
_RATIO_LEAST = 3

#: Makes a policy from the text after the colon (empty when there is none). Raises ValueError saying what to write.
PolicyMaker = Callable[[str], ChoicePolicy]


def auto(situation: Situation) -> Sequence[float]:
    """The learned policy."""
    return tempered(situation, situation.candidates, TEMPER)


def tempered(situation: Situation, candidates: Sequence[Candidate], temper: float) -> Sequence[float]:
    """Shares of wins among joint draws of the candidates' rates, with the floor of exploration."""
    count = len(candidates)
    table = []
    for c in candidates:
        all_ = c.a + c.b
        mean = c.a / all_
        spread = sqrt(c.b / (c.a * (temper * all_ + 1.0)) + c.doubt / SHARED_TEMPER)
        table.append((spread / 3.0, 1.0 - spread * spread / 9.0, mean * c.value, -c.cost - c.loss))
    wins = wins_of(table, nothing=situation.nothing)
    exploration = situation.exploration
    return [(1.0 - exploration) * wins[k] / ROWS + exploration / count for k in range(count)]


def wins_of(table: Sequence[tuple[float, float, float, float]], *, nothing: bool = False) -> list[int]:
    """How many of ROWS joint draws each row of the table wins: (slope, level, scale, shift) of scale·(level + slope z)³
    + shift, the cube of a normal number, which follows a Beta of small rate closely (Wilson & Hilferty 1931 for the
    gamma distribution it resembles there). With `nothing`, draws in which all are below 0 are won by nobody."""
    count = len(table)
    slope, level, scale, shift = np.array(table).T
    drawn = _normals(count) * slope
    drawn += level
    drawn *= drawn * drawn
    drawn *= scale
    drawn += shift
    best = drawn.argmax(axis=1)
    if nothing:
        best[drawn.max(axis=1) <= 0.0] = count
    wins: list[int] = np.bincount(best, minlength=count).tolist()
    return wins[:count]


@cache
def _normals(count: int) -> NDArray[np.float64]:
    """ROWS x count normal numbers, each column all the ROWS-quantiles in an order of its own."""
    quantiles = np.array([NormalDist().inv_cdf((row + 0.5) / ROWS) for row in range(ROWS)])
    shuffle = Generator(PCG64(20_260_301))
    return np.stack([quantiles[shuffle.permutation(ROWS)] for _ in range(count)], axis=1)


def unpooled_thompson(situation: Situation) -> Sequence[float]:
    """Thompson sampling with each customer's own counts and Beta(1, 1): nothing is shared between customers."""
    generator = situation.draws.of(situation.seed, "posterior", *situation.names)
    count = len(situation.candidates)
    net = np.stack(
        [
            generator.beta(1.0 + c.responses, 1.0 + max(0.0, c.sends - c.responses), ROWS) * c.value - c.cost - c.loss
            for c in situation.candidates
        ],
        axis=1,
    )
    wins = np.bincount(net.argmax(axis=1), minlength=count).tolist()
    exploration = situation.exploration
    return [(1.0 - exploration) * win / ROWS + exploration / count for win in wins]


def random_choice(situation: Situation) -> Sequence[float]:
    """Every candidate alike."""
    return _even(len(situation.candidates))


def round_robin(situation: Situation) -> Sequence[float]:
    """The candidate that was used longest ago."""
    last = {sent.channel: sent.at for sent in situation.history}
    times = [(last.get(c.channel, -1), index) for index, c in enumerate(situation.candidates)]
    return _one(len(times), min(times)[1])


def best_fixed(situation: Situation) -> Sequence[float]:
    """The channel that is best over all customers by the last snapshot, the same for everybody."""
    priors = situation.priors
    nets = [
        (priors.belief("", c.channel, c.value).response.mean * c.value - c.cost - c.loss) for c in situation.candidates
    ]
    return _one(len(nets), max(range(len(nets)), key=nets.__getitem__))


def ratio(situation: Situation) -> Sequence[float]:
    """Interactions per message over six months, as Braze publishes its Intelligent Channel: an open or a click counts
    once a message; with fewer than 3 messages on 2 channels every channel alike; ties go to the most recent."""
    since = situation.at - _RATIO_WINDOW_MS
    count, came, last = ({c.channel: 0 for c in situation.candidates} for _ in range(3))
    for sent in situation.history:
        if sent.channel in count and sent.at > since:
            count[sent.channel] += 1
            if sent.answered or sent.opened:
                came[sent.channel] += 1
                last[sent.channel] = sent.at
    if sum(1 for number in count.values() if number >= _RATIO_LEAST) < min(2, len(count)):
        return _even(len(situation.candidates))
    scores = [
        (came[c.channel] / max(1, count[c.channel]), last[c.channel], -index)
        for index, c in enumerate(situation.candidates)
    ]
    return _one(len(scores), -max(scores)[2])


def eps_greedy(situation: Situation) -> Sequence[float]:
    """The best of the customer's own responses per send, any channel at random one time in ten and while untried."""
    nets = [
        ((c.responses / c.sends) * c.value - c.cost - c.loss if c.sends > 0.0 else float("inf"))
        for c in situation.candidates
    ]
    top = max(nets)
    best = [index for index, net in enumerate(nets) if net == top]
    count = len(nets)
    return [0.1 / count + (0.9 / len(best) if index in best else 0.0) for index in range(count)]


def _fixed(argument: str) -> ChoicePolicy:
    if not argument:
        raise ValueError("'fixed' names no channel: write fixed:email")

    def fixed(situation: Situation) -> Sequence[float]:
        channels = [c.channel for c in situation.candidates]
        if argument in channels:
            return _one(len(channels), channels.index(argument))
        # Its channel is not reachable: any other rather than none.
        return _even(len(channels))

    return fixed


def _plain(name: str, policy: ChoicePolicy) -> PolicyMaker:
    def make(argument: str) -> ChoicePolicy:
        if argument:
            raise ValueError(f"'{name}' takes nothing after a colon: write {name}")
        return policy

    return make


def _even(count: int) -> list[float]:
    return [1.0 / count] * count


def _one(count: int, index: int) -> list[float]:
    shares = [0.0] * count
    shares[index] = 1.0
    return shares


BUILT_IN: Mapping[str, PolicyMaker] = {
    "auto": _plain("auto", auto),
    "fixed": _fixed,
    "round_robin": _plain("round_robin", round_robin),
    "random": _plain("random", random_choice),
    "best_fixed": _plain("best_fixed", best_fixed),
    "ratio": _plain("ratio", ratio),
    "eps_greedy": _plain("eps_greedy", eps_greedy),
    "unpooled_thompson": _plain("unpooled_thompson", unpooled_thompson),
}


def make_policy(text: str, makers: Mapping[str, PolicyMaker] = BUILT_IN) -> ChoicePolicy:
    """The policy that `choice:` names. Raises ValueError saying what is wrong and what to write."""
    name, _, argument = text.partition(":")
    maker = makers.get(name)
    if maker is None:
        raise ValueError(f"'{name}' is not a policy of choice: write one of {', '.join(sorted(makers))}")
    return maker(argument)
