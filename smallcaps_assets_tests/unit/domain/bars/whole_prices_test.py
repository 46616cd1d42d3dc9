"""Prices in parts of a dollar beside prices in dollars, in one file: found by their missing fractions."""

from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.bars.quality import clean_bars, reasons
from smallcaps_assets.domain.bars.whole_prices import WHOLE_PRICES, find_whole_sessions
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets_tests.scenarios import Row, bars_from

# 20 minutes between 4.98 and 5.11 dollars
ROWS: list[Row] = [(5.0, 5.02 + minute % 10 / 100, 4.98, 5.01, 100.0, 7) for minute in range(20)]
FIRST, SECOND = "2025-11-03", "2025-11-04"


def minutes(day: str, symbol: str, times: float = 1, rows: int = 20, file: str = "a") -> pl.DataFrame:
    bars = bars_from(f"{day} 09:30", ROWS[:rows], symbol)
    scaled = [(pl.col(name) * times).round(2).alias(name) for name in ("open", "high", "low", "close", "vwap")]
    return bars.with_columns(scaled).with_columns(file=pl.lit(file))


def found(*frames: pl.DataFrame) -> list[tuple[Any, ...]]:
    return find_whole_sessions(pl.concat(frames), ("file",)).with_columns(pl.col("day").cast(pl.String)).rows()


@pytest.mark.parametrize("times", [100, 10_000])
def test_a_symbol_without_a_fraction_beside_one_in_dollars_is_found(times: float) -> None:
    """20 bars from 498 to 511 cents, or from 49,800 to 51,100; with 19 it may be chance."""
    dollars = minutes(FIRST, "A")
    assert found(dollars, minutes(FIRST, "B", times)) == [("a", "B", FIRST)]
    assert found(dollars, minutes(FIRST, "B", times, rows=19)) == []
    assert found(dollars) == []


def test_a_session_of_20_times_the_price_of_the_others_is_found() -> None:
    """5.01 dollars on the first day, 501 cents on the second: 100 times. In two files each is judged by itself."""
    assert found(minutes(FIRST, "A"), minutes(SECOND, "A", 100)) == [("a", "A", SECOND)]
    assert found(minutes(FIRST, "A"), minutes(SECOND, "A", 100, file="b")) == [("b", "A", SECOND)]


def test_dollars_without_a_fraction_by_chance_stay() -> None:
    """A session of 5, 6, 4 and 5 dollars beside others; a price that never moves; a stock of 498,000 dollars."""
    whole = minutes(SECOND, "A").with_columns(open=5.0, high=6.0, low=4.0, close=5.0)
    assert found(minutes(FIRST, "A"), whole) == []
    still = minutes(FIRST, "B").with_columns(pl.lit(5.0).alias(name) for name in ("open", "high", "low", "close"))
    assert found(minutes(FIRST, "A"), still) == []
    assert found(minutes(FIRST, "A"), minutes(FIRST, "BRK.A", 100_000)) == []


def test_such_rows_are_quarantined_unless_the_unit_is_known() -> None:
    rows = pl.concat([minutes(FIRST, "A"), minutes(FIRST, "B", 100)])
    clean = clean_bars(rows, ["file"], in_dollars=False)
    assert clean.good.equals(minutes(FIRST, "A").select(*BARS))
    assert reasons(clean.quarantined) == {WHOLE_PRICES: 20}
    assert clean_bars(rows, ["file"]).quarantined.is_empty()
