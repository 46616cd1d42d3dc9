"""Shards that grow day by day equal those of one detection over all days."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.sessions import midnight
from smallcaps_assets.domain.tables import BARS, REFERENCE, SHARD
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import PROVENANCE, provenance_of
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.calendar import sessions_between as bounds_between
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.events.lost_bars import log_lost_bars
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.settings.sections import HistoryParams
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.scenarios import default_settings, new_york
from smallcaps_assets_tests.strategies import lively_bars, sessions_between

# contains a DST change, ends with a half day, and is longer than the 20 days of rvol
DAYS = sessions_between(date(2025, 10, 29), date(2025, 11, 28))


@pytest.fixture(autouse=True, params=[pytest.param("young", marks=pytest.mark.slow), "old"])
def age_of_files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Recent bar files, which are always opened, and files that look old."""
    tick_ns = 10**15 if request.param == "young" else -(10**12)
    monkeypatch.setattr("smallcaps_assets.lake.bar_files.listed.TICK_NS", tick_ns)
    return str(request.param)


def store(lake: Lake, bars: pl.DataFrame, days: Sequence[date]) -> None:
    """Store the bars of these sessions like ingestion."""
    stored = BarsStore(lake)
    for (symbol,), rows in bars.group_by("symbol"):
        for month in sorted({day.replace(day=1) for day in days}):
            sessions = [day for day in days if day.replace(day=1) == month]
            stored.add(str(symbol), month, sessions, rows.filter(DAY.is_in(sessions)), QUARANTINED_BARS.to_frame())


def detector(lake: Lake, settings: Settings | None = None, reference: pl.DataFrame | None = None) -> Detector:
    chosen = settings or default_settings()
    known = REFERENCE.to_frame() if reference is None else reference
    return Detector(BarsStore(lake), ShardStore(lake), chosen.detection, chosen.sessions, known)


def run(lake: Lake, symbols: Sequence[str], settings: Settings | None = None) -> list[Outcome]:
    return list(detector(lake, settings).run(symbols))


def altered(**changes: object) -> Settings:
    return load_settings(overrides=changes)


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


BARS_OF_ONE = lively_bars(5, 1, DAYS).filter(DAY.is_in(DAYS))
ONE = BARS_OF_ONE["symbol"][0]


@pytest.fixture
def detected(lake: Lake) -> Lake:
    """A lake with the shard of one symbol that covers all days."""
    store(lake, BARS_OF_ONE, DAYS)
    (outcome,) = run(lake, [ONE])
    assert outcome.figures["sessions_detected"] == len(DAYS)
    assert outcome.figures["events"] > 30
    return lake


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


def of_type(events: pl.DataFrame, *types: str) -> pl.DataFrame:
    return events.filter(pl.col("event_type").is_in(types))


def test_changed_threshold_redetects_only_its_type_in_every_session(detected: Lake) -> None:
    stricter = altered(detectors={"volume_spike": {"min_range_share": 0.05}})
    before = ShardStore(detected).read(ONE)
    (outcome,) = run(detected, [ONE], stricter)
    assert outcome.figures["sessions_detected"] == len(DAYS)
    assert outcome.figures["event_types_detected"] == 1
    after = ShardStore(detected).read(ONE)
    assert outcome.figures["events_detected"] == of_type(after, "volume_spike").height
    assert 0 < of_type(after, "volume_spike").height < of_type(before, "volume_spike").height
    others = [name for name in EVENT_TYPES if name != "volume_spike"]
    assert_frame_equal(of_type(after, *others), of_type(before, *others))
    assert_frame_equal(after, expected_of(detected, stricter))
    assert run(detected, [ONE], stricter)[0].figures["event_types_detected"] == 0
    run(detected, [ONE])
    assert_frame_equal(ShardStore(detected).read(ONE), before)


