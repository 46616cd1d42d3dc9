"""The EDGE estimator: a case worked by hand, and the authors' own code."""

import math

import bidask
import numpy as np
import pytest

from smallcaps_assets.domain.research.bars.edge_spread import edge_spreads


def matrices(bars: list[tuple[float, float, float, float]]) -> list[np.ndarray]:
    return [np.array([column]) for column in np.array(bars).T]


def test_three_bars_worked_by_hand() -> None:
    """Logs of the prices in cents of a log: open, high, low, close."""
    logs = [(0, 2, -2, 1), (1, 3, -1, 0), (-1, 1, -3, 1)]
    bars = [tuple(math.exp(value / 100) for value in row) for row in logs]
    # mids 0, 1, -1. Bars 2 and 3: mid - open 0, 0; open - mid before 1, -2; mid - close before 0, -1;
    # close before - mid before 1, -1; open - close before 0, -1. Both move; opens and closes lie inside: 2 and 2.
    # centred: 0, 0; 0.5, -0.5; 0.5, -0.5. First: -2 x (0.5 x 1), -2 x (-0.5 x -1) = -1, -1.
    # Second: -2 x 0.5 x 1, -2 x -0.5 x -1 = -1, -1. Variances 0: the mean, -1e-4: the root -0.01.
    assert edge_spreads(*matrices(bars))[0] == pytest.approx(-0.01, rel=1e-6)


@pytest.mark.parametrize(
    "bars",
    [
        [(5.0, 5.0, 5.0, 5.0)] * 30,
        # every open is a high and a low
        [(5.0 + step / 100,) * 4 for step in range(30)],
    ],
)
def test_undefined_without_movement_inside_bars(bars: list[tuple[float, float, float, float]]) -> None:
    assert np.isnan(edge_spreads(*matrices(bars))[0])


@pytest.mark.parametrize("count", [3, 20, 37, 60])
def test_the_authors_code_gives_the_same_to_the_last_bit(count: int) -> None:
    rng = np.random.default_rng(count)
    middle = 100 + rng.integers(-3, 4, (200, count)).cumsum(axis=1)
    close = middle + rng.integers(-2, 3, middle.shape)
    open_ = np.where(rng.random(middle.shape) < 0.5, middle, np.roll(close, 1, axis=1))
    high = np.maximum(open_, close) + rng.integers(0, 3, middle.shape)
    low = np.minimum(open_, close) - rng.integers(0, 3, middle.shape)
    prices = [cents / 100 for cents in (open_, high, low, close)]
    expected = [bidask.edge(*(column[row] for column in prices), sign=True) for row in range(200)]
    found = edge_spreads(*prices)
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).any()
