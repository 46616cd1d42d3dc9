"""`smallcaps detect` under other settings: events gained and lost."""

import re
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from smallcaps_assets_tests.unit.commands.detect.lively_home import (
    LIVELY,
    SYMBOLS,
    Figures,
    RunDetect,
    master_with,
    only,
)


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
