"""What an import rejected is remembered: unchanged files are not read again, and are complained about as before."""

from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.unit.commands.imports.bar_imports import BOTH, ONE, OTHER, importing, of_symbol, put, stored

# with a character that no symbol has: its rows are rejected
UNUSABLE = of_symbol("A|B")


def test_symbols_that_differ_only_in_case_are_imported_and_remembered(lake: Lake, brought: Path) -> None:
    rows = pl.concat([of_symbol("BCPC"), of_symbol("BCpC", [(1.0, 1.2, 0.9, 1.1, 10.0, 3)]), ONE])
    put(brought / "flat.parquet", rows)
    first = importing(lake, brought)
    assert not first.problems
    assert_frame_equal(stored(lake), rows.sort("symbol", "timestamp"))
    before = files_below(lake.root)
    again = importing(lake, brought)
    assert not again.problems
    assert not again.figures
    assert files_below(lake.root) == before


def test_rejected_rows_are_counted_as_before(lake: Lake, brought: Path) -> None:
    put(brought / "flat.parquet", pl.concat([BOTH, UNUSABLE, ONE.head(1).with_columns(volume=pl.lit(0.0))]))
    importing(lake, brought)
    again = importing(lake, brought)
    assert not again.figures
    assert not again.problems
    assert again.before.rows == BOTH.height + 7
    assert again.before.bad == 7
    (line,) = again.before.lines()
    assert line.startswith("of their 19 rows 7 were rejected when they were read: 6 symbol is not usable as a name; 1 ")


def test_rows_without_fault_count_as_well(lake: Lake, brought: Path) -> None:
    """The share of bad rows decides the exit code, so it must not change because only bad files are counted."""
    put(brought / "flat.parquet", BOTH)
    importing(lake, brought)
    again = importing(lake, brought)
    assert (again.before.rows, again.before.bad, again.before.lines()) == (12, 0, [])


def test_rows_of_another_symbol_than_the_folders_are_complained_about_again(lake: Lake, brought: Path) -> None:
    folder = brought / "symbol=AEMD"
    put(folder / "1.parquet", ONE)
    wrong = put(folder / "2.parquet", OTHER)
    (message,) = importing(lake, brought).problems
    again = importing(lake, brought)
    assert again.problems == [
        f"{folder / '1.parquet'} and 1 more: unchanged, so not read again; rejected before: {message}"
    ]
    assert not again.figures
    wrong.unlink()
    mended = importing(lake, brought)
    assert not mended.problems
    assert mended.figures["bars_equal"] == 6
    assert_frame_equal(stored(lake), ONE)


def test_disputed_sessions_are_read_again(lake: Lake, brought: Path) -> None:
    """Whether they are disputed depends on the lake, which may have changed."""
    many = pl.concat([ONE.with_columns(pl.col("timestamp") + pl.duration(minutes=2 * number)) for number in range(20)])
    put(brought / "a.parquet", many)
    importing(lake, brought)
    put(brought / "b.parquet", pl.concat([many.with_columns(volume=pl.col("volume") * 2), OTHER]))
    first = importing(lake, brought)
    assert len(first.problems) == 1
    again = importing(lake, brought)
    assert again.problems == first.problems
    assert again.figures["rows_read"] == 2 * many.height + OTHER.height
