"""`smallcaps detect` for experiments: layers of settings, parts of the universe, and comparison of events."""

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.commands.detecting.experiment import Experiment
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.calendar import sessions_between as bounds_between
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.imports.bar_files import BarReader
from smallcaps_assets.pipeline.imports.bars_by_symbol import BarsBySymbol
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

# longer than the 20 days of rvol, with a half day
DAYS = sessions_between(date(2025, 10, 23), date(2025, 12, 1))
LIVELY = lively_bars(11, 3, DAYS).filter(DAY.is_in(DAYS))
SYMBOLS = LIVELY["symbol"].unique().sort().to_list()
LOWER = "detectors: {tape_speed: {min_transactions: 20}}"


@pytest.fixture(autouse=True)
def home(fresh_home: Path) -> Path:
    """A folder like a fresh clone as working directory, with bars."""
    LIVELY.write_parquet("bars.parquet")
    Path("low.yaml").write_text(LOWER)
    return fresh_home


@pytest.fixture
def run_detect(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `smallcaps detect`; returns its output."""

    def run(*arguments: object) -> str:
        code = main(["detect", *map(str, arguments)])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return printed.out

    return run


@pytest.fixture
def figures(run_detect: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """Run `smallcaps detect --bars bars.parquet ... --json`; returns its one object."""
    return lambda *arguments: json.loads(run_detect("--bars", "bars.parquet", "--json", *arguments))


@pytest.fixture
def error_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `smallcaps detect`, which must fail with a message of one line; returns the message."""

    def run(*arguments: object) -> str:
        code = main(["detect", *map(str, arguments)])
        printed = capsys.readouterr()
        assert (code, printed.out) == (2, "")
        assert printed.err.startswith("smallcaps detect: ")
        assert printed.err.count("\n") == 1
        return printed.err

    return run


RunDetect = Callable[..., str]
Figures = Callable[..., dict[str, Any]]


def master_with(reference: pl.DataFrame | None = None, **changes: object) -> pl.DataFrame:
    """MASTER of the lively bars, built without the command."""
    settings = load_settings(overrides=changes)
    sessions = bounds_between(DAYS[0], DAYS[-1], settings.sessions)
    found = detect(LIVELY, sessions, settings.detection, reference=reference)
    return build_master(found.events, settings.cooldown)


def only(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    return one.join(other, on="event_id", how="anti", maintain_order="left")


# ------------------------------------------------------------------------------------------------- comparing


def test_gained_and_lost_events_equal_the_difference_of_two_runs(figures: Figures) -> None:
    before, after = master_with(), master_with(detectors={"tape_speed": {"min_transactions": 20}})
    found = figures(
        "--config", "low.yaml", "--compare", "config/config.yaml", "--gained", "g.parquet", "--lost", "l.parquet"
    )
    gained, lost = only(after, before), only(before, after)
    assert gained.height > lost.height
    assert set(gained["event_type"]) == {"tape_speed"}
    assert_frame_equal(pl.read_parquet("g.parquet"), gained)
    assert_frame_equal(pl.read_parquet("l.parquet"), lost)
    totals = found["events"]
    assert (totals["before"], totals["after"]) == (before.height, after.height)
    assert (totals["gained"], totals["lost"]) == (gained.height, lost.height)
    assert found["settings"] == [{"key": "detectors.tape_speed.min_transactions", "before": 50, "after": 20}]
    assert found["strongest"]["gained"][0]["score"] == gained["score"].max()
    assert (found["bars"], found["symbols"], found["bars_set_aside"]) == (LIVELY.height, 3, {})
    for row in found["by_month"]:
        assert row["after"] == after.filter(pl.col("date").str.starts_with(row["month"])).height


def test_a_lower_day_limit_gains_days_and_loses_no_event(figures: Figures) -> None:
    limits = ("min_dollar_volume_day_bullish_usd", "min_dollar_volume_day_bearish_usd")
    Path("strict.yaml").write_text(f"filters: {{{limits[0]}: 5000000, {limits[1]}: 5000000}}")
    lowered = [f"filters.{limit}=0" for limit in limits]
    found = figures("--set", lowered[0], "--set", lowered[1], "--compare", "strict.yaml")
    assert found["events"]["gained"] > 0
    assert found["events"]["lost"] == 0


def test_events_of_an_earlier_run_can_be_compared(run_detect: RunDetect, figures: Figures) -> None:
    run_detect("--bars", "bars.parquet", "--out", "before.parquet")
    by_events = figures("--config", "low.yaml", "--compare", "before.parquet")
    by_settings = figures("--config", "low.yaml", "--compare", "config/config.yaml")
    assert by_events["settings"] is None
    for name in ("events", "by_type", "by_session", "by_month", "scores", "strongest", "profiles"):
        assert by_events[name] == by_settings[name]


def test_the_same_settings_change_nothing(figures: Figures) -> None:
    Path("same.yaml").write_text("cooldown: {window_min: 10}")
    found = figures("--compare", "same.yaml")
    totals = found["events"]
    assert totals["before"] == totals["after"] == totals["same"] > 100
    assert not any(totals[name] for name in ("gained", "lost", "rescored", "retiered", "turned"))
    assert found["settings"] == []
    assert found["strongest"] == {"gained": [], "lost": []}
    assert all(rows["before"] == rows["after"] == rows["same"] > 0 for rows in found["profiles"].values())


def test_a_threshold_of_one_session_changes_only_that_session(figures: Figures) -> None:
    found = figures("--set", "detectors.opening_range_break.min_spike_x=1000", "--compare", "config/config.yaml")
    breaks = master_with().filter(event_type="opening_range_break").height
    changed = {row["session"]: (row["gained"], row["lost"]) for row in found["by_session"]}
    assert changed == {"PM": (0, 0), "RTH": (0, breaks), "AH": (0, 0)}
    assert breaks > 0


def test_a_later_start_of_the_session_loses_the_earlier_events(figures: Figures) -> None:
    found = figures("--set", 'sessions.premarket_open="06:00"', "--compare", "config/config.yaml")
    early = master_with().filter(pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.hour() < 6)
    assert found["events"]["lost"] >= early.height > 0
    assert found["before_not_compared"] == 0


def test_settings_of_profiles_change_the_manifest_but_no_event(figures: Figures) -> None:
    found = figures("--set", "profiles.core.sessions=[RTH]", "--compare", "config/config.yaml")
    assert found["events"]["gained"] == found["events"]["lost"] == 0
    core = found["profiles"]["core"]
    assert 0 < core["after"] < core["before"]
    assert found["profiles"]["plus"]["before"] == found["profiles"]["plus"]["after"]


def test_weights_change_scores_and_tiers(figures: Figures) -> None:
    found = figures("--set", "score.full_spike_x=20", "--compare", "config/config.yaml")
    assert found["events"]["rescored"] > found["events"]["retiered"] > 0


def test_events_of_other_days_and_symbols_are_not_compared(figures: Figures) -> None:
    master = master_with()
    elsewhere = master.head(3).with_columns(
        symbol=pl.lit("NONE"), event_id=pl.format("NONE_{}", pl.int_range(pl.len()))
    )
    pl.concat([master.filter(symbol=SYMBOLS[0]), elsewhere]).write_parquet("other.parquet")
    found = figures("--compare", "other.parquet")
    assert found["before_not_compared"] == 3
    assert found["events"]["lost"] == 0
    assert (
        found["gained_where_before_has_none"]
        == found["events"]["gained"]
        == only(master, master.filter(symbol=SYMBOLS[0])).height
    )


def test_tables_and_json_output_agree(run_detect: RunDetect, figures: Figures) -> None:
    flags = ("--config", "low.yaml", "--compare", "config/config.yaml")
    found, text = figures(*flags), run_detect("--bars", "bars.parquet", *flags)
    totals = found["events"]
    assert "B: low.yaml" in text
    assert "detectors.tape_speed.min_transactions: 50 in A, 20 in B" in text
    difference = totals["after"] - totals["before"]
    assert re.search(rf"^  all +{totals['before']:,} +{totals['after']:,} +\+{difference:,} ", text, re.MULTILINE)
    for row in found["by_type"]:
        label = f"    {row['event_type']} {row['direction']}"
        assert re.search(
            rf"^{label} +{row['before']:,} +{row['after']:,} .* {row['gained']:,} +{row['lost']:,}$", text, re.MULTILINE
        )
    assert found["strongest"]["gained"][0]["event_id"] in text
    assert all(len(line) <= 80 for line in text.splitlines() if line.startswith("  "))


# ------------------------------------------------------------------------------------------------- settings


def test_later_overrides_replace_earlier_ones(figures: Figures) -> None:
    Path("a.yaml").write_text("detectors: {flush: {min_spike_x: 3, min_drop_share: 0.05}}\nfilters: {min_close_usd: 2}")
    Path("b.yaml").write_text("detectors: {flush: {min_spike_x: 2}}")
    found = figures(
        "--config", "a.yaml", "--config", "b.yaml", "--set", "filters.min_close_usd=3", "--compare", "a.yaml"
    )
    changed = {row["key"]: (row["before"], row["after"]) for row in found["settings"]}
    assert changed == {"detectors.flush.min_spike_x": (3.0, 2.0), "filters.min_close_usd": (2.0, 3.0)}


def test_a_complete_configuration_replaces_the_default(figures: Figures, home: Path, error_of: RunDetect) -> None:
    text = (home / "config" / "config.yaml").read_text()
    Path("whole.yaml").write_text(text.replace("min_drop_share: 0.08", "min_drop_share: 0.04"))
    found = figures("--config", "whole.yaml", "--config", "low.yaml", "--compare", "config/config.yaml")
    assert {row["key"] for row in found["settings"]} == {
        "detectors.flush.min_drop_share",
        "detectors.tape_speed.min_transactions",
    }
    Path("incomplete.yaml").write_text(text.replace("    min_drop_share: 0.08\n", ""))
    words = error_of("--bars", "bars.parquet", "--out", "e.parquet", "--config", "incomplete.yaml")
    assert "detectors.flush.min_drop_share: is missing" in words
    assert words.startswith("smallcaps detect: incomplete.yaml, line ")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--config", "low.yaml", "--config", "bad.yaml"], "bad.yaml, line 1: detectors.flush.min_spik_x = 4: no such"),
        (["--config", "bad.yaml", "--config", "low.yaml"], "bad.yaml, line 1: detectors.flush.min_spik_x = 4: no such"),
        (["--config", "none.yaml"], "none.yaml: cannot be read"),
        (["--config", "list.yaml"], "list.yaml: must hold settings"),
        (["--set", "cooldown.window_min=much"], "--set cooldown.window_min=much: cooldown.window_min = 'much'"),
        (["--set", "detector.flush.min_spike_x=4"], "--set detector.flush.min_spike_x=4: detector: no such setting"),
        (["--set", "detectors.flush=4"], "--set detectors.flush=4: detectors.flush = 4"),
        (["--set", "detectors.flush.min_spike_x"], "give KEY=VALUE"),
        (["--set", "=4"], "give KEY=VALUE"),
        (["--set", "active_profile=[core"], "the value is not usable YAML"),
        (["--set", "profiles.plus.min_event_score=0.9"], "min_event_score must not rise"),
        (["--compare", "bad.yaml"], "bad.yaml, line 1: detectors.flush.min_spik_x"),
    ],
)  # fmt: skip
def test_a_wrong_setting_names_its_file_or_flag(flags: list[str], words: str, error_of: RunDetect) -> None:
    Path("bad.yaml").write_text("detectors: {flush: {min_spik_x: 4}}")
    Path("list.yaml").write_text("[1, 2]")
    assert words in error_of("--bars", "bars.parquet", "--out", "e.parquet", *flags)
    assert not Path("e.parquet").exists()


