"""Posteriors stay sane, shares are probabilities, and what is drawn is drawn with the probability that is logged."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.learning.cells import DAY_MS, Cell
from orchestrator.learning.chance import Draws
from orchestrator.learning.choice import NOTHING, Candidate, ChoicePolicy, Situation, choose, posterior
from orchestrator.learning.policies import BUILT_IN, auto, make_policy
from orchestrator.learning.priors import Belief, Priors, RatePrior
from orchestrator.learning.texts import choose_text

NOW = 1_770_000_000_000
rates = st.floats(0.001, 0.999)
strengths = st.floats(2, 200)
priors = st.builds(RatePrior, rates, strengths)
beliefs = st.builds(Belief, priors, priors, priors, st.just(1.0), st.just(0.0))


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    s = draw(st.floats(0, 50))
    o = s + draw(st.floats(0, 50))
    n = o + draw(st.floats(0.01, 200))
    return Cell(n, s, NOW - draw(st.integers(0, 400 * DAY_MS)), o if draw(st.booleans()) else -1.0)


@given(cells(), beliefs, st.floats(0, 5))
def test_a_posterior_is_a_proper_beta(cell: Cell, belief: Belief, pending: float) -> None:
    a, b, doubt = posterior(cell, belief, "email", NOW, pending)
    assert doubt >= 0
    assert a > 0
    assert b > 0
    assert 0 < a / (a + b) < 1


@given(cells(), beliefs)
def test_an_answer_raises_the_rate_and_silence_lowers_it(cell: Cell, belief: Belief) -> None:
    def mean(one: Cell) -> float:
        a, b, _ = posterior(one, belief, "email", NOW)
        return a / (a + b)

    blind = cell.o < 0
    sent = Cell(cell.n + 1, cell.s, cell.at, cell.o)
    answered = Cell(cell.n + 1, cell.s + 1, cell.at, cell.o if blind else cell.o + 1)
    assert mean(sent) <= mean(cell) + 1e-12
    assert mean(answered) >= mean(sent) - 1e-12


@given(cells(), beliefs, st.floats(0, 3))
def test_answers_on_their_way_are_not_held_against_a_channel(cell: Cell, belief: Belief, pending: float) -> None:
    waiting = posterior(cell, belief, "sms", NOW, pending)
    silent = posterior(cell, belief, "sms", NOW)
    assert waiting[0] / (waiting[0] + waiting[1]) >= silent[0] / (silent[0] + silent[1]) - 1e-12


candidates = st.lists(
    st.tuples(st.floats(0.01, 100), st.floats(0.01, 500), st.floats(0, 50), st.floats(0, 1), st.floats(0, 1)),
    min_size=1,
    max_size=6,
)


def situation(rows: list[tuple[float, ...]], *, nothing: bool = False, decision: str = "d") -> Situation:
    made = [
        Candidate(f"channel{i}", row[0], row[1], row[2], row[3], row[4], sends=3, responses=1)
        for i, row in enumerate(rows)
    ]
    return Situation(
        customer="ada",
        at=NOW,
        candidates=made,
        history=[],
        priors=Priors(),
        exploration=0.03,
        nothing=nothing,
        seed=b"seed",
        names=("j", "ada", decision),
        draws=Draws(),
    )


def policies() -> list[ChoicePolicy]:
    return [make_policy("fixed:channel0" if name == "fixed" else name) for name in BUILT_IN]


@given(candidates, st.booleans())
def test_shares_are_probabilities_for_every_policy(rows: list[tuple[float, ...]], nothing: bool) -> None:
    for policy in policies():
        one = situation(rows, nothing=nothing)
        choice = choose(policy, one)
        shares = [c.share for c in one.candidates]
        assert sum(shares) + choice.nothing == pytest.approx(1)
        assert all(0 <= share <= 1 for share in shares)
        chosen = {c.channel: c.share for c in one.candidates} | {NOTHING: choice.nothing}
        assert choice.propensity == chosen[choice.channel] > 0
        assert nothing or choice.channel != NOTHING


@given(candidates)
def test_the_learned_policy_keeps_its_floor(rows: list[tuple[float, ...]]) -> None:
    shares = auto(situation(rows))
    assert min(shares) >= 0.03 / len(rows) - 1e-12


def test_what_is_logged_is_how_often_it_is_drawn() -> None:
    rows = [(3, 60, 1, 0.001, 0), (4, 60, 1, 0.01, 0), (2.5, 40, 1, 0, 0)]
    count = 4000
    drawn = Counter(choose(auto, situation(rows, decision=str(n))).channel for n in range(count))
    for index, share in enumerate(auto(situation(rows))):
        expected = share * count
        assert abs(drawn[f"channel{index}"] - expected) < 4 * (expected * (1 - share)) ** 0.5 + 1


def test_equal_channels_get_about_equal_shares_in_any_order() -> None:
    rows = [(3.0, 60.0, 1.0, 0.0, 0.0), (6.0, 60.0, 1.0, 0.0, 0.0), (4.5, 60.0, 1.0, 0.0, 0.0)]
    seen = []
    for order in permutations(range(3)):
        shares = auto(situation([rows[i] for i in order]))
        seen.append([shares[order.index(i)] for i in range(3)])
    for column in zip(*seen, strict=True):
        assert max(column) - min(column) < 0.06


def test_shares_agree_with_the_beta_distribution_they_stand_for() -> None:
    """The fixed rows against a hundred thousand draws from the tempered posteriors themselves."""
    import numpy as np

    rows = [(0.4, 7.6, 1.2, 0.001, 0.0), (0.8, 7.2, 1.0, 0.03, 0.0), (1.3, 12.0, 0.9, 0.0, 0.01)]
    chance = np.random.default_rng(5)
    net = np.stack([chance.beta(a * 30, b * 30, 100_000) * v - c - loss for a, b, v, c, loss in rows], axis=1)
    truth = np.bincount(net.argmax(axis=1), minlength=3) / 100_000
    for share, wins in zip(auto(situation(rows)), truth, strict=True):
        assert share == pytest.approx(0.97 * wins + 0.01, abs=0.03)


@pytest.mark.parametrize("broken", [[], [float("nan")] * 3, [-1, 2, float("inf")], [0, 0, 0], [5, 5, 5, 5]])
def test_a_slip_of_an_installed_policy_stops_no_send(broken: list[float]) -> None:
    one = situation([(1, 9, 1, 0, 0)] * 3)
    choice = choose(lambda _: broken, one)
    assert sum(c.share for c in one.candidates) == pytest.approx(1)
    assert choice.propensity > 0


def test_policies_are_named_and_a_wrong_name_says_what_to_write() -> None:
    for wrong in ("nonsense", "fixed", "auto:email"):
        with pytest.raises(ValueError, match="write"):
            make_policy(wrong)


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True))
def test_shares_of_messages_are_probabilities(messages: list[str]) -> None:
    chosen, weighed = choose_text(messages, "", Priors(), exploration=0.03, seed=b"s", names=("n",))
    assert sum(one.share for one in weighed) == pytest.approx(1)
    assert chosen in weighed
    assert chosen.share > 0
