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
    importing,
    of_symbol,
    put,
    quarantined,
    stored,
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_bars(layout: str, lake: Lake, brought: Path) -> None:
    LAYOUTS[layout](brought)
    result = importing(lake, brought)
    assert not result.problems
    expected = BOTH if "flat" not in layout else BOTH.with_columns(vwap=pl.lit(None, dtype=pl.Float64))
    assert_frame_equal(stored(lake), expected)
    assert result.figures["bars_new"] == 12
    assert not quarantined(lake)


def test_files_and_patterns_are_accepted(lake: Lake, brought: Path) -> None:
    day_files(brought)
    importing(lake, brought / "symbol=AEMD" / f"date={FRI}.parquet")
    assert_frame_equal(stored(lake), ONE.head(2))
    importing(lake, brought / "*" / "date=2025-11-*.parquet")
    assert stored(lake).height == 10


@pytest.mark.parametrize("at_once", [1, 5, 7])
def test_a_file_larger_than_memory_is_read_by_whole_symbols(at_once: int, lake: Lake, brought: Path) -> None:
    nameless = ONE.head(1).with_columns(symbol=pl.lit(None, dtype=pl.String))
    every = pl.concat([BOTH, of_symbol("CRVO"), nameless]).sort("timestamp")
    put(brought / "big.parquet", every)
    assert importing(lake, brought, rows_at_once=at_once).figures["bars_new"] == 18
    assert_frame_equal(stored(lake), pl.concat([BOTH, of_symbol("CRVO")]))
    assert quarantined(lake) == {"unnamed.parquet": {"symbol is not usable as a name": 1}}
    before = files_below(lake.root)
    assert not importing(lake, brought, rows_at_once=at_once).figures
    assert files_below(lake.root) == before


def test_symbols_that_look_like_numbers_or_nulls_are_text(lake: Lake, brought: Path) -> None:
    names = ["NA", "NULL", "TRUE", "NAN", "INF", "E1"]
    put(brought / "bars.csv", pl.concat(of_symbol(name) for name in names))
    assert not importing(lake, brought).problems
    assert BarsStore(lake).symbols() == sorted(names)


@pytest.mark.parametrize("name", ["bars.csv", "bars.csv.gz"])
def test_a_csv_as_spreadsheets_write_it(name: str, lake: Lake, brought: Path) -> None:
    """With a byte order mark and Windows line ends."""
    text = BOTH.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%:z", line_terminator="\r\n", include_bom=True).encode()
    assert text.startswith(b"\xef\xbb\xbf")
    brought.mkdir()
    (brought / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), BOTH)


def test_lower_case_symbols_are_converted_to_capitals(lake: Lake, brought: Path) -> None:
    put(brought / "symbol=aemd" / "all.parquet", ONE.drop("symbol"))
    put(brought / "bars.parquet", OTHER.with_columns(symbol=pl.lit("brk.b")))
    importing(lake, brought)
    assert_frame_equal(stored(lake), BOTH)


@pytest.mark.parametrize("write", [str.title, str.upper])
@pytest.mark.parametrize("symbol", ["symbol", "ticker", "sym"])
@pytest.mark.parametrize("name", ["BARS.csv", "BARS.parquet"])
def test_columns_are_recognized_regardless_of_case(
    name: str, symbol: str, write: Callable[[str], str], lake: Lake, brought: Path
) -> None:
    """The name of a file with many symbols is not a symbol."""
    put(brought / name, BOTH.rename({"symbol": symbol}).rename(write))
    result = importing(lake, brought)
    assert not result.problems
    assert not result.files.extra
    assert_frame_equal(stored(lake), BOTH)


def test_flat_files_are_recognized_regardless_of_case(lake: Lake, brought: Path) -> None:
    bars = BOTH.with_columns(timestamp=STAMP.dt.epoch("ns")).rename({"symbol": "Ticker", "timestamp": "Window_Start"})
    put(brought / "flat.csv", bars)
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), BOTH)


def test_columns_that_differ_only_in_case_are_ambiguous(lake: Lake, brought: Path) -> None:
    file = put(brought / "bars.parquet", BOTH.with_columns(Open=pl.col("close"), note=pl.lit(1), NOTE=pl.lit(2)))
    (problem,) = importing(lake, brought).problems
    assert f"{file}: columns open and Open differ only in case, and each may be open. Choose one" in problem
    assert "--columns open=open" in problem
    assert not importing(lake, brought, BarForm(names={"open": "open"})).problems
    assert_frame_equal(stored(lake), BOTH)


