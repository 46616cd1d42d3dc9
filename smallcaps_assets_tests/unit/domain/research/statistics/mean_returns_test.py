"""Mean returns and their intervals by hand."""

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.research.statistics.mean_returns import mean_returns
from smallcaps_assets.domain.research.statistics.student import critical_value, upper_tail


def test_the_worked_example_of_the_specification() -> None:
    """Section 13, H; t of 3 degrees is 3.182446, so the interval is 0.004125 -+ 3.182446 x 0.00354151 = 0.01127066."""
    values = [0.010, 0.020, -0.005, -0.010, 0.015, 0.005, 0, -0.002]
    dates = ["d1"] * 3 + ["d2"] + ["d3"] * 2 + ["d4"] * 2
    rows = pl.DataFrame({"side": "a", "date": dates, "value": values})
    # a group of one date has no error, one of equal dates no interval; null returns are left out
    others = pl.DataFrame(
        {
            "side": ["b", "b", "c", "c", "c"],
            "date": ["d1", "d1", "d1", "d2", "d3"],
            "value": [0.01, 0.03, 0.5, 0.5, None],
        }
    )
    found = {row.pop("side"): row for row in mean_returns(pl.concat([rows, others]), ["side"]).to_dicts()}
    assert found["a"] == pytest.approx(
        {
            "n": 8,
            "n_days": 4,
            "win_rate": 0.5,
            "mean": 0.004125,
            "se": 0.00354151,
            "mean_lo": 0.004125 - 0.01127066,
            "mean_hi": 0.004125 + 0.01127066,
        },
        rel=1e-5,
    )
    no_interval = {"mean_lo": None, "mean_hi": None}
    assert found["b"] == {"n": 2, "n_days": 1, "win_rate": 1.0, "mean": 0.02, "se": None, **no_interval}
    assert found["c"] == {"n": 2, "n_days": 2, "win_rate": 1.0, "mean": 0.5, "se": 0.0, **no_interval}


def test_no_returns_have_no_rows() -> None:
    rows = pl.DataFrame(schema={"side": pl.String, "date": pl.String, "value": pl.Float64})
    assert mean_returns(rows, ["side"]).is_empty()


def test_critical_values_are_those_of_tables() -> None:
    degrees = np.array([1.0, 2.0, 3.0, 10.0, 100.0, 1e6])
    found = critical_value(0.025, degrees)
    # printed tables; the last is that of the normal distribution to 6 digits
    assert found == pytest.approx([12.706205, 4.302653, 3.182446, 2.228139, 1.983972, 1.959966], rel=1e-6)
    assert upper_tail(found, degrees) == pytest.approx(0.025, rel=1e-12)
