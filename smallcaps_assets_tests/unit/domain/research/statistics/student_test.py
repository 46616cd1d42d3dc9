"""Student's t against tables and a finite series."""

import math

import numpy as np
import pytest

from smallcaps_assets.domain.research.statistics.student import incomplete_beta, upper_tail
from smallcaps_assets_tests.slow_spec.cohorts import student_tail


@pytest.mark.parametrize(
    ("t", "degrees", "expected"),
    # quantiles of printed tables
    [(6.313752, 1, 0.05), (2.919986, 2, 0.05), (2.228139, 10, 0.025), (2.763769, 10, 0.01), (1.660234, 100, 0.05)],
)
def test_tabulated_quantiles(t: float, degrees: float, expected: float) -> None:
    assert upper_tail(np.array([t]), np.array([degrees]))[0] == pytest.approx(expected, rel=2e-6)


def test_one_and_two_degrees_have_closed_forms() -> None:
    t = np.array([-1e6, -3.0, -1e-9, 0.0, 1e-9, 0.5, 2.0, 50.0, 1e6])
    one, two = (upper_tail(t, np.full_like(t, degrees)) for degrees in (1.0, 2.0))
    assert one == pytest.approx([math.atan2(1, value) / math.pi for value in t.tolist()], rel=1e-11)
    # (1 - t/sqrt(2 + t^2))/2, written without a difference of near numbers where t > 0
    root = np.sqrt(2 + t * t)
    assert two == pytest.approx(np.where(t > 0, 1 / (root * (root + t)), 0.5 * (1 - t / root)), rel=1e-11)


def test_many_degrees_against_a_finite_series() -> None:
    degrees = np.repeat(np.arange(1, 400), 41)
    t = np.tile(np.linspace(-8, 8, 41), 399)
    expected = [student_tail(value, df) for value, df in zip(t.tolist(), degrees.tolist(), strict=True)]
    assert upper_tail(t, degrees.astype(float)) == pytest.approx(expected, rel=1e-10, abs=1e-13)


def test_the_far_tail_keeps_its_digits() -> None:
    """10 degrees: P(T > t) of t = 100 is 1.2e-16 by the series for even degrees in powers of df/(df + t^2)."""
    # half of I_x(5, 1/2), which is x^5/(5 B(5, 1/2)) x (1 + 5/12 x + 15/56 x^2 + ...): terms (1/2)_k 5/((5 + k) k!) x^k
    x = 10 / (10 + 100.0**2)
    beta = math.gamma(5) * math.gamma(0.5) / math.gamma(5.5)
    series = sum(math.prod((0.5 + i) / (i + 1) for i in range(k)) * 5 / (5 + k) * x**k for k in range(8))
    found = upper_tail(np.array([100.0]), np.array([10.0]))[0]
    assert found == pytest.approx(0.5 * x**5 / (5 * beta) * series, rel=1e-11)


def test_the_beta_function_is_symmetric_and_ends_at_0_and_1() -> None:
    a, b = np.array([0.5, 3.0, 40.0]), np.array([0.5, 7.5, 2.0])
    for x in (0.0, 0.1, 0.5, 0.9, 1.0):
        share, rest = np.full(3, x), np.full(3, 1 - x)
        one, other = incomplete_beta(a, b, share, rest), incomplete_beta(b, a, rest, share)
        assert one + other == pytest.approx(1, rel=1e-13)
        if x in {0.0, 1.0}:
            assert one.tolist() == [x] * 3
