"""Bars by folder with other tools, and files of earlier releases, which have a column `symbol` besides the folder."""

import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.commands.files import parquet_files
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.import_records import ImportRecord
from smallcaps_assets.lake.bar_files.month_files import fingerprint_sessions
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.files.publish import PROVENANCE, provenance_of
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.bar_minutes import read_minutes
from smallcaps_assets.pipeline.imports.bar_files import BarReader
from smallcaps_assets.pipeline.imports.bars_by_symbol import BarsBySymbol
from smallcaps_assets_tests.other_tools import TOOLS, rows_by_symbol
from smallcaps_assets_tests.scenarios import bars_from, flat

ONE, TWO = "AEMD", "BCpC"
# October 31 and November 3, 2025
OCT, NOV = date(2025, 10, 1), date(2025, 11, 1)
STARTS: Mapping[date, str] = {OCT: "2025-10-31 10:00", NOV: "2025-11-03 10:00"}
IMPORT = ImportRecord("f00d", 1, {})


def of(symbol: str, month: date, rows: int = 2) -> pl.DataFrame:
    return bars_from(STARTS[month], flat(rows), symbol)


def put(lake: Lake, symbol: str, month: date, rows: int = 2) -> Path:
    BarsStore(lake).merge(symbol, month, of(symbol, month, rows), import_record=IMPORT)
    return lake.bars(symbol) / f"{month:%Y-%m}.parquet"


def put_old(lake: Lake, symbol: str, month: date, rows: int = 2) -> Path:
    """A file as release 0.1 wrote it: with the column, and without the symbol in its footer."""
    path = put(lake, symbol, month, rows)
    footer = provenance_of(path)
    assert footer is not None
    del footer["symbol"]
    of(symbol, month, rows).write_parquet(path, metadata={PROVENANCE: json.dumps(footer)})
    return path


@pytest.mark.parametrize("tool", TOOLS)
def test_every_symbol_is_read_by_folder(tool: str, lake: Lake) -> None:
    expected = {
        symbol: number
        for number, symbol in enumerate(("BCPC", "BCpC", "CON", "NA", "TRUE", "BRK.B", "A+", "7", "1E5", "ABC."), 1)
    }
    for symbol, rows in expected.items():
        put(lake, symbol, NOV, rows)
    assert rows_by_symbol(tool, lake.minute_bars) == expected


@pytest.mark.parametrize("tool", TOOLS)
def test_rejected_bars_are_read_by_folder(tool: str, lake: Lake) -> None:
    rejected = of(ONE, NOV).with_columns(reason=pl.lit("bad")).match_to_schema(QUARANTINED_BARS)
    store = BarsStore(lake)
    store.merge(ONE, NOV, of(ONE, NOV).clear(), rejected=rejected)
    store.quarantine(TWO, rejected.with_columns(symbol=pl.lit(TWO), timestamp=pl.lit(None, BARS["timestamp"])).head(1))
    store.quarantine(None, rejected.with_columns(symbol=pl.lit("A|B")))
    found = rows_by_symbol(tool, lake.quarantine / "bars" / "minute", hive=False)
    assert found == {ONE: 2, TWO: 1, "A|B": 2}


# ------------------------------------------------------------------------------------------- files of earlier releases


@pytest.fixture(params=[(put_old, put), (put, put_old), (put_old, put_old)], ids=["old, new", "new, old", "old, old"])
def both(request: pytest.FixtureRequest, lake: Lake) -> Lake:
    """Two months of two symbols, of one layout or of both."""
    layouts: tuple[Callable[[Lake, str, date], Path], ...] = request.param
    for symbol in (ONE, TWO):
        for month, layout in zip((OCT, NOV), layouts, strict=True):
            layout(lake, symbol, month)
    return lake


EXPECTED = pl.concat([of(symbol, month) for symbol in (ONE, TWO) for month in (OCT, NOV)])


def test_both_layouts_are_read(both: Lake) -> None:
    store = BarsStore(both)
    assert_frame_equal(store.read_together([ONE, TWO]), EXPECTED)
    assert_frame_equal(store.read(TWO), EXPECTED.filter(symbol=TWO))
    assert_frame_equal(store.scan([ONE, TWO], ["symbol", "close"]).collect(), EXPECTED.select("symbol", "close"))
    assert_frame_equal(store.scan([ONE, TWO], ["close"], ["2025-10"]).collect(), EXPECTED.select("close").head(4))
    minutes = EXPECTED.select("symbol", "timestamp").gather_every(3)
    read = read_minutes(both, minutes, ["symbol", "timestamp", "volume"])
    assert_frame_equal(read.select("symbol", "timestamp"), minutes, check_row_order=False)