# ------------------------------------------------------------------------------------------------- part of the universe


def test_events_from_a_first_day_on_equal_those_of_a_full_run(run_detect: RunDetect) -> None:
    """Relative volumes need the 20 days before, and more calendar days for a symbol that skipped a session."""
    first, last = DAYS[22], DAYS[-2]
    run_detect("--bars", "bars.parquet", "--out", "part.parquet", "--first", first, "--last", last)
    part = pl.read_parquet("part.parquet")
    assert part.height > 20
    assert part["rvol_day"].null_count() == 0
    whole = master_with().filter(pl.col("date").is_between(pl.lit(f"{first}"), pl.lit(f"{last}")))
    assert_frame_equal(part, whole)
    traded = LIVELY.select("symbol", day=DAY).unique().filter(pl.col("day") < first).group_by("symbol").len()
    assert traded["len"].min() < 22


def test_events_after_months_without_bars_are_those_of_all_days(run_detect: RunDetect) -> None:
    """The baseline of relative volume reaches over the 19 sessions before the first day, and not over the 99 before."""
    parts = [(date(2025, 2, 3), date(2025, 3, 5)), (date(2025, 7, 29), date(2025, 8, 29)), (date(2025, 9, 29), DAYS[9])]
    days = [day for part in parts for day in sessions_between(*part)]
    bars = lively_bars(5, 2, days).filter(DAY.is_in(days))
    bars.write_parquet("bars.parquet")
    settings = default_settings()
    found = detect(bars, bounds_between(days[0], days[-1], settings.sessions), settings.detection)
    whole = build_master(found.events, settings.cooldown)
    for first, unknown in ((parts[1][0], True), (parts[2][0], False)):
        run_detect("--bars", "bars.parquet", "--out", "part.parquet", "--first", first)
        part = pl.read_parquet("part.parquet")
        assert_frame_equal(part, whole.filter(pl.col("date") >= f"{first}"))
        on_first = part.filter(pl.col("date") == part["date"].min())
        assert on_first["rvol_day"].is_null().all() == unknown


