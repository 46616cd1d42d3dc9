"""Imports that are repeated or interrupted, and damaged files."""

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import bars_from
from smallcaps_assets_tests.unit.commands.imports.bar_imports import (
    BOTH,
    FRI,
    LAYOUTS,
    MON,
    NAIVE,
    NOV,
    ONE,
    OTHER,
    PRICES,
    ROWS,
    STAMP,
    TUE,
    WED,
    day_files,
    importing,
    put,
    quarantined,
    stored,
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_importing_again_reads_nothing_and_changes_no_byte(layout: str, lake: Lake, brought: Path) -> None:
    LAYOUTS[layout](brought)
    importing(lake, brought)
    before = files_below(lake.root)
    again = importing(lake, brought)
    assert not again.figures
    assert {outcome.partition for outcome in again.outcomes} == {("AEMD",), ("BRK.B",)}
    assert files_below(lake.root) == before


def test_a_removed_month_is_imported_again(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", BOTH)
    importing(lake, brought)
    before = {name: content for name, (_, content) in files_below(lake.root).items()}
    (lake.bars("AEMD") / "2025-10.parquet").unlink()
    assert importing(lake, brought).figures["bars_new"] == 2
    assert {name: content for name, (_, content) in files_below(lake.root).items()} == before


def test_later_downloads_do_not_make_files_be_read_again(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", ONE)
    importing(lake, brought)
    BarsStore(lake).add("AEMD", NOV, [WED], bars_from("2025-11-05 10:00", ROWS), QUARANTINED_BARS.to_frame())
    assert not importing(lake, brought).figures
    assert BarsStore(lake).read("AEMD").height == 8


def test_other_options_and_changed_files_are_read_again(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", ONE.head(4))
    importing(lake, brought)
    assert importing(lake, brought, replace=True).figures["bars_equal"] == 4
    put(brought / "bars.parquet", ONE)
    figures = importing(lake, brought).figures
    assert (figures["bars_equal"], figures["bars_new"]) == (4, 2)


def test_alternating_overlapping_imports_reach_a_stable_state(lake: Lake, brought: Path) -> None:
    put(brought / "a" / "morning.parquet", bars_from("2025-11-03 09:30", ROWS))
    put(brought / "b" / "evening.parquet", bars_from("2025-11-03 15:00", ROWS))
    for _ in range(2):
        importing(lake, brought / "a")
        importing(lake, brought / "b")
    before = files_below(lake.root)
    importing(lake, brought / "a")
    importing(lake, brought / "b")
    assert files_below(lake.root) == before
    assert stored(lake).height == 4


def test_a_session_in_two_sources_is_read_again_only_once(lake: Lake, brought: Path) -> None:
    put(brought / "a" / "morning.parquet", bars_from("2025-11-03 09:30", ROWS))
    put(brought / "b" / "evening.parquet", bars_from("2025-11-03 15:00", ROWS))
    importing(lake, brought / "a")
    importing(lake, brought / "b")
    assert importing(lake, brought / "a").figures["bars_equal"] == 2
    assert not importing(lake, brought / "a").figures
    assert not importing(lake, brought / "b").figures


@pytest.mark.parametrize("month", [NOV, None])
def test_corrected_rows_leave_the_quarantine(month: date | None, lake: Lake, brought: Path) -> None:
    wrong = {"volume": pl.lit(0.0)} if month else {"timestamp": STAMP.dt.epoch("ms").cast(pl.Datetime("us", "UTC"))}
    put(brought / "bars.parquet", pl.concat([ONE.head(2).with_columns(**wrong), ONE[2:]]))
    importing(lake, brought)
    never = bars_from("2025-11-05 10:00", [(9.0, 8.0, 9.0, 9.0, 5.0, 1)])
    put(brought / "bars.parquet", pl.concat([ONE, ONE.head(1).with_columns(volume=pl.lit(9.0)), never]))
    importing(lake, brought)
    assert_frame_equal(stored(lake), ONE)
    assert quarantined(lake) == {
        "symbol=AEMD/2025-10.parquet": {"another bar of a minute that has one": 1},
        "symbol=AEMD/2025-11.parquet": {"high or low contradicts open and close": 1},
    }
    # quarantined rows stay when the file no longer contains them
    put(brought / "bars.parquet", ONE.head(2))
    importing(lake, brought)
    assert len(quarantined(lake)) == 2


KILLED = """
import os, sys
from itertools import count
from pathlib import Path
import psutil
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.unit.commands.imports.bar_imports import importing
number, last, replace = count(1), int(sys.argv[3]), os.replace
def replace_or_die(source, target):
    if next(number) == last:
        psutil.Process().kill()
    replace(source, target)
os.replace = replace_or_die
importing(Lake(Path(sys.argv[1])), sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["a file per symbol and day", "a file with all symbols"])
def test_an_import_killed_several_times_ends_like_an_undisturbed_one(layout: str, lake: Lake, brought: Path) -> None:
    LAYOUTS[layout](brought)
    bad = ONE.drop("symbol").with_columns(STAMP + timedelta(minutes=10), volume=pl.lit(0.0))
    put(brought / "symbol=AEMD" / "bad.parquet", bad)
    # six files, two of them in quarantine: each attempt publishes one more before it is killed
    for last in (2, 3):
        command = [sys.executable, "-c", KILLED, str(lake.root), str(brought), str(last)]
        process = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert process.returncode not in (0, 1), process.stderr
    assert 0 < len(list(lake.root.rglob("[0-9u]*.parquet"))) < 6
    importing(lake, brought)
    undisturbed = new_lake(lake.root.with_name("undisturbed"))
    importing(undisturbed, brought)
    ours, theirs = files_below(lake.root), files_below(undisturbed.root)
    assert {name: content for name, (_, content) in ours.items()} == {
        name: content for name, (_, content) in theirs.items()
    }
    assert len(ours) == 6
    importing(lake, brought)
    assert files_below(lake.root) == ours


# ----------------------------------------------------------------------------------------------- damaged files


def test_a_damaged_file_does_not_stop_the_others(lake: Lake, brought: Path) -> None:
    day_files(brought)
    good = (brought / "symbol=AEMD" / f"date={MON}.parquet").read_bytes()
    for name, content in (
        ("a.parquet", b"no parquet"),
        (f"date={MON}.parquet", good[:100] + b"\xff" * 300 + good[400:]),
    ):
        (brought / "symbol=AEMD" / name).write_bytes(content)
    result = importing(lake, brought)
    assert sorted(Path(problem.split(": ")[0]).name for problem in result.problems) == [
        "a.parquet",
        f"date={MON}.parquet",
    ]
    assert_frame_equal(stored(lake), pl.concat([ONE.filter(DAY != MON), OTHER]))
    again = importing(lake, brought)
    assert again.problems == result.problems
    # only they are read again
    assert not any(again.figures.values())
    # repaired
    (brought / "symbol=AEMD" / "a.parquet").unlink()
    (brought / "symbol=AEMD" / f"date={MON}.parquet").write_bytes(good)
    mended = importing(lake, brought)
    assert (mended.figures["bars_new"], mended.figures["bars_equal"]) == (2, 4)
    assert_frame_equal(stored(lake), BOTH)


@pytest.mark.parametrize("content", [b"", b"symbol,close\n", b"\xff\xfe\x00\x01,\n\xff", b"\x1f\x8b\x08broken"])
@pytest.mark.parametrize("name", ["AEMD.csv", "AEMD.csv.gz", "AEMD.parquet"])
def test_files_that_are_not_tables_are_reported(name: str, content: bytes, lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", OTHER)
    (brought / name).write_bytes(content)
    (problem,) = importing(lake, brought).problems
    assert problem.startswith(f"{brought / name}: ")
    assert_frame_equal(stored(lake), OTHER)


def test_files_of_one_symbol_may_have_different_columns(lake: Lake, brought: Path) -> None:
    """As after a change of the tool that wrote them."""
    folder = brought / "symbol=AEMD"
    put(folder / "1.parquet", ONE[:2].drop("symbol", "vwap").with_columns(extra=pl.lit(1)))
    put(folder / "2.parquet", ONE[2:4].with_columns(pl.col("open").cast(pl.Float32)))
    put(folder / "3.csv", ONE[4:].drop("transactions"))
    result = importing(lake, brought)
    assert not result.problems
    assert_frame_equal(
        stored(lake).select("symbol", "timestamp", *PRICES[:4]), ONE.select("symbol", "timestamp", *PRICES[:4])
    )
    assert result.files.extra == {"extra"}


def test_a_problem_of_all_files_is_reported_once(lake: Lake, brought: Path) -> None:
    for day in (FRI, MON, TUE):
        put(brought / "symbol=AEMD" / f"{day}.parquet", ONE.filter(day == DAY).with_columns(timestamp=NAIVE))
    (problem,) = importing(lake, brought).problems
    assert "2 more files are like it" in problem