@pytest.mark.parametrize("pattern", ["", "**/*.parquet"])
def test_both_layouts_are_read_as_files_of_a_user(pattern: str, both: Lake) -> None:
    files = parquet_files(str(both.minute_bars / pattern), [], print)
    read = BarsBySymbol.scan(BarReader(BarForm()), files, print)
    assert read.symbols == [ONE, TWO]
    assert_frame_equal(read.read([ONE, TWO]).good, EXPECTED)


@pytest.mark.parametrize("tool", ["polars", "duckdb"])
def test_polars_and_duckdb_read_both_layouts(tool: str, both: Lake) -> None:
    assert rows_by_symbol(tool, both.minute_bars) == {ONE: 4, TWO: 4}


@pytest.mark.parametrize("tool", TOOLS)
def test_renewed_files_are_read_by_folder(tool: str, both: Lake) -> None:
    store = BarsStore(both)
    before = {symbol: (store.fingerprints(symbol), store.imports(symbol)) for symbol in (ONE, TWO)}
    footers = {path: provenance_of(path) for path in sorted(both.minute_bars.rglob("*.parquet"))}
    assert [store.renew(symbol) for symbol in before] == [marks for marks, _ in before.values()]
    assert {symbol: (store.fingerprints(symbol), store.imports(symbol)) for symbol in (ONE, TWO)} == before
    for path, footer in footers.items():
        symbol = ONE if ONE in path.parent.name else TWO
        assert provenance_of(path) == {**(footer or {}), "symbol": symbol}
    assert_frame_equal(store.read_together([ONE, TWO]), EXPECTED)
    assert rows_by_symbol(tool, both.minute_bars) == {ONE: 4, TWO: 4}
    written = {path: path.stat() for path in footers}
    store.renew(ONE)
    assert {path: path.stat() for path in footers} == written, "what is renewed is not written again"


def test_unknown_values_of_an_earlier_release_stay_with_their_fingerprints(lake: Lake) -> None:
    """It stored a count of -1 where none is known; fingerprints would change with it."""
    path = put_old(lake, ONE, NOV)
    stored = of(ONE, NOV).with_columns(transactions=pl.lit(-1, pl.Int64))
    marks = fingerprint_sessions(stored)
    footer = {"sessions": {f"{day}": mark for day, mark in marks.items()}}
    stored.write_parquet(path, metadata={PROVENANCE: json.dumps(footer)})
    assert BarsStore(lake).renew(ONE) == marks
    assert pl.read_parquet(path, hive_partitioning=False)["transactions"].to_list() == [-1, -1]
    assert BarsStore(lake).read(ONE)["transactions"].null_count() == 2


def test_a_month_of_an_earlier_release_is_merged_into(lake: Lake) -> None:
    path = put_old(lake, ONE, NOV)
    BarsStore(lake).merge(ONE, NOV, of(ONE, NOV, 3))
    assert_frame_equal(BarsStore(lake).read(ONE), of(ONE, NOV, 3))
    assert "symbol" not in pl.read_parquet_schema(path)


def test_a_file_of_several_symbols_is_an_error(lake: Lake) -> None:
    path = put(lake, ONE, NOV)
    pl.concat([of(ONE, NOV), of(TWO, NOV)]).write_parquet(path)
    for read in (BarsStore(lake).fingerprints, BarsStore(lake).renew):
        with pytest.raises(LakeError, match="has bars of several symbols, AEMD, BCpC"):
            read(ONE)


@pytest.mark.parametrize("publish", [put, put_old])
def test_a_file_in_the_folder_of_another_symbol_is_an_error(
    lake: Lake, publish: Callable[[Lake, str, date], Path]
) -> None:
    path = publish(lake, TWO, NOV)
    moved = lake.bars(ONE) / path.name
    moved.parent.mkdir()
    path.rename(moved)
    store = BarsStore(lake)
    for read in (
        store.fingerprints,
        store.renew,
        store.covered,
        store.imports,
        lambda symbol: store.months(symbol, {}),
    ):
        with pytest.raises(LakeError, match=r"2025-11\.parquet: has bars of BCpC, not of AEMD\. Move it back"):
            read(ONE)