@pytest.mark.slow
def test_a_sample_is_reproducible_and_part_of_a_larger_one(run_detect: RunDetect) -> None:
    def drawn(*flags: object) -> set[str]:
        run_detect("--bars", "bars.parquet", "--out", "e.parquet", *flags)
        return set(pl.read_parquet("e.parquet")["symbol"])

    one, two = drawn("--sample", 1), drawn("--sample", 2)
    assert drawn("--sample", 1) == one < two
    assert drawn("--sample", 9) == set(SYMBOLS)
    assert {next(iter(drawn("--sample", 1, "--sample-seed", seed))) for seed in range(12)} == set(SYMBOLS)
    pl.concat([LIVELY, LIVELY.with_columns(symbol=pl.lit("NEW"))]).write_parquet("bars.parquet")
    assert len(drawn("--sample", 2) & two) >= 1


def test_symbols_are_read_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.csv").write_text(f"symbol\n{SYMBOLS[1]}\nNOBARS\n")
    flags = ["detect", "--bars", "bars.parquet", "--out", "e.parquet", "--symbols-from"]
    assert main([*flags, "mine.csv"]) == 0
    assert "1 of 2 symbols have no bars: NOBARS" in capsys.readouterr().err
    assert_frame_equal(pl.read_parquet("e.parquet"), master_with().filter(symbol=SYMBOLS[1]))
    assert main([*flags, "none.csv"]) == 2
    assert "none.csv: cannot be read" in capsys.readouterr().err
    Path("mine.csv").write_text("symbol\nNOBARS\n")
    assert main([*flags, "mine.csv"]) == 2
    assert "mine.csv: none of its symbols has bars" in capsys.readouterr().err


