"""Student's t against values of printed tables and against itself."""

from __future__ import annotations

from math import inf, pi
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.learning import student


@pytest.mark.parametrize(
    ("chance", "degrees", "value"),
    [(0.975, 1, 12.7062047), (0.95, 2, 2.9199856), (0.9, 4, 1.5332063), (0.995, 10, 3.1692727), (0.9, 30, 1.3104150)],
)
def test_quantiles_of_the_tables(chance: float, degrees: float, value: float) -> None:
    assert student.quantile(chance, degrees) == pytest.approx(value, abs=1e-6)
    assert student.quantile(1 - chance, degrees) == pytest.approx(-value, abs=1e-6)


def test_one_degree_is_cauchy_and_many_are_normal() -> None:
    assert student.cdf(1.0, 1) == pytest.approx(0.75)
    assert student.cdf(-2.0, 1) == pytest.approx(0.5 - 1.1071487177940904 / pi)
    assert student.quantile(0.9, 1e6) == pytest.approx(NormalDist().inv_cdf(0.9), abs=1e-5)


@given(st.floats(0.001, 0.999), st.floats(0.5, 200))
def test_the_quantile_undoes_the_distribution(chance: float, degrees: float) -> None:
    assert student.cdf(student.quantile(chance, degrees), degrees) == pytest.approx(chance, abs=1e-9)


def test_the_ends() -> None:
    assert student.quantile(1.0, 3) == inf
    assert student.quantile(0.0, 3) == -inf
    assert student.incomplete_beta(2, 3, 0) == 0
    assert student.incomplete_beta(2, 3, 1) == 1