def test_a_given_column_name_is_case_sensitive(lake: Lake, brought: Path) -> None:
    """Some vendors write T for the ticker and t for the time."""
    bars = ONE.rename({"symbol": "T", "timestamp": "t"})
    form = BarForm(names={"symbol": "T", "timestamp": "t"})
    put(brought / "1" / "bars.parquet", bars.drop("T"))
    (problem,) = importing(lake, brought / "1", form).problems
    assert "no column T (given as symbol)" in problem
    put(brought / "2" / "bars.parquet", bars)
    assert not importing(lake, brought / "2", form).problems
    assert_frame_equal(stored(lake), ONE)


@pytest.mark.parametrize("column", ["stock_symbol", "Ticker Name"])
def test_a_possible_symbol_column_must_be_confirmed(column: str, lake: Lake, brought: Path) -> None:
    file = put(brought / "BARS.csv", BOTH.rename({"symbol": column}))
    (problem,) = importing(lake, brought).problems
    assert f"{file}: column {column} may hold the symbols. Say so: --columns symbol={column}" in problem
    assert "name it `symbol=X.csv`" in problem
    assert not importing(lake, brought, BarForm(names={"symbol": column})).problems
    assert_frame_equal(stored(lake), BOTH)
    # the symbol in the path needs no confirmation
    put(brought / "symbol=CRVO.csv", of_symbol("CRVO").rename({"symbol": column}))
    assert not importing(lake, brought / "symbol=CRVO.csv").problems


@pytest.mark.parametrize("name", ["Jan", "Apr", "Bars", "minute", "AEMd", "2025"])
def test_a_file_name_that_is_not_a_ticker_is_rejected(name: str, lake: Lake, brought: Path) -> None:
    file = put(brought / "AEMD" / f"{name}.parquet", ONE.drop("symbol"))
    (problem,) = importing(lake, brought).problems
    assert f"{file}: no column symbol, and its name is none: {name!r} is not in capitals" in problem
    assert "--columns symbol=NAME" in problem
    assert "name it `symbol=X.parquet`" in problem
    assert stored(lake).is_empty()


@pytest.mark.parametrize("name", ["A", "BRK.B", "KIMpL", "BACp", "XYZw", "ABC.WS"])
def test_a_file_name_that_is_a_ticker_is_the_symbol(name: str, lake: Lake, brought: Path) -> None:
    put(brought / f"{name}.parquet", ONE.drop("symbol"))
    assert not importing(lake, brought).problems
    assert BarsStore(lake).symbols() == [name]


@pytest.mark.parametrize("name", ["AEMD{}", "symbol=AEMD{}", "symbol=AEMD{}/bars{}", "symbol=AEMD/bars{}"])
@pytest.mark.parametrize("suffix", [".CSV", ".Csv.Gz", ".csv.GZ", ".PARQUET"])
def test_upper_case_suffixes_are_not_part_of_the_symbol(suffix: str, name: str, lake: Lake, brought: Path) -> None:
    file = brought / name.format(suffix, suffix)
    put(file.with_name("written" + suffix.lower()), ONE.drop("symbol")).rename(file)
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), ONE)


@pytest.mark.parametrize("symbol", ["CON", "PRN", "AUX", "NUL", "COM1", "BCpC", "NA", "TRUE", "ABC."])
@pytest.mark.parametrize("layout", ["symbol={}/bars.parquet", "symbol={}.parquet", "bars.parquet"])
def test_every_listed_symbol_is_imported(symbol: str, layout: str, lake: Lake, brought: Path) -> None:
    bars = of_symbol(symbol)
    put(brought / layout.format(symbol), bars if layout == "bars.parquet" else bars.drop("symbol"))
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), bars)


def test_a_symbol_column_that_contradicts_the_path_is_reported(lake: Lake, brought: Path) -> None:
    put(brought / "symbol=AEMD" / "all.parquet", BOTH)
    (problem,) = importing(lake, brought).problems
    assert "the path says symbol AEMD, the column symbol BRK.B" in problem
    assert "The 6 rows of another symbol than the path's are set aside" in problem
    assert_frame_equal(stored(lake), ONE)
    assert quarantined(lake) == {
        "symbol=BRK.B/2025-10.parquet": {"the path says another symbol": 2},
        "symbol=BRK.B/2025-11.parquet": {"the path says another symbol": 4},
    }
    put(brought / "symbol=BRK.B" / "all.parquet", OTHER)
    (brought / "symbol=AEMD" / "all.parquet").unlink()
    assert not importing(lake, brought).problems
    assert not quarantined(lake)


def test_symbols_that_are_not_followed_may_be_skipped(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", BOTH)
    put(brought / "CRVO.parquet", of_symbol("CRVO").drop("symbol"))
    importing(lake, brought, only={"AEMD"})
    assert_frame_equal(stored(lake), ONE)
    importing(lake, brought, only={"AEMD", "CRVO"})
    assert BarsStore(lake).symbols() == ["AEMD", "CRVO"]
