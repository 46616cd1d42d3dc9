"""The EDGE estimator of the bid-ask spread from open, high, low and close prices.

After Ardia, Guidotti and Kroencke, "Efficient estimation of bid-ask spreads from open, high, low, and close prices",
Journal of Financial Economics, 2024.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]
# fewest bars that move
_MIN_MOVED: Final = 2


def edge_spreads(open_: Matrix, high: Matrix, low: Matrix, close: Matrix) -> Vector:
    """The signed root of the squared spread, as a fraction of the price, for each row of bars in order of time.

    NaN where the estimator is not defined: fewer than two bars move, or no open or no previous close lies inside the
    range of its bar. Operations come in the order of the authors' code: where the true value is 0 the result is the
    root of a rounding error, which any other order changes.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return _estimate(open_, high, low, close)


def _mean(values: Matrix) -> Matrix:
    return np.asarray(values.sum(axis=1) / values.shape[1])[:, None]


def _estimate(open_: Matrix, high: Matrix, low: Matrix, close: Matrix) -> Vector:
    log_open, log_high, log_low, log_close = (np.log(prices) for prices in (open_, high, low, close))
    log_mid = (log_high + log_low) / 2
    # of each bar but the first, and of the bar before it
    opened, mid, mid_before, close_before = log_open[:, 1:], log_mid[:, 1:], log_mid[:, :-1], log_close[:, :-1]
    open_mid, mid_open, close_mid = mid - opened, opened - mid_before, mid - close_before
    mid_close, close_open = close_before - mid_before, opened - close_before

    moved = ((high[:, 1:] != low[:, 1:]) | (low[:, 1:] != close[:, :-1])).astype(np.float64)
    share_moved = _mean(moved)
    share_open = _mean(moved * (open_[:, 1:] != high[:, 1:])) + _mean(moved * (open_[:, 1:] != low[:, 1:]))
    share_close = _mean(moved * (close[:, :-1] != high[:, :-1])) + _mean(moved * (close[:, :-1] != low[:, :-1]))

    by_open = open_mid - _mean(open_mid) / share_moved * moved
    by_close = close_mid - _mean(close_mid) / share_moved * moved
    by_both = close_open - _mean(close_open) / share_moved * moved
    first = -4.0 / share_open * by_open * mid_open + -4.0 / share_close * by_close * mid_close
    second = -4.0 / share_open * by_open * close_open + -4.0 / share_close * by_both * mid_close
    mean_first, mean_second = _mean(first), _mean(second)
    variance_first, variance_second = _mean(first**2) - mean_first**2, _mean(second**2) - mean_second**2
    total = variance_first + variance_second
    weighted = (variance_second * mean_first + variance_first * mean_second) / total
    squared = np.where(total > 0, weighted, (mean_first + mean_second) / 2)
    spread: Vector = (np.sqrt(np.abs(squared)) * np.sign(squared))[:, 0]
    undefined = (moved.sum(axis=1) < _MIN_MOVED) | (share_open[:, 0] == 0) | (share_close[:, 0] == 0)
    return np.where(undefined, np.nan, spread)
