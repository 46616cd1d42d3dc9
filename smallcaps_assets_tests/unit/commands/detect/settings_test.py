"""`smallcaps detect`: settings, flags and files, and how wrong ones are named."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets_tests.unit.commands.detect.lively_home import LIVELY, Figures, RunDetect, master_with


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