def test_changed_threshold_together_with_a_new_session(lake: Lake) -> None:
    store(lake, BARS_OF_ONE.filter(DAYS[-1] != DAY), DAYS[:-1])
    run(lake, [ONE])
    store(lake, BARS_OF_ONE, DAYS)
    stricter = altered(detectors={"flush": {"min_spike_x": 5.0}, "tape_speed": {"min_speed_x": 3.5}})
    (outcome,) = run(lake, [ONE], stricter)
    assert outcome.figures["event_types_detected"] == len(EVENT_TYPES)
    assert_frame_equal(ShardStore(lake).read(ONE), expected_of(lake, stricter), rel_tol=1e-9, abs_tol=1e-9)


def test_changed_tiers_apply_without_detection(detected: Lake) -> None:
    higher = altered(profiles={"core": {"min_event_score": 0.7}})
    before = ShardStore(detected).read(ONE)
    (outcome,) = run(detected, [ONE], higher)
    assert (outcome.figures["sessions_detected"], outcome.figures["event_types_detected"]) == (0, 0)
    after = ShardStore(detected).read(ONE)
    assert_frame_equal(after, expected_of(detected, higher))
    assert_frame_equal(after.drop("tier"), before.drop("tier"))
    assert after.filter(tier=1).height < before.filter(tier=1).height
    changed = files_below(detected.root)
    run(detected, [ONE], higher)
    assert files_below(detected.root) == changed


