"""`smallcaps detect` over a lake: from candidates where they decide the settings, else from bars; the same events."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.commands.detecting.roads import ExperimentPart, survey_road
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.events.kept_candidates import (
    CANNOT_BE_READ,
    NO_CANDIDATES,
    NO_SHARD,
    OTHER_BARS,
    OTHER_SETTINGS,
)
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.scenarios import default_settings, flip_bit
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

# more than the 5 days that relative volume needs, over a change of the month
DAYS = sessions_between(date(2025, 10, 22), date(2025, 11, 7))
LIVELY = lively_bars(5, 3, DAYS).filter(DAY.is_in(DAYS))
ONE, TWO, THREE = SYMBOLS = LIVELY["symbol"].unique().sort().to_list()
STRICTER = ("--set", "detectors.volume_spike.regular.min_spike_x=9", "--set", "detectors.vwap_break.up_min_run_bars=3")
FILES = ("out", "gained", "lost")


def detector(lake: Lake, **changes: Any) -> Detector:
    chosen = default_settings()
    made = Detector(
        BarsStore(lake), ShardStore(lake), chosen.detection, chosen.sessions, UniverseStore(lake).reference()
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with bars, shards, candidates, MASTER and reference data."""
    lake = new_lake(tmp_path_factory.mktemp("made") / "lake")
    store = BarsStore(lake)
    for (symbol,), rows in LIVELY.group_by("symbol"):
        for month in sorted({day.replace(day=1) for day in DAYS}):
            days = [day for day in DAYS if day.replace(day=1) == month]
            store.add(str(symbol), month, days, rows.filter(DAY.is_in(days)), QUARANTINED_BARS.to_frame())
    known = {"symbol": SYMBOLS, "float_shares": [7e6, 1e9, None]}
    UniverseStore(lake).replace(pl.DataFrame(known).match_to_schema(UNIVERSE, missing_columns="insert"), {})
    assert not [problem for outcome in detector(lake).run(SYMBOLS) for problem in outcome.problems]
    master = build_master(ShardStore(lake).scan().collect(), default_settings().cooldown)
    publish_frame(lake.master, master, below=lake.root)
    return lake


@pytest.fixture
def lake(made: Lake, fresh_home: Path) -> Lake:
    return Lake(shutil.copytree(made.root, fresh_home / "lake"))