def test_batches_of_one_symbol_find_the_same_events_as_a_single_batch(tmp_path: Path) -> None:
    """Batches of one symbol, with one file for each day and two configurations."""
    for (day,), rows in LIVELY.group_by(DAY):
        Path("days").mkdir(exist_ok=True)
        rows.write_parquet(f"days/{day}.parquet")
    lowered = load_settings(overrides={"detectors": {"tape_speed": {"min_transactions": 20}}})
    files = BarsBySymbol.scan(BarReader(BarForm(), rows_at_once=1), sorted(Path("days").iterdir()), lambda _: None)
    experiment = Experiment(files, SYMBOLS, None, None, [default_settings(), lowered], None)
    (tmp_path / "scratch").mkdir()
    lines: list[str] = []
    batches = list(experiment.run(tmp_path / "scratch", lines.append))
    assert [batch.symbols for batch in batches] == [[symbol] for symbol in SYMBOLS]
    assert sum(batch.rows for batch in batches) == LIVELY.height
    for number, expected in enumerate((master_with(), master_with(detectors={"tape_speed": {"min_transactions": 20}}))):
        assert_frame_equal(pl.concat(batch.found[number].master for batch in batches), expected)
    assert lines[-1].startswith("symbols detected: 3 of 3 done, ")


# ------------------------------------------------------------------------------------------------- the lake


