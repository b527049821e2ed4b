"""Student's t without a library: distribution and quantiles for any positive degrees of freedom.

The tail is a regularised incomplete beta function, computed by its continued fraction with Lentz's method (Abramowitz &
Stegun 26.5.8 and 26.7.1); quantiles by bisection between bounds that always hold. Accurate to 1e-9 and better.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, lgamma, log, log1p, sqrt

_TINY = 1e-300
_ENOUGH = 1e-14


def cdf(t: float, degrees: float) -> float:
    """P(T <= t)."""
    if t * t < degrees:
        # Near the middle the other tail of the beta keeps the digits.
        inner = 0.5 * incomplete_beta(0.5, degrees / 2.0, t * t / (degrees + t * t))
        return 0.5 + inner if t > 0.0 else 0.5 - inner
    tail = 0.5 * incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))
    return 1.0 - tail if t > 0.0 else tail


@lru_cache(maxsize=4096)
def quantile(chance: float, degrees: float) -> float:
    """The t with P(T <= t) = `chance`, 0 < chance < 1."""
    if not 0.0 < chance < 1.0:
        return inf if chance >= 1.0 else -inf
    if chance < 0.5:
        return -quantile(1.0 - chance, degrees)
    low, high = 0.0, 1.0
    while cdf(high, degrees) < chance and high < 1e12:
        low, high = high, high * 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        if cdf(middle, degrees) < chance:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), the distribution function of Beta(a, b)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1.0 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c = 1.0
    d = _away(1.0 - (a + b) * x / (a + 1.0))
    d = 1.0 / d
    result = d
    # Some multiple of the square root of max(a, b) terms is enough.
    for m in range(1, 200 + int(10 * sqrt(max(a, b)))):
        twice = 2 * m
        step = m * (b - m) * x / ((a + twice - 1.0) * (a + twice))
        d = 1.0 / _away(1.0 + step * d)
        c = _away(1.0 + step / c)
        result *= d * c
        step = -(a + m) * (a + b + m) * x / ((a + twice) * (a + twice + 1.0))
        d = 1.0 / _away(1.0 + step * d)
        c = _away(1.0 + step / c)
        change = d * c
        result *= change
        if abs(change - 1.0) < _ENOUGH:
            break
    return result


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