@pytest.mark.parametrize(
    "change",
    [
        {"sessions": {"regular_open": "09:35"}},
        {"cooldown": {"window_min": 30}},
        {"score": {"full_spike_x": 40.0}},
        {"features": {"rvol_days": 19}},
        {"filters": {"max_close_usd": 400.0}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_settings_that_determine_events_cause_detection(detected: Lake, change: dict[str, object]) -> None:
    figures = run(detected, [ONE], altered(**change))[0].figures
    assert (figures["sessions_detected"], figures["event_types_detected"]) == (len(DAYS), len(EVENT_TYPES))


@pytest.mark.parametrize(
    "change",
    [
        {"fetch_threads": 1},
        {"profiles": {"core": {"max_events": 7}}},
        {"kpis": {"min_success_pct": 1.0}},
        {"cooldown": {"group_window_min": 6}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_settings_that_determine_no_event_leave_shards_unchanged(detected: Lake, change: dict[str, object]) -> None:
    before = files_below(detected.root)
    run(detected, [ONE], altered(**change))
    assert files_below(detected.root) == before


def test_changed_reference_verdict_causes_detection(detected: Lake) -> None:
    tiny = pl.DataFrame([(ONE, 1000.0, None, None), ("OTHER", 1.0, None, None)], schema=REFERENCE, orient="row")
    (outcome,) = detector(detected, reference=tiny.filter(pl.col("symbol") == "OTHER")).run([ONE])
    assert outcome.figures["sessions_detected"] == 0
    (outcome,) = detector(detected, reference=tiny).run([ONE])
    # a float of a thousand shares is too small for any event
    assert (outcome.figures["sessions_detected"], outcome.figures["events"]) == (len(DAYS), 0)


def expected_of(lake: Lake, settings: Settings | None = None, symbol: str = ONE) -> pl.DataFrame:
    """The events that are detected from the same bars without a shard."""
    fresh = new_lake(lake.root.with_name("fresh"))
    bars = BarsStore(lake)
    store(fresh, bars.read(symbol), sorted(bars.covered(symbol)))
    run(fresh, [symbol], settings)
    return ShardStore(fresh).read(symbol)


def test_changed_session_and_all_later_ones_are_detected_again(detected: Lake) -> None:
    day = DAYS[8]
    coarse = BARS_OF_ONE.filter(day == DAY).with_columns(volume=pl.col("volume") * 3)
    BarsStore(detected).add(ONE, day.replace(day=1), [day], coarse, QUARANTINED_BARS.to_frame())
    before = ShardStore(detected).read(ONE)
    (outcome,) = run(detected, [ONE])
    # later days compare their volume with this one
    assert outcome.figures["sessions_detected"] == len(DAYS) - 8
    after = ShardStore(detected).read(ONE)
    early = pl.col("date") < f"{day}"
    assert_frame_equal(after.filter(early), before.filter(early))
    assert not after.equals(before)
    assert_frame_equal(after, expected_of(detected), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("place", [0, 8, -1])
def test_late_session_is_inserted_in_order(lake: Lake, place: int) -> None:
    late = DAYS[place]
    store(lake, BARS_OF_ONE.filter(late != DAY), [day for day in DAYS if day != late])
    run(lake, [ONE])
    store(lake, BARS_OF_ONE.filter(late == DAY), [late])
    run(lake, [ONE])
    found = ShardStore(lake).read(ONE)
    assert_frame_equal(found, expected_of(lake), rel_tol=1e-9, abs_tol=1e-9)
    assert found["timestamp"].is_sorted()


@pytest.mark.parametrize("month", ["2025-10", "2025-11"])
def test_removed_month_is_dropped_from_the_shard(detected: Lake, month: str) -> None:
    days = len([day for day in DAYS if f"{day}".startswith(month)])
    (detected.bars(ONE) / f"{month}.parquet").unlink()
    logged: list[str] = []
    (outcome,) = log_lost_bars(run(detected, [ONE]), detected, logged.append)
    assert outcome.figures["sessions_gone"] == days
    (line,) = logged
    assert line.startswith(f"{detected.bars(ONE)}: the bars of {days} sessions are gone that events of {ONE} were")
    (again,) = log_lost_bars(run(detected, [ONE]), detected, logged.append)
    assert ("sessions_gone" in again.figures, len(logged)) == (False, 1)
    found = ShardStore(detected).read(ONE)
    assert found.filter(pl.col("date").str.starts_with(month)).is_empty()
    assert found.height
    assert_frame_equal(found, expected_of(detected), rel_tol=1e-9, abs_tol=1e-9)


def test_symbol_without_bars_has_an_empty_shard(lake: Lake) -> None:
    (outcome,) = run(lake, ["NONE"])
    assert outcome.figures["events"] == 0
    assert_frame_equal(ShardStore(lake).read("NONE"), SHARD.to_frame())
    before = files_below(lake.root)
    run(lake, ["NONE"])
    assert files_below(lake.root) == before


def test_symbol_with_only_empty_sessions_has_an_empty_shard(lake: Lake) -> None:
    BarsStore(lake).add(
        "HALT", date(2025, 11, 1), [date(2025, 11, 5)], BARS_OF_ONE.clear(), QUARANTINED_BARS.to_frame()
    )
    (outcome,) = run(lake, ["HALT"])
    assert (outcome.figures["sessions"], outcome.figures["sessions_detected"], outcome.figures["events"]) == (1, 1, 0)
    assert run(lake, ["HALT"])[0].figures["sessions_detected"] == 0


def test_session_without_events_leaves_the_events_unchanged(lake: Lake) -> None:
    store(lake, BARS_OF_ONE.filter(DAYS[-1] != DAY), DAYS[:-1])
    run(lake, [ONE])
    before = files_below(lake.root / "events")
    quiet = BARS_OF_ONE.filter(DAYS[-1] == DAY).head(3)
    store(lake, quiet, [DAYS[-1]])
    (outcome,) = run(lake, [ONE])
    assert (outcome.figures["sessions_detected"], outcome.figures["events_detected"]) == (1, 0)
    after = files_below(lake.root / "events")
    shard, table = f"shards/symbol={ONE}.parquet", lake.shard_coverage(ONE)
    candidates = f"candidates/symbol={ONE}.parquet"
    conditions = f"condition_bars/symbol={ONE}.parquet"
    assert before.keys() == {shard, candidates, conditions}
    assert after.keys() == {shard, candidates, conditions, f"coverage/{table.name}"}
    assert after[shard] == before[shard]
    assert detector(lake).backlog(ONE).undetected == set()
    assert run(lake, [ONE])[0].figures["sessions_detected"] == 0
    # as after a process was killed before it published the table
    table.unlink()
    assert detector(lake).backlog(ONE).undetected == {DAYS[-1]}
    (outcome,) = run(lake, [ONE])
    assert (outcome.figures["sessions_detected"], outcome.figures["events_detected"]) == (1, 0)
    assert {name: content for name, (_, content) in files_below(lake.root / "events").items()} == {
        name: content for name, (_, content) in after.items()
    }


def test_lost_shard_is_rebuilt_byte_for_byte(detected: Lake) -> None:
    path = detected.shard(ONE)
    before = path.read_bytes()
    path.unlink()
    run(detected, [ONE])
    assert path.read_bytes() == before


def test_bars_of_another_symbol_are_reported_within_a_batch(lake: Lake) -> None:
    """As after a ticker was renamed and its folder moved; the bars would count for another company."""
    bars = lively_bars(11, 4, DAYS).filter(DAY.is_in(DAYS))
    moved, *others = bars["symbol"].unique().sort().to_list()
    store(lake, bars, DAYS)
    lake.bars(moved).rename(lake.bars("NEWER"))
    outcomes = {outcome.partition[0]: outcome for outcome in run(lake, ["NEWER", *others])}
    (problem,) = outcomes.pop("NEWER").problems
    assert f"has bars of {moved}, not of NEWER" in problem
    assert not lake.shard("NEWER").exists()
    assert [outcome.problems for outcome in outcomes.values()] == [()] * 3
    assert all(outcome.figures["events"] for outcome in outcomes.values())


def test_bars_rewritten_without_the_column_symbol_are_not_detected_again(lake: Lake) -> None:
    bars = lively_bars(11, 2, DAYS).filter(DAY.is_in(DAYS))
    symbols = bars["symbol"].unique().sort().to_list()
    store(lake, bars, DAYS)
    for path in sorted(lake.minute_bars.rglob("*.parquet")):
        footer = {name: value for name, value in (provenance_of(path) or {}).items() if name != "symbol"}
        of_month = pl.read_parquet(path, hive_partitioning=True).select(*BARS)
        of_month.write_parquet(path, metadata={PROVENANCE: json.dumps(footer)})
    run(lake, symbols)
    before = files_below(lake.root / "events")
    assert before
    for symbol in symbols:
        BarsStore(lake).renew(symbol)
    assert "symbol" not in pl.read_parquet_schema(path)
    assert [outcome.figures["sessions_detected"] for outcome in run(lake, symbols)] == [0, 0]
    assert files_below(lake.root / "events") == before


def test_damaged_file_of_any_kind_fails_only_its_symbol(lake: Lake) -> None:
    bars = lively_bars(11, 4, DAYS).filter(DAY.is_in(DAYS))
    thin, mixed, odd, sound = bars["symbol"].unique().sort().to_list()
    store(lake, bars, DAYS)
    november = bars.filter(pl.col("timestamp") >= midnight(date(2025, 11, 1)))
    november.filter(symbol=thin).drop("transactions").write_parquet(lake.bars(thin) / "2025-11.parquet")
    stranger = november.filter(symbol=mixed).reverse()
    pl.concat([stranger, stranger.head(5).with_columns(symbol=pl.lit("ELSE"))]).write_parquet(
        lake.bars(mixed) / "2025-11.parquet"
    )
    run(lake, [odd, sound])
    pl.concat([ShardStore(lake).read(odd), ShardStore(lake).read(sound).head(1)]).write_parquet(
        lake.shard(odd), metadata={PROVENANCE: json.dumps(provenance_of(lake.shard(odd)))}
    )
    later = bars.filter(DAYS[-1] == DAY).with_columns(volume=pl.col("volume") + 1)
    store(lake, later.filter(pl.col("symbol").is_in([odd, sound])), [DAYS[-1]])
    figures = {outcome.partition[0]: outcome for outcome in run(lake, [thin, mixed, odd, sound])}
    outcomes = {symbol: outcome.problems for symbol, outcome in figures.items()}
    assert (outcomes.pop(sound), outcomes.pop(odd)) == ((), ())
    # what is damaged of a shard is detected again, from the bars
    assert (figures[odd].figures["damaged_shard_set_aside"], figures[odd].figures["sessions_detected"]) == (
        1,
        len(DAYS),
    )
    reported = {symbol: problems[0] for symbol, problems in outcomes.items()}
    assert all(problem.startswith(f"{symbol}: ") for symbol, problem in reported.items())


# ------------------------------------------------------------------------------------------------- completed sessions


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