@pytest.fixture
def lake(home: Path) -> Lake:
    """The configured lake with bars, shards, MASTER and a universe with one float too small for any event."""
    lake = new_lake(home / "lake")
    store = BarsStore(lake)
    for (symbol,), rows in LIVELY.group_by("symbol"):
        for month in sorted({day.replace(day=1) for day in DAYS}):
            sessions = [day for day in DAYS if day.replace(day=1) == month]
            store.add(str(symbol), month, sessions, rows.filter(DAY.is_in(sessions)), QUARANTINED_BARS.to_frame())
    known = {"symbol": SYMBOLS, "float_shares": [1e6, 1e9, None]}
    universe = pl.DataFrame(known).match_to_schema(UNIVERSE, missing_columns="insert")
    UniverseStore(lake).replace(universe, {})
    reference = UniverseStore(lake).reference()
    shards, settings = ShardStore(lake), default_settings()
    outcomes = Detector(store, shards, settings.detection, settings.sessions, reference).run(SYMBOLS)
    assert not [problem for outcome in outcomes for problem in outcome.problems]
    publish_frame(lake.master, build_master(shards.scan().collect(), settings.cooldown), below=lake.root)
    return lake


def test_the_lake_is_read_but_not_written(lake: Lake, run_detect: RunDetect) -> None:
    before = files_below(lake.root)
    assert len(before) > 8
    same = json.loads(run_detect("--compare", lake.master, "--json"))
    assert same["events"]["same"] == same["events"]["before"] == same["events"]["after"] > 100
    assert same["events"]["rescored"] == 0
    assert same["before_not_compared"] == 0
    flags = ("--config", "low.yaml", "--compare", lake.master, "--out", "e.parquet", "--gained", "g.parquet")
    part = json.loads(run_detect("--lake", lake.root, *flags, "--sample", 2, "--first", DAYS[21], "--json"))
    assert part["events"]["gained"] == pl.read_parquet("g.parquet").height > 0
    assert part["before_not_compared"] > 0
    assert pl.read_parquet("e.parquet")["date"].min() >= f"{DAYS[21]}"
    assert files_below(lake.root) == before


def test_reference_data_of_the_lake_are_used(lake: Lake, run_detect: RunDetect) -> None:
    run_detect("--out", "e.parquet")
    found = pl.read_parquet("e.parquet")
    assert SYMBOLS[0] not in found["symbol"]
    assert_frame_equal(found, master_with(reference=UniverseStore(lake).reference()))


@pytest.mark.parametrize("flag", ["--out", "--gained", "--lost"])
def test_output_into_the_lake_is_rejected(flag: str, lake: Lake, error_of: RunDetect) -> None:
    before = files_below(lake.root)
    for place in ([], ["--lake", "other"], ["--bars", "bars.parquet"]):
        words = error_of(flag, lake.root / "events" / "mine.parquet", "--compare", lake.master, *place)
        assert "lies in the lake" in words
    assert files_below(lake.root) == before


