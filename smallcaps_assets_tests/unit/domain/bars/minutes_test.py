"""One bar per minute: repeats count once, and bars that contradict one another are all set aside."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.bars.minutes import resolve_minutes
from smallcaps_assets.domain.tables import BARS

START = datetime(2025, 11, 10, 14, 30, tzinfo=UTC)


def bars(*rows: tuple[int, dict[str, Any]]) -> pl.DataFrame:
    """Bars at minutes after START with other values than 5.00 to 5.02 and 2,000 shares in 20 transactions."""
    usual = {"symbol": "ABCD", "open": 5.0, "high": 5.02, "low": 4.99, "close": 5.01, "volume": 2000.0, "vwap": 5.0}
    given = [
        usual | {"transactions": 20, "timestamp": START + timedelta(minutes=minute)} | changed
        for minute, changed in rows
    ]
    return pl.DataFrame([{name: row[name] for name in BARS} for row in given], schema=BARS, orient="row")


TEN = bars(*((minute, {}) for minute in range(10)))


@pytest.mark.parametrize("again", [TEN, TEN[3:4], TEN[::-1]], ids=["all of them", "one out of order", "all backwards"])
def test_exact_repeats_are_removed_and_counted(again: pl.DataFrame) -> None:
    found = resolve_minutes(pl.concat([TEN, again]))
    assert found.bars.equals(TEN)
    assert (found.conflicting.height, found.repeats) == (0, again.height)


def test_bars_of_a_minute_that_differ_are_all_set_aside() -> None:
    """Neither the first nor the larger one is used; an exact repeat of one of them is a repeat."""
    small, large = {"volume": 600.0, "transactions": 1}, {"volume": 949.0, "transactions": 9}
    found = resolve_minutes(bars((4, {}), (5, small), (5, large), (5, small), (6, {})))
    assert found.bars.equals(bars((4, {}), (6, {})))
    assert found.conflicting.equals(bars((5, small), (5, large)))
    assert found.repeats == 1


@pytest.mark.parametrize("without", [{"vwap": None, "transactions": None}, {"vwap": 0.0, "transactions": -1}], ids=str)
def test_a_bar_that_only_says_more_fills_in_the_first(without: dict[str, Any]) -> None:
    found = resolve_minutes(bars((5, without), (5, {})))
    assert found.bars.equals(bars((5, {})))
    assert (found.conflicting.height, found.repeats) == (0, 1)


@pytest.mark.parametrize("bad", [{"close": None}, {"volume": 0.0}, {"high": 4.0}, {"open": float("nan")}], ids=str)
def test_an_unusable_bar_contradicts_none(bad: dict[str, Any]) -> None:
    """The good one stays, and the quarantine judges the other."""
    found = resolve_minutes(bars((5, bad), (5, {})))
    assert found.bars.sort("volume", "close", "high").height == 2
    assert found.bars.filter(pl.col("close") == 5.01, pl.col("volume") == 2000.0, pl.col("high") == 5.02).height >= 1
    assert (found.conflicting.height, found.repeats) == (0, 0)


def test_the_order_of_rows_does_not_decide_what_is_used() -> None:
    rows = pl.concat([TEN, TEN[2:5], bars((7, {"close": 5.015}), (8, {"volume": 1.0}), (8, {"volume": 0.0}))])
    expected = resolve_minutes(rows)
    assert expected.conflicting["timestamp"].n_unique() == 2
    for seed in range(10):
        places = list(range(rows.height))
        random.Random(seed).shuffle(places)  # noqa: S311
        found = resolve_minutes(rows[places])
        assert found.bars.sort(*BARS).equals(expected.bars.sort(*BARS))
        assert found.conflicting.sort(*BARS).equals(expected.conflicting.sort(*BARS))
        assert found.repeats == expected.repeats == 3
