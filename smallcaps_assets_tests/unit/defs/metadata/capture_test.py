"""The tables and the verdict of a capture, as the web UI shows them."""

from datetime import UTC, datetime

import polars as pl

from smallcaps_assets.defs.checks.asset_checks import capture_checks
from smallcaps_assets.defs.metadata.capture import kpi_table, ledger_metadata, report_metadata, windows_table
from smallcaps_assets.domain.tape.kpis import capture_kpis
from smallcaps_assets.pipeline.sketches import INLINE_CHARACTERS, clock_sketch
from smallcaps_assets_tests.conftest import event, manifest_of
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.domain.tape.kpis_test import ALL, effort, ledger

ROWS = ledger(PM=ALL, AH=ALL[:90] + ["missing"] * 10, RTH=["complete"] * 3 + ["empty"])
SPENT = effort(PM={"retries": 30, "throttled": 1})
FIGURES = capture_kpis(ROWS, SPENT, default_settings().kpis)


def test_figures_that_miss_their_targets_come_first_and_are_marked() -> None:
    table = kpi_table(FIGURES.filter(pl.col("target").is_not_null()))
    # 193 of 204; PM 100/193 - 100/204 = 2.79 points, AH 90/193 - 100/204 = -2.39, RTH 3/193 - 4/204 = -0.41
    assert table.rows() == [
        ("success %", "≥ 95", "100", "90 ✗", "75 ✗", "94.6 ✗"),
        ("retries %", "< 2", "3 ✗", "0", "0", "1"),
        ("session drift, pp", "±2, ±1", "2.79 ✗", "-2.39 ✗", "-0.41", "-"),
        ("MB per event, p90", "< 40", "1", "1", "1", "1"),
        ("429s %", "< 0.5", "0.1", "0", "0", "0.03"),
        ("minutes as in bars %", "≥ 95", "-", "-", "-", "-"),
    ]


def test_windows_have_one_row_per_state_that_occurs() -> None:
    assert windows_table(ROWS).rows() == [
        ("windows", 100, 100, 4, 204),
        ("complete", 100, 90, 3, 193),
        ("empty", 0, 0, 1, 1),
        ("missing", 0, 10, 0, 10),
        ("tape, MB", 100, 100, 4, 204),
    ]


def test_the_verdict_is_the_first_entry_and_names_the_figures_in_words() -> None:
    metadata = report_metadata(ROWS, SPENT, FIGURES)
    assert next(iter(metadata)) == "verdict"
    assert metadata["verdict"].value.splitlines() == [  # type: ignore[union-attr]
        "**NO-GO: 3 of 5 figures miss their targets; 10 of 204 windows are missing**",
        "",
        "- retries %: PM 3; target &lt; 2",
        "- session drift, pp: PM 2.794, AH -2.387; target within ±2, within ±1",
        "- success %: AH 90, RTH 75, all 94.61; target ≥ 95",
        "- repeat wave AH: 10 of its 100 windows are missing",
    ]
    assert len(metadata["verdict"].value) < INLINE_CHARACTERS  # type: ignore[union-attr]


def test_figures_to_plot_are_few_rounded_and_named_with_their_units() -> None:
    metadata = ledger_metadata(ROWS.with_columns(bytes=pl.col("bytes") / 7), "core_1")
    numbers = {name: value for name, value in metadata.items() if isinstance(value, int | float)}
    # 193 of 204 windows; a seventh of a megabyte each
    assert numbers == {
        "complete_pct": 94.61,
        "windows_left": 10,
        "MB per window": 0.1429,
        "tape_mb": 29.14,
        "dagster/row_count": 204,
    }


def test_a_check_says_what_is_not_judged_yet() -> None:
    words = {check.check_name: check.description for check in capture_checks(FIGURES, ROWS)}
    missing = "10 of 204 windows are missing"
    assert words["success_rate"] == f"Not judged yet: {missing}. So far the target is missed."
    assert words["event_size"] == f"The target is met so far; {missing}."
    whole = ledger(PM=ALL, AH=ALL, RTH=ALL)
    kpis = capture_kpis(whole, SPENT, default_settings().kpis)
    words = {check.check_name: check.description for check in capture_checks(kpis, whole)}
    assert words["retries"] == "The target is missed in: PM."
    assert words["success_rate"] == "The target is met in every wave and in total."
    assert words["empty_windows"] == "Passed."


def test_the_sketch_of_the_clock_is_always_small_enough_to_be_shown_inline() -> None:
    rows = [
        event(timestamp=datetime(2025, 11, 5, 9, 30 * half, tzinfo=UTC), event_id=f"{n}", session=session)
        for n, half in enumerate((0, 1))
        for session in ("PM", "RTH", "AH")
    ]
    whole = pl.concat(
        manifest_of(*rows).with_columns(pl.col("timestamp").dt.offset_by(f"{hour}h")) for hour in range(16)
    )
    sketch = clock_sketch(pl.concat([whole] * 2_000))
    assert len(sketch) < INLINE_CHARACTERS
    assert sketch.endswith("04:00 to 20:00 New York: 64,000 PM, 64,000 RTH, 64,000 AH")