def test_a_lake_without_bars_is_an_error(error_of: RunDetect) -> None:
    assert "no bars in this lake" in error_of("--lake", "nowhere", "--out", "e.parquet")
    assert not Path("nowhere").exists()


# ------------------------------------------------------------------------------------------------- flags


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "nothing to do: give --out FILE"),
        (["--out", "e.parquet", "--json"], "give --compare OTHER as well"),
        (["--out", "e.parquet", "--lost", "l.parquet"], "give --compare OTHER as well"),
        (["--out", "other.parquet", "--compare", "other.parquet"], "other.parquet: is named twice"),
        (["--gained", "x.parquet", "--lost", "x.parquet", "--compare", "low.yaml"], "x.parquet: is named twice"),
        (["--gained", "config", "--compare", "low.yaml"], "--gained config: is a folder"),
        (["--compare", "none.parquet"], "none.parquet: does not exist"),
        (["--compare", "bars.parquet"], "`smallcaps import events bars.parquet`"),
        (["--out", "e.parquet", "--first", "2025-11-05", "--last", "2025-11-04"], "--first 2025-11-05 is after --last"),
        (["--out", "e.parquet", "--first", "2031-01-01"], "no usable bar in 0 requested rows"),
    ],
)
def test_invalid_flags_are_rejected(flags: list[str], words: str, error_of: RunDetect) -> None:
    assert words in error_of("--bars", "bars.parquet", *flags)
    assert not list(Path().glob("?.parquet"))


def test_events_of_another_program_are_rejected_with_a_remedy(
    error_of: RunDetect, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = master_with().with_columns(
        pl.col(name).cast(pl.Float32) for name, kind in EVENTS.items() if kind == pl.Float64
    )
    narrow.write_parquet("narrow.parquet")
    words = error_of("--bars", "bars.parquet", "--compare", "narrow.parquet")
    assert "spike_x is Float32, not Float64" in words
    assert "`smallcaps import events narrow.parquet` makes a MASTER" in words
    assert main(["manifest", "--master", "narrow.parquet", "--profile", "core", "--dry-run"]) == 2
    assert "`smallcaps import events narrow.parquet` makes a MASTER" in capsys.readouterr().err


def test_quarantined_bars_are_counted_even_if_no_file_is_written(figures: Figures) -> None:
    pl.concat(
        [LIVELY, LIVELY.head(2), LIVELY.head(1).with_columns(symbol=pl.lit(None, dtype=pl.String))]
    ).write_parquet("bars.parquet")
    found = figures("--compare", "low.yaml")
    assert found["bars_set_aside"] == {
        "repeats the minute of an earlier row": 2,
        "symbol is not usable as a name": 1,
    }
    assert found["bars"] == LIVELY.height + 3


def test_bars_off_the_minute_are_quarantined_next_to_the_events(capsys: pytest.CaptureFixture[str]) -> None:
    """Half-minute bars: those at second 30 are rejected as on import, yield no event, and the exit code is 1."""
    halves = LIVELY.with_columns(pl.col("timestamp") + pl.duration(seconds=30))
    pl.concat([LIVELY, halves]).write_parquet("bars.parquet")
    assert main(["detect", "--bars", "bars.parquet", "--out", "e.parquet"]) == 1
    printed = capsys.readouterr()
    reason = "timestamp is not the start of a minute"
    counted = f"{LIVELY.height:,} bars rejected and written to e.quarantine.parquet: {LIVELY.height:,} {reason}"
    assert counted in printed.out
    rows = f"{LIVELY.height:,} of {2 * LIVELY.height:,} rows are bad, for the reasons above."
    assert printed.err == f"bars.parquet: {rows}\n"
    aside = pl.read_parquet("e.quarantine.parquet")
    assert_frame_equal(aside, halves.with_columns(reason=pl.lit(reason)))
    assert_frame_equal(pl.read_parquet("e.parquet"), master_with())
