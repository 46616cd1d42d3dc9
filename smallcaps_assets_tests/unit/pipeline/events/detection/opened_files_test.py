"""Which bar files detection opens again, and which events it keeps."""

import os
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between
from smallcaps_assets_tests.unit.pipeline.events.detection.detecting import (
    BARS_OF_ONE,
    DAYS,
    ONE,
    detector,
    expected_of,
    run,
    store,
)


def test_detection_without_changes_writes_nothing(detected: Lake) -> None:
    before = files_below(detected.root)
    (outcome,) = run(detected, [ONE])
    assert files_below(detected.root) == before
    assert outcome.figures["sessions_detected"] == 0
    assert outcome.figures["events"] == ShardStore(detected).read(ONE).height


def scribble(lake: Lake, month: str, *, modified_ns: int | None = None) -> None:
    """Make a month file of bars unreadable, keeping its size and, if given, its modification time."""
    path = lake.bars(ONE) / f"{month}.parquet"
    path.write_bytes(b"?" * path.stat().st_size)
    if modified_ns is not None:
        os.utime(path, ns=(modified_ns, modified_ns))


def age(lake: Lake, month: str, seconds: int, symbol: str = ONE) -> int:
    """Set the age of a month file of bars; returns its modification time in nanoseconds."""
    path = lake.bars(symbol) / f"{month}.parquet"
    then = path.stat().st_mtime_ns - seconds * 1_000_000_000
    os.utime(path, ns=(then, then))
    return then


def test_unchanged_bar_file_is_not_opened_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallcaps_assets.lake.bar_files.listed.TICK_NS", 2_000_000_000)
    store(lake, BARS_OF_ONE, DAYS)
    then = age(lake, "2025-10", seconds=10)
    run(lake, [ONE])
    scribble(lake, "2025-10", modified_ns=then)
    (outcome,) = run(lake, [ONE])
    assert (outcome.problems, outcome.figures["sessions_detected"]) == ((), 0)
    assert outcome.figures["sessions"] == len(DAYS)
    assert detector(lake).backlog(ONE) == (set(DAYS), set())
    scribble(lake, "2025-10")
    assert "2025-10.parquet: cannot be read" in run(lake, [ONE])[0].problems[0]


def test_bar_file_that_was_recent_when_read_is_opened_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallcaps_assets.lake.bar_files.listed.TICK_NS", 2_000_000_000)
    store(lake, BARS_OF_ONE, DAYS)
    then = age(lake, "2025-10", seconds=1)
    run(lake, [ONE])
    scribble(lake, "2025-10", modified_ns=then)
    assert "2025-10.parquet: cannot be read" in run(lake, [ONE])[0].problems[0]


@pytest.mark.parametrize("how", ["touched", "filled"])
def test_rewritten_old_month_keeps_the_events_before_a_new_session(lake: Lake, how: str) -> None:
    days = sessions_between(date(2025, 8, 1), date(2025, 11, 4))
    many = pl.when(date(2025, 9, 1) > DAY).then(50.0).otherwise(1.0)
    bars = lively_bars(6, 1, days).filter(DAY.is_in(days)).with_columns(volume=pl.col("volume") * many)
    first = pl.int_range(pl.len()) == 0
    one, rewritten = bars["symbol"][0], bars.with_columns(vwap=pl.when(~first).then(pl.col("vwap").fill_null(1.0)))
    store(lake, rewritten, days[:-1])
    for month in ("2025-08", "2025-09", "2025-10"):
        age(lake, month, 10, one)
    run(lake, [one])
    if how == "filled":
        assert BarsStore(lake).merge(one, days[0], bars.head(1).with_columns(vwap=1.0)).filled == 1
    else:
        (lake.bars(one) / "2025-08.parquet").touch()
    store(lake, rewritten.filter(days[-1] == DAY), days[-1:])
    (outcome,) = run(lake, [one])
    assert outcome.figures["sessions_detected"] == 1
    grown = ShardStore(lake).read(one)
    assert_frame_equal(grown, expected_of(lake, symbol=one), rel_tol=1e-9, abs_tol=1e-9)
    assert grown.filter(pl.col("date") == f"{days[-1]}").height > 0
