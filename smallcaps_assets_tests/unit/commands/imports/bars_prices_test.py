"""Bars with prices in parts of a dollar: rejected with the likely scale, imported as dollars where it is given."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.whole_prices import WHOLE_PRICES
from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.imports.prices import PriceScale
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.scenarios import Row, bars_from
from smallcaps_assets_tests.unit.commands.imports.bar_imports import (
    ONE,
    PRICES,
    importing,
    of_symbol,
    put,
    quarantined,
    stored,
)

# 30 minutes of a small cap; the vwap of a minute is its close
MINUTES: list[Row] = [(4.99, 5.01, 4.98, (49_963 + minute) / 10_000, 100.0 + minute, 7) for minute in range(30)]
DOLLARS = bars_from("2025-11-03 09:30", MINUTES)
NANO = PriceScale("1e-9")


def in_nano(bars: pl.DataFrame, dtype: pl.DataType | type[pl.DataType] = pl.Int64) -> pl.DataFrame:
    return bars.with_columns((pl.col(PRICES) * 10**9).round(0).cast(pl.Int64).cast(dtype))


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64, pl.Float64, pl.Decimal(30, 0)])
@pytest.mark.parametrize("name", ["bars.parquet", "AEMD.parquet", "bars.csv.gz"])
def test_prices_of_1e_9_are_rejected_and_named(
    name: str, dtype: pl.DataType | type[pl.DataType], lake: Lake, brought: Path
) -> None:
    file = put(brought / name, in_nano(DOLLARS, dtype))
    put(brought / "symbol=BRK.B.parquet", of_symbol("BRK.B"))
    (message,) = importing(lake, brought).problems
    assert message.startswith(f"{file}: ")
    assert "such as 4,996,300,000" in message
    assert "1e-9 dollars (then 4.9963): give --price-scale 1e-9" in message
    assert BarsStore(lake).symbols() == ["BRK.B"]
    # as the message says
    assert not importing(lake, file, BarForm(scale=NANO)).problems
    assert_frame_equal(BarsStore(lake).read("AEMD"), DOLLARS, abs_tol=0, rel_tol=0)


@pytest.mark.parametrize(("per_dollar", "scale"), [(10_000, "1e-4"), (100, "0.01")])
def test_other_parts_of_a_dollar_are_seen_by_their_missing_fractions(
    per_dollar: int, scale: str, lake: Lake, brought: Path
) -> None:
    whole = DOLLARS.with_columns((pl.col(PRICES) * per_dollar).round(0))
    put(brought / "bars.csv", whole)
    (message,) = importing(lake, brought).problems
    assert f"give --price-scale {scale}; or --price-scale 1, if they are dollars" in message
    assert stored(lake).is_empty()
    assert not importing(lake, brought, BarForm(scale=PriceScale(scale))).problems
    assert_frame_equal(stored(lake), whole.with_columns(pl.col(PRICES) / per_dollar))
    importing(new_lake(lake.root.with_name("dollars")), brought, BarForm(scale=PriceScale("1")))
    assert stored(Lake(lake.root.with_name("dollars")))["close"].max() == whole["close"].max()


def test_one_file_of_a_symbol_in_other_units_stops_no_other(lake: Lake, brought: Path) -> None:
    put(brought / "symbol=AEMD" / "1.parquet", ONE)
    wrong = put(brought / "symbol=AEMD" / "2.parquet", in_nano(DOLLARS, pl.Float64))
    (message,) = importing(lake, brought).problems
    assert message.startswith(f"{wrong}: ")
    assert_frame_equal(stored(lake), ONE)


@pytest.mark.parametrize("at_once", [1, 1_000])
def test_a_bad_print_is_quarantined_and_a_dear_stock_is_not(at_once: int, lake: Lake, brought: Path) -> None:
    dear = bars_from("2025-11-03 09:30", [(812_000.5, 812_500.0, 811_000.0, 812_345.0, 3.0, 2)] * 30, "BRK.A")
    bad = DOLLARS.with_columns(pl.when(pl.int_range(pl.len()) == 7).then(1e6 + 1).otherwise("high").alias("high"))
    put(brought / "bars.parquet", pl.concat([bad, dear]))
    assert not importing(lake, brought, rows_at_once=at_once).problems
    assert stored(lake).height == 59
    assert BarsStore(lake).symbols() == ["AEMD", "BRK.A"]
    assert quarantined(lake) == {"symbol=AEMD/2025-11.parquet": {"a price is above 1,000,000 dollars": 1}}


def test_a_missing_price_of_an_integer_column_is_quarantined(lake: Lake, brought: Path) -> None:
    none = pl.when(pl.int_range(pl.len()) == 3).then(2**63 - 1).otherwise("close").alias("close")
    put(brought / "bars.parquet", in_nano(DOLLARS).with_columns(none))
    importing(lake, brought, BarForm(scale=NANO))
    assert quarantined(lake) == {"symbol=AEMD/2025-11.parquet": {"a price is missing or not positive": 1}}
    assert_frame_equal(stored(lake).drop("vwap"), pl.concat([DOLLARS[:3], DOLLARS[4:]]).drop("vwap"))


@pytest.mark.parametrize("name", ["bars.parquet", "bars.csv"])
def test_a_vwap_in_dollars_stays(name: str, lake: Lake, brought: Path) -> None:
    put(brought / name, in_nano(DOLLARS).with_columns(DOLLARS["vwap"]))
    assert not importing(lake, brought, BarForm(scale=NANO)).problems
    assert_frame_equal(stored(lake), DOLLARS, abs_tol=0, rel_tol=0)


def test_decimals_with_fractions_are_dollars(lake: Lake, brought: Path) -> None:
    exact = DOLLARS.with_columns(pl.col(PRICES).cast(pl.Decimal(12, 4)))
    assert exact["close"][0] == Decimal("4.9963")
    put(brought / "bars.parquet", exact)
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), DOLLARS, abs_tol=0, rel_tol=0)


def test_one_symbol_in_cents_is_rejected_and_named_and_the_others_are_imported(lake: Lake, brought: Path) -> None:
    cents = DOLLARS.with_columns((pl.col(PRICES) * 100).round(0), symbol=pl.lit("CENT"))
    file = put(brought / "bars.parquet", pl.concat([DOLLARS, cents]))
    (message,) = importing(lake, brought).problems
    assert message.startswith(f"{file}: {WHOLE_PRICES} (CENT on 2025-11-03). None of these 30 rows is used")
    assert "such as a close of 500, into files of their own and give their unit with --price-scale" in message
    assert_frame_equal(stored(lake), DOLLARS)
    assert quarantined(lake) == {"symbol=CENT/2025-11.parquet": {WHOLE_PRICES: 30}}
    # the remedy, and the other one
    put(brought / "cents" / "bars.parquet", cents)
    assert not importing(lake, brought / "cents", BarForm(scale=PriceScale("0.01"))).problems
    assert BarsStore(lake).read("CENT")["close"][0] == 5.0
    assert not importing(lake, file, BarForm(scale=PriceScale("1")), decided=True).problems
