"""Layouts, file names, symbols and columns of bar files: which are recognised on import, and which are rejected."""

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.unit.commands.imports.bar_imports import (
    BOTH,
    FRI,
    LAYOUTS,
    ONE,
    OTHER,
    STAMP,
    day_files,
    held,
    importing,
    of_symbol,
    put,
    quarantined,
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_bars(layout: str, lake: Lake, brought: Path) -> None:
    LAYOUTS[layout](brought)
    result = importing(lake, brought)
    assert not result.problems
    expected = BOTH if "flat" not in layout else BOTH.with_columns(vwap=pl.lit(None, dtype=pl.Float64))
    assert_frame_equal(held(lake), expected)
    assert result.figures["bars_new"] == 12
    assert not quarantined(lake)


def test_a_file_or_a_pattern_may_be_named(lake: Lake, brought: Path) -> None:
    day_files(brought)
    importing(lake, brought / "symbol=AEMD" / f"date={FRI}.parquet")
    assert_frame_equal(held(lake), ONE.head(2))
    importing(lake, brought / "*" / "date=2025-11-*.parquet")
    assert held(lake).height == 10


@pytest.mark.parametrize("at_once", [1, 5, 7])
def test_a_file_larger_than_memory_is_read_in_whole_symbols(at_once: int, lake: Lake, brought: Path) -> None:
    nameless = ONE.head(1).with_columns(symbol=pl.lit(None, dtype=pl.String))
    every = pl.concat([BOTH, of_symbol("CRVO"), nameless]).sort("timestamp")
    put(brought / "big.parquet", every)
    assert importing(lake, brought, rows_at_once=at_once).figures["bars_new"] == 18
    assert_frame_equal(held(lake), pl.concat([BOTH, of_symbol("CRVO")]))
    assert quarantined(lake) == {"unnamed.parquet": {"symbol is not usable as a name": 1}}
    before = files_below(lake.root)
    assert not importing(lake, brought, rows_at_once=at_once).figures
    assert files_below(lake.root) == before


def test_a_symbol_that_looks_like_something_else_stays_a_symbol(lake: Lake, brought: Path) -> None:
    names = ["NA", "NULL", "TRUE", "NAN", "INF", "E1"]
    put(brought / "bars.csv", pl.concat(of_symbol(name) for name in names))
    assert not importing(lake, brought).problems
    assert BarsStore(lake).symbols() == sorted(names)


@pytest.mark.parametrize("name", ["bars.csv", "bars.csv.gz"])
def test_a_csv_as_spreadsheets_write_it(name: str, lake: Lake, brought: Path) -> None:
    """With a mark of its encoding and the line ends of Windows."""
    text = BOTH.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%:z", line_terminator="\r\n", include_bom=True).encode()
    assert text.startswith(b"\xef\xbb\xbf")
    brought.mkdir()
    (brought / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert not importing(lake, brought).problems
    assert_frame_equal(held(lake), BOTH)


def test_symbols_in_small_letters_are_capitals(lake: Lake, brought: Path) -> None:
    put(brought / "symbol=aemd" / "all.parquet", ONE.drop("symbol"))
    put(brought / "bars.parquet", OTHER.with_columns(symbol=pl.lit("brk.b")))
    importing(lake, brought)
    assert_frame_equal(held(lake), BOTH)


@pytest.mark.parametrize("write", [str.title, str.upper])
@pytest.mark.parametrize("symbol", ["symbol", "ticker", "sym"])
@pytest.mark.parametrize("name", ["BARS.csv", "BARS.parquet"])
def test_columns_are_known_regardless_of_case(
    name: str, symbol: str, write: Callable[[str], str], lake: Lake, brought: Path
) -> None:
    """A file of many symbols is none of a symbol that is its name."""
    put(brought / name, BOTH.rename({"symbol": symbol}).rename(write))
    result = importing(lake, brought)
    assert not result.problems
    assert not result.files.extra
    assert_frame_equal(held(lake), BOTH)


def test_flat_files_are_known_regardless_of_case(lake: Lake, brought: Path) -> None:
    bars = BOTH.with_columns(timestamp=STAMP.dt.epoch("ns")).rename({"symbol": "Ticker", "timestamp": "Window_Start"})
    put(brought / "flat.csv", bars)
    assert not importing(lake, brought).problems
    assert_frame_equal(held(lake), BOTH)


def test_columns_that_differ_only_in_case_are_asked_about(lake: Lake, brought: Path) -> None:
    file = put(brought / "bars.parquet", BOTH.with_columns(Open=pl.col("close"), note=pl.lit(1), NOTE=pl.lit(2)))
    (told,) = importing(lake, brought).problems
    assert f"{file}: columns open and Open differ only in case, and each may be open. Choose one" in told
    assert "--columns open=open" in told
    assert not importing(lake, brought, BarForm(names={"open": "open"})).problems
    assert_frame_equal(held(lake), BOTH)


def test_a_name_that_was_said_is_exact(lake: Lake, brought: Path) -> None:
    """Some vendors write T for the ticker and t for the time."""
    bars = ONE.rename({"symbol": "T", "timestamp": "t"})
    form = BarForm(names={"symbol": "T", "timestamp": "t"})
    put(brought / "1" / "bars.parquet", bars.drop("T"))
    (told,) = importing(lake, brought / "1", form).problems
    assert "no column T (given as symbol)" in told
    put(brought / "2" / "bars.parquet", bars)
    assert not importing(lake, brought / "2", form).problems
    assert_frame_equal(held(lake), ONE)


@pytest.mark.parametrize("column", ["stock_symbol", "Ticker Name"])
def test_a_column_that_may_hold_symbols_is_asked_about(column: str, lake: Lake, brought: Path) -> None:
    file = put(brought / "BARS.csv", BOTH.rename({"symbol": column}))
    (told,) = importing(lake, brought).problems
    assert f"{file}: column {column} may hold the symbols. Say so: --columns symbol={column}" in told
    assert "name it `symbol=X.csv`" in told
    assert not importing(lake, brought, BarForm(names={"symbol": column})).problems
    assert_frame_equal(held(lake), BOTH)
    # what the path says is not asked
    put(brought / "symbol=CRVO.csv", of_symbol("CRVO").rename({"symbol": column}))
    assert not importing(lake, brought / "symbol=CRVO.csv").problems


@pytest.mark.parametrize("name", ["Jan", "Apr", "Bars", "minute", "AEMd", "2025"])
def test_a_name_that_is_no_ticker_is_refused(name: str, lake: Lake, brought: Path) -> None:
    file = put(brought / "AEMD" / f"{name}.parquet", ONE.drop("symbol"))
    (told,) = importing(lake, brought).problems
    assert f"{file}: no column symbol, and its name is none: {name!r} is not in capitals" in told
    assert "--columns symbol=NAME" in told
    assert "name it `symbol=X.parquet`" in told
    assert held(lake).is_empty()


@pytest.mark.parametrize("name", ["A", "BRK.B", "KIMpL", "BACp", "XYZw", "ABC.WS"])
def test_a_name_that_is_a_ticker_is_one(name: str, lake: Lake, brought: Path) -> None:
    put(brought / f"{name}.parquet", ONE.drop("symbol"))
    assert not importing(lake, brought).problems
    assert BarsStore(lake).symbols() == [name]


@pytest.mark.parametrize("name", ["AEMD{}", "symbol=AEMD{}", "symbol=AEMD{}/bars{}", "symbol=AEMD/bars{}"])
@pytest.mark.parametrize("suffix", [".CSV", ".Csv.Gz", ".csv.GZ", ".PARQUET"])
def test_capitals_at_the_end_of_a_name_are_no_part_of_a_symbol(
    suffix: str, name: str, lake: Lake, brought: Path
) -> None:
    file = brought / name.format(suffix, suffix)
    put(file.with_name("written" + suffix.lower()), ONE.drop("symbol")).rename(file)
    assert not importing(lake, brought).problems
    assert_frame_equal(held(lake), ONE)


def test_symbols_that_differ_only_in_case_are_refused(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", pl.concat([of_symbol("KIMpL"), of_symbol("KIMPL")]))
    result = importing(lake, brought)
    assert "differs only in case" in " ".join(result.problems)
    assert len(BarsStore(lake).symbols()) == 1


def test_a_column_that_contradicts_the_path_is_told(lake: Lake, brought: Path) -> None:
    put(brought / "symbol=AEMD" / "all.parquet", BOTH)
    (told,) = importing(lake, brought).problems
    assert "the path says symbol AEMD, the column symbol BRK.B" in told
    assert "The 6 rows of another symbol than the path's are set aside" in told
    assert_frame_equal(held(lake), ONE)
    assert quarantined(lake) == {
        "symbol=BRK.B/2025-10.parquet": {"the path says another symbol": 2},
        "symbol=BRK.B/2025-11.parquet": {"the path says another symbol": 4},
    }
    put(brought / "symbol=BRK.B" / "all.parquet", OTHER)
    (brought / "symbol=AEMD" / "all.parquet").unlink()
    assert not importing(lake, brought).problems
    assert not quarantined(lake)


def test_symbols_that_nobody_follows_may_be_left_out(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", BOTH)
    put(brought / "CRVO.parquet", of_symbol("CRVO").drop("symbol"))
    importing(lake, brought, only={"AEMD"})
    assert_frame_equal(held(lake), ONE)
    importing(lake, brought, only={"AEMD", "CRVO"})
    assert BarsStore(lake).symbols() == ["AEMD", "CRVO"]
