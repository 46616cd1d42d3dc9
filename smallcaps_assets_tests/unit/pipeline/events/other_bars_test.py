"""Bars of a lake that are no minutes, as an earlier release or a person put them there: they make no event."""

from collections.abc import Sequence
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

DAYS = sessions_between(date(2025, 11, 3), date(2025, 11, 14))
MINUTES = lively_bars(5, 1, DAYS).filter(DAY.is_in(DAYS))
SYMBOL = MINUTES["symbol"][0]
STAMP = pl.col("timestamp")
WIDE = DAY.is_in(DAYS[5:7])


def store(lake: Lake, bars: pl.DataFrame, days: Sequence[date]) -> None:
    BarsStore(lake).add(
        SYMBOL, date(2025, 11, 1), days, bars.filter(DAY.is_in(list(days))), QUARANTINED_BARS.to_frame()
    )


def run(lake: Lake) -> Outcome:
    settings = default_settings()
    detector = Detector(BarsStore(lake), ShardStore(lake), settings.detection, settings.sessions, REFERENCE.to_frame())
    (outcome,) = detector.run([SYMBOL])
    assert outcome.problems == ()
    return outcome


def five_minutes(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.filter(STAMP.dt.minute() % 5 == 0)


@pytest.fixture
def expected(lake: Lake) -> pl.DataFrame:
    """The events without the sessions that other tests spoil."""
    clean = new_lake(lake.root / "clean")
    store(clean, MINUTES.filter(~WIDE), DAYS)
    run(clean)
    return ShardStore(clean).read(SYMBOL)


def test_sessions_of_five_minutes_are_left_out_and_counted(lake: Lake, expected: pl.DataFrame) -> None:
    wide = five_minutes(MINUTES.filter(WIDE))
    store(lake, pl.concat([MINUTES.filter(~WIDE), wide]).sort("timestamp"), DAYS)
    outcome = run(lake)
    assert outcome.figures["bars_of_other_length_left_out"] == wide.height
    assert outcome.figures["sessions_of_other_length"] == 2
    assert_frame_equal(ShardStore(lake).read(SYMBOL), expected)


def test_sessions_of_five_minutes_are_left_out_day_by_day(lake: Lake, expected: pl.DataFrame) -> None:
    bars = pl.concat([MINUTES.filter(~WIDE), five_minutes(MINUTES.filter(WIDE))]).sort("timestamp")
    for day in DAYS:
        store(lake, bars, [day])
        run(lake)
    assert_frame_equal(ShardStore(lake).read(SYMBOL), expected, rel_tol=1e-9, abs_tol=1e-9)


def test_bars_off_the_minute_are_left_out_and_counted(lake: Lake) -> None:
    halves = MINUTES.filter(WIDE).with_columns(STAMP + pl.duration(seconds=30))
    store(lake, pl.concat([MINUTES, halves]).sort("timestamp"), DAYS)
    outcome = run(lake)
    assert outcome.figures["bars_off_minute_left_out"] == halves.height
    clean = new_lake(lake.root / "clean")
    store(clean, MINUTES, DAYS)
    figures = run(clean).figures
    assert "bars_off_minute_left_out" not in figures
    assert_frame_equal(ShardStore(lake).read(SYMBOL), ShardStore(clean).read(SYMBOL))


def test_a_lake_of_hours_has_no_events(lake: Lake) -> None:
    store(lake, MINUTES.filter(STAMP.dt.minute() == 30), DAYS)
    assert run(lake).figures["events"] == 0