@pytest.fixture
def both(lake: Lake, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run an experiment as it comes, and from bars; require the same events, and return the figures of the former."""

    def run(*arguments: object) -> dict[str, Any]:
        before, figures, files = files_below(lake.root), [], []
        for road in ([], ["--from-bars"]):
            outputs = [part for name in FILES for part in (f"--{name}", f"{name}.parquet")]
            flags = ["--lake", lake.root, "--json", *outputs, *road, *arguments]
            assert main(["detect", *map(str, flags)]) == 0
            figures.append(json.loads(capsys.readouterr().out))
            files.append({name: Path(f"{name}.parquet").read_bytes() for name in FILES})
        assert files[0] == files[1]
        judged, detected = figures
        counts = ("bars", "symbols", "days_filtered", "events_found", "events_filtered", "events_cooled_down")
        for name in (*counts, "reference_unknown", "events", "by_type", "by_month", "scores", "strongest", "profiles"):
            assert judged[name] == detected[name], name
        assert detected["road"] == {
            "because": "as --from-bars asks for",
            "symbols_without_candidates": {},
            "from_bars": detected["symbols"],
        }
        assert files_below(lake.root) == before
        return judged

    return run


Both = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    "flags",
    [
        STRICTER,
        ("--set", "filters.min_close_usd=4", "--set", "filters.min_float_bullish_shares=8000000"),
        ("--set", "score.weights.consecutive_bars=0.9", "--set", "cooldown.window_min=30"),
        ("--set", "cooldown.group_window_min=30", "--set", "profiles.core.min_event_score=0.7"),
        (*STRICTER, "--first", DAYS[8], "--last", DAYS[-2]),
        (*STRICTER, "--sample", 2),
    ],
    ids=["thresholds", "filters", "weights", "groups", "days", "sample"],
)
def test_settings_that_candidates_decide_find_the_events_that_bars_have(
    lake: Lake, both: Both, flags: tuple[object, ...]
) -> None:
    figures = both("--compare", lake.master, *flags)
    assert figures["road"]["from_candidates"] == figures["symbols"] >= 2
    assert figures["road"]["because"] is None
    assert "from_bars" not in figures["road"]
    assert figures["events"]["after"] > 20
    # no bar was read
    assert figures["suspect_prints"] is figures["bars_set_aside"] is figures["bars_outside_sessions"] is None


def test_settings_are_compared_with_settings_from_candidates(both: Both, fresh_home: Path) -> None:
    (fresh_home / "other.yaml").write_text("detectors: {flush: {min_spike_x: 6.0}}")
    figures = both("--compare", "other.yaml", *STRICTER)
    assert figures["road"]["from_candidates"] == 3
    assert figures["events"]["gained"] + figures["events"]["lost"] > 0


@pytest.mark.parametrize(
    ("flags", "key", "change"),
    [
        (("--set", "detectors.flush.min_spike_x=3"), "detectors.flush.min_spike_x", "from 4.0 to 3.0"),
        (("--set", "detectors.vwap_break.up_min_above_share=0.02"), "up_min_above_share", "from 0.006 to 0.02"),
        (("--set", "features.baseline_bars=30"), "features.baseline_bars", "from 20 to 30"),
        (("--set", "sessions.premarket_open=07:00"), "sessions.premarket_open", "from 04:00:00 to 07:00:00"),
        (
            ("--set", "filters.min_dollar_volume_day_bullish_usd=1"),
            "min_dollar_volume_day_bullish_usd",
            "from 500000.0 to 1.0",
        ),
    ],
)
def test_a_setting_that_needs_bars_is_named(
    lake: Lake, both: Both, flags: tuple[str, str], key: str, change: str
) -> None:
    road = both("--compare", lake.master, *flags)["road"]
    assert road["from_bars"] == 3
    assert road["because"].startswith("candidates do not decide a change of ")
    assert f"{key} {change}" in road["because"]


def test_a_baseline_with_looser_settings_needs_bars(both: Both, fresh_home: Path) -> None:
    (fresh_home / "other.yaml").write_text("detectors: {flush: {min_spike_x: 2.0}}")
    road = both("--compare", "other.yaml", *STRICTER)["road"]
    assert "detectors.flush.min_spike_x from 4.0 to 2.0" in road["because"]


def _other_bars(lake: Lake) -> None:
    # one bar more on the last session
    day = LIVELY.filter(DAYS[-1] == DAY, symbol=TWO)
    more = day.tail(1).with_columns(pl.col("timestamp") + pl.duration(minutes=1))
    month = DAYS[-1].replace(day=1)
    BarsStore(lake).add(TWO, month, [DAYS[-1]], more, QUARANTINED_BARS.to_frame())


def _without_condition_bars(lake: Lake) -> None:
    path = lake.candidates_of(TWO)
    footer = {"smallcaps": json.dumps({"symbol": TWO})}
    pl.read_parquet(path).drop("condition_bars").write_parquet(path, metadata=footer)


def _other_settings(lake: Lake) -> None:
    params = load_settings(overrides={"detectors": {"flush": {"min_spike_x": 5.0}}}).detection
    assert list(detector(lake, params=params).run([TWO]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lake: lake.candidates_of(TWO).unlink(), NO_CANDIDATES),
        (_without_condition_bars, NO_CANDIDATES),
        (lambda lake: shutil.copy(lake.candidates_of(ONE), lake.candidates_of(TWO)), CANNOT_BE_READ),
        (lambda lake: flip_bit(lake.candidates_of(TWO), 3000), CANNOT_BE_READ),
        (lambda lake: flip_bit(lake.shard(TWO), 300), CANNOT_BE_READ),
        (lambda lake: lake.shard(TWO).unlink(), NO_SHARD),
        (_other_bars, OTHER_BARS),
        (_other_settings, OTHER_SETTINGS),
    ],
    ids=["gone", "old", "of-another", "damaged", "damaged-shard", "no-shard", "other-bars", "other-settings"],
)
def test_symbols_whose_candidates_cannot_be_used_come_from_bars(
    lake: Lake, both: Both, change: Callable[[Lake], object], reason: str
) -> None:
    # without it the condition bars of candidates are read from the candidates themselves
    lake.condition_bars_of(TWO).unlink()
    change(lake)
    road = both("--compare", lake.master, *STRICTER)["road"]
    assert road == {
        "because": None,
        "symbols_without_candidates": {reason: 1},
        "from_candidates": 2,
        "from_bars": 1,
    }


def _of_the_day_before(lake: Lake) -> None:
    """Condition bars of TWO as a night left them that was killed before it published those of another session."""
    older = new_lake(lake.root.parent / "older")
    shutil.copytree(lake.bars(TWO), older.bars(TWO))
    (older.bars(TWO) / f"{DAYS[-1]:%Y-%m}.parquet").unlink()
    list(detector(older).run([TWO]))
    shutil.copy(older.condition_bars_of(TWO), lake.condition_bars_of(TWO))


@pytest.mark.parametrize(
    "change",
    [
        lambda lake: shutil.rmtree(lake.condition_bars),
        lambda lake: lake.condition_bars_of(TWO).unlink(),
        lambda lake: shutil.copy(lake.condition_bars_of(ONE), lake.condition_bars_of(TWO)),
        lambda lake: flip_bit(lake.condition_bars_of(TWO), 3000),
        lambda lake: lake.condition_bars_of(TWO).write_bytes(b"PAR1"),
        _of_the_day_before,
    ],
    ids=["no-folder", "gone", "of-another", "damaged", "cut-off", "older"],
)
def test_candidates_are_read_where_no_file_of_their_condition_bars_can_be_used(
    lake: Lake, both: Both, change: Callable[[Lake], object]
) -> None:
    change(lake)
    # where the file is not used, the candidates are proven
    road = both("--compare", lake.master, *STRICTER)["road"]
    assert road == {"because": None, "symbols_without_candidates": {}, "from_candidates": 3}
    flip_bit(lake.candidates_of(TWO), 3000)
    assert both("--compare", lake.master, *STRICTER)["road"]["symbols_without_candidates"] == {CANNOT_BE_READ: 1}


def test_candidates_are_not_read_where_a_file_has_their_condition_bars(lake: Lake, both: Both) -> None:
    shutil.rmtree(lake.candidates)
    assert both("--compare", lake.master, *STRICTER)["road"]["from_candidates"] == 3


@pytest.mark.parametrize(
    ("part", "batches"),
    [
        (ExperimentPart(None, None, is_every_symbol=True), [[ONE], [THREE]]),
        # which symbols these are is known only when all were looked at
        (ExperimentPart(None, None, is_every_symbol=False), []),
    ],
)
def test_batches_of_the_experiment_are_judged_while_others_are_looked_at(
    lake: Lake, part: ExperimentPart, batches: list[list[str]]
) -> None:
    lake.shard(TWO).unlink()
    settings = default_settings()
    with closing(survey_road(lake, settings, [settings], part, lambda _: None)) as road:
        assert road.judged is not None
        assert road.judged.waiting() == batches
        for symbols in batches:
            assert road.judged(symbols).found[0].master["symbol"].unique().to_list() == symbols
        assert road.judged.waiting() == []


def test_the_terminal_says_which_road_it_took(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (lake.candidates_of(TWO), lake.condition_bars_of(TWO)):
        path.unlink()
    assert main(["detect", "--lake", str(lake.root), "--compare", str(lake.master), *STRICTER]) == 0
    printed = capsys.readouterr().out
    assert "from candidates of 2 symbols: their bars were not read" in printed
    assert f"from bars of 1 symbol\n  1 symbol {NO_CANDIDATES}" in printed
    assert main(["detect", "--lake", str(lake.root), "--compare", str(lake.master), "--from-bars"]) == 0
    assert "from bars: as --from-bars asks for" in capsys.readouterr().out
