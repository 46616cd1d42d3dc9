"""Student's t distribution, from the incomplete beta function, for arrays (research specification, section 12)."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
# The continued fraction needs about sqrt(degrees of freedom) steps.
_MOST_STEPS: Final = 10_000
_PRECISION: Final = 1e-15
_HALVINGS: Final = 64
# stands for 0 in a denominator
_TINY: Final = 1e-300


def upper_tail(t: _Floats, degrees: _Floats) -> _Floats:
    """P(T > t) of Student's t distribution.

    Args:
        t: finite values.
        degrees: degrees of freedom of each, above 0.
    """
    square = t * t
    share, rest = degrees / (degrees + square), square / (degrees + square)
    half = 0.5 * incomplete_beta(degrees / 2, np.full_like(t, 0.5), share, rest)
    return np.where(t > 0, half, 1 - half)


def critical_value(tail: float, degrees: _Floats) -> _Floats:
    """The t with P(T > t) = `tail`, to 15 digits, by bisection.

    Args:
        tail: above 0, at most 0.5.
        degrees: degrees of freedom of each, at least 1.
    """
    # no tail is heavier than that of 1 degree, whose t is cot(pi tail), below 1/tail
    low, high = np.zeros_like(degrees), np.full_like(degrees, 1 / tail)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        beyond = upper_tail(middle, degrees) > tail
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    return (low + high) / 2


def incomplete_beta(a: _Floats, b: _Floats, x: _Floats, rest: _Floats) -> _Floats:
    """The regularized incomplete beta function I_x(a, b), by a continued fraction.

    The fraction converges fast for x below (a + 1)/(a + b + 2); above it, I_x(a, b) = 1 - I_(1-x)(b, a) is used.

    Args:
        a: above 0.
        b: above 0.
        x: in [0, 1].
        rest: 1 - x, which a caller may know to more digits than the difference has.
    """
    swapped = x > (a + 1) / (a + b + 2)
    a, b = np.where(swapped, b, a), np.where(swapped, a, b)
    x, rest = np.where(swapped, rest, x), np.where(swapped, x, rest)
    # 0 ** a is 0: the logarithm of 0 must not become a warning
    logs = a * np.log(np.maximum(x, _TINY)) + b * np.log(np.maximum(rest, _TINY)) - _log_beta(a, b)
    value = np.where(x > 0, np.exp(logs) / a * _fraction(a, b, x), 0.0)
    return np.where(swapped, 1 - value, value)


def _fraction(a: _Floats, b: _Floats, x: _Floats) -> _Floats:
    """The continued fraction of the incomplete beta function, by the method of Lentz."""
    c = np.ones_like(x)
    d = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    found = d.copy()
    for m in range(1, _MOST_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / _not_zero(1 + step * d)
            c = _not_zero(1 + step / c)
            found *= c * d
        if np.all(np.abs(c * d - 1) <= _PRECISION):
            break
    return found


def _not_zero(values: _Floats) -> _Floats:
    return np.where(np.abs(values) < _TINY, _TINY, values)


def _log_beta(a: _Floats, b: _Floats) -> _Floats:
    return _log_gamma(a) + _log_gamma(b) - _log_gamma(a + b)


def _log_gamma(values: _Floats) -> _Floats:
    """Degrees of freedom are few distinct numbers."""
    distinct, places = np.unique(values, return_inverse=True)
    return np.array([math.lgamma(value) for value in distinct.tolist()])[places]
