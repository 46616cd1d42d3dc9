"""Detection by day, by symbol and of all at once finds the same; complete sessions; shards of other settings."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.calendar import sessions_between as bounds_between
from smallcaps_assets.settings.sections import HistoryParams
from smallcaps_assets.settings.settings import Settings
from smallcaps_assets_tests.scenarios import default_settings, new_york
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.unit.pipeline.events.detection.detecting import DAYS, altered, detector, run, store


@pytest.mark.slow
def test_detection_by_day_equals_detection_of_all_days(
    tmp_path_factory: pytest.TempPathFactory, age_of_files: str
) -> None:
    bars = lively_bars({"young": 3, "old": 8}[age_of_files], 3, DAYS).filter(DAY.is_in(DAYS))
    symbols = bars["symbol"].unique().sort().to_list()
    daily, whole = (Lake(tmp_path_factory.mktemp(name)) for name in ("daily", "whole"))
    for day in DAYS:
        store(daily, bars.filter(day == DAY), [day])
        for outcome in run(daily, symbols):
            assert outcome.figures["sessions_detected"] <= 1
    store(whole, bars, DAYS)
    run(whole, symbols)
    grown, once = (ShardStore(lake).scan().collect() for lake in (daily, whole))
    assert once.height > 100
    assert once["rvol_day"].drop_nulls().len() > 50
    assert grown["event_id"].to_list() == once["event_id"].to_list()
    assert_frame_equal(grown, once, rel_tol=1e-9, abs_tol=1e-9)
    # and detection without a store finds the same
    pure = detect(bars, bounds_between(DAYS[0], DAYS[-1], default_settings().sessions), default_settings().detection)
    assert_frame_equal(once, pure.events, rel_tol=1e-9, abs_tol=1e-9)
    cooldown = default_settings().cooldown
    assert_frame_equal(build_master(grown, cooldown), build_master(once, cooldown), rel_tol=1e-9, abs_tol=1e-9)


def completed_days(last: str | None, now: datetime) -> list[str]:
    params = HistoryParams(
        first_session=date(2025, 11, 24),
        last_session=None if last is None else date.fromisoformat(last),
        publication_delay_min=20,
    )
    return [f"{day:%d}" for day in completed_sessions(params, default_settings().sessions, now)]


@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [
        # after-hours end at 20:00 and are published 20 minutes later
        (None, "2025-11-25 20:19", ["24"]),
        (None, "2025-11-25 20:20", ["24", "25"]),
        # Thanksgiving is not a session; on the half day after-hours end at 17:00
        (None, "2025-11-28 17:19", ["24", "25", "26"]),
        (None, "2025-11-28 17:20", ["24", "25", "26", "28"]),
        (None, "2025-11-30 12:00", ["24", "25", "26", "28"]),
        ("2025-11-25", "2025-12-24 12:00", ["24", "25"]),
        ("2025-11-25", "2025-11-24 21:00", ["24"]),
        (None, "2025-11-23 12:00", []),
    ],
)
def test_session_is_complete_after_the_publication_delay(last: str | None, now: str, expected: list[str]) -> None:
    assert completed_days(last, new_york(now).astimezone(UTC)) == expected


def test_time_zone_of_now_does_not_matter() -> None:
    assert completed_days(None, new_york("2025-11-25 20:20")) == ["24", "25"]


def stale(lake: Lake, settings: Settings | None = None) -> list[str]:
    return detector(lake, settings).survey().filter(current=False)["symbol"].to_list()


def test_survey_marks_shards_of_other_settings(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    bars = lively_bars(3, 2, DAYS[:3])
    one, two = bars["symbol"].unique().sort().to_list()
    store(lake, bars, DAYS[:3])
    run(lake, [one, two])
    assert stale(lake) == []
    stricter = altered(detectors={"flush": {"min_spike_x": 5.0}})
    assert stale(lake, stricter) == [one, two]
    run(lake, [one], stricter)
    assert stale(lake, stricter) == [two]
    assert detector(lake).survey()["sessions"].to_list() == [3, 3]


def test_symbols_detected_together_equal_each_detected_separately(tmp_path_factory: pytest.TempPathFactory) -> None:
    bars = lively_bars(11, 3, DAYS).filter(DAY.is_in(DAYS))
    symbols = bars["symbol"].unique().sort().to_list()
    lakes = [Lake(tmp_path_factory.mktemp(name)) for name in ("together", "alone")]
    for lake in lakes:
        for stored, symbol in zip((len(DAYS) - 1, len(DAYS) - 4, 0), symbols, strict=True):  # each misses other days
            of_symbol = bars.filter(pl.col("symbol") == symbol)
            store(lake, of_symbol, DAYS[:stored])
            run(lake, [symbol] if stored else [])
            store(lake, of_symbol, DAYS)
    together = {outcome.partition: outcome.figures for outcome in run(lakes[0], symbols)}
    alone = {outcome.partition: outcome.figures for symbol in symbols for outcome in run(lakes[1], [symbol])}
    assert together == alone
    assert sorted(figures["sessions_detected"] for figures in together.values()) == [1, 4, len(DAYS)]
    for symbol in symbols:
        shards = [ShardStore(lake) for lake in lakes]
        assert shards[0].version(symbol) == shards[1].version(symbol)
        assert_frame_equal(shards[0].read(symbol), shards[1].read(symbol))
        coverages = [shard.coverage(symbol) for shard in shards]
        # the states of the bar files differ, but not what they cover
        texts = [{name: month.text for name, month in found.months.items()} for found in coverages if found]
        assert len(texts) == 2
        assert texts[0] == texts[1]


def test_symbol_with_damaged_files_is_reported_and_the_others_continue(lake: Lake) -> None:
    bars = lively_bars(11, 3, DAYS).filter(DAY.is_in(DAYS))
    symbols = bars["symbol"].unique().sort().to_list()
    store(lake, bars, DAYS)
    (lake.bars(symbols[0]) / "2025-11.parquet").write_bytes(b"nothing")
    lake.shards.mkdir(parents=True)
    lake.shard(symbols[1]).write_bytes(b"nothing")
    outcomes = {outcome.partition[0]: outcome for outcome in run(lake, symbols)}
    (problem,) = outcomes[symbols[0]].problems
    assert problem.startswith(f"{symbols[0]}: ")
    assert "2025-11.parquet: cannot be read" in problem
    for symbol in symbols[1:]:
        assert (outcomes[symbol].problems, outcomes[symbol].figures["sessions_detected"]) == ((), len(DAYS))
    assert detector(lake).backlog(symbols[2]).undetected == set()
    changed = bars.filter(pl.col("symbol") == symbols[2]).with_columns(pl.col("volume") + 1)
    store(lake, changed, [DAYS[3], DAYS[5]])
    assert detector(lake).backlog(symbols[2]).undetected == {DAYS[3], DAYS[5]}
    stricter = altered(detectors={"volume_spike": {"min_range_share": 0.05}})
    assert detector(lake, stricter).backlog(symbols[2]).undetected == set(DAYS)
