"""GO or NO-GO: each figure at its target and just beyond."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.kpis import EFFORT, LEDGER, capture_kpis, state_counts, verdict
from smallcaps_assets_tests.scenarios import default_settings

NOON = datetime(2025, 11, 5, 17, tzinfo=UTC)


def ledger(**states_by_wave: list[str]) -> pl.DataFrame:
    """One row of a megabyte for each state of each wave."""
    rows = [
        dict.fromkeys(LEDGER) | {"event_id": f"{wave}{n}", "wave": wave, "state": state, "bytes": 1e6}
        for wave, states in states_by_wave.items()
        for n, state in enumerate(states)
    ]
    return pl.DataFrame(rows, schema=LEDGER, orient="row")


def effort(**changes: dict[str, int]) -> pl.DataFrame:
    """A thousand requests in each wave and nothing amiss, but for `changes`."""
    rows: list[dict[str, Any]] = [
        {"wave": wave, "requests": 1000, "retries": 0, "throttled": 0} | changes.get(wave, {})
        for wave in ("PM", "AH", "RTH")
    ]
    return pl.DataFrame(rows, schema=EFFORT, orient="row")


ALL = ["complete"] * 100
WHOLE = ledger(PM=ALL, AH=ALL, RTH=ALL)


def broken(rows: pl.DataFrame, spent: pl.DataFrame) -> list[tuple[str, str]]:
    """Waves and figures that miss their target; they are the verdict's reasons."""
    kpis = capture_kpis(rows, spent, default_settings().kpis)
    go, reasons = verdict(kpis)
    missed = kpis.filter(~pl.col("holds")).select("wave", "figure").rows()
    assert go == (not missed)
    assert [tuple(reason.split(" is ")[0].split(": ")) for reason in reasons] == missed
    return missed


def big(rows: pl.DataFrame, wave: str, count: int) -> pl.DataFrame:
    large = (pl.col("wave") == wave) & (pl.int_range(pl.len()).over("wave") < count)
    return rows.with_columns(bytes=pl.when(large).then(40e6).otherwise("bytes"))


def test_a_whole_capture_goes() -> None:
    assert broken(WHOLE, effort()) == []


def test_every_figure_is_shown_per_wave_and_in_all_with_its_target() -> None:
    kpis = capture_kpis(WHOLE, effort(), default_settings().kpis)
    targets = {row["figure"]: row["target"] for row in kpis.filter(pl.col("wave") == "AH").to_dicts()}
    assert targets == {
        "success_pct": ">= 95",
        "retries_pct": "< 2",
        "throttled_pct": "< 0.5",
        "p90_event_mb": "< 40",
        "session_drift_pp": "within ±1",
    }
    assert kpis["wave"].unique(maintain_order=True).to_list() == ["PM", "AH", "RTH", "all"]
    assert not kpis["target"].has_nulls()


@pytest.mark.parametrize(
    ("rows", "spent", "missed"),
    [
        # 95 of 100 are enough in every wave alike, 94 are not
        (ledger(**dict.fromkeys(("PM", "AH", "RTH"), ["complete"] * 95 + ["empty"] * 5)), effort(), []),
        (
            ledger(**dict.fromkeys(("PM", "AH", "RTH"), ["complete"] * 94 + ["missing"] * 6)),
            effort(),
            [(wave, "success_pct") for wave in ("PM", "AH", "RTH", "all")],
        ),
        # 19 of 1,000 hold, 20 do not, and 20 of 3,000 in all do
        (WHOLE, effort(PM={"retries": 19}), []),
        (WHOLE, effort(PM={"retries": 20}), [("PM", "retries_pct")]),
        (WHOLE, effort(RTH={"throttled": 4}), []),
        (WHOLE, effort(RTH={"throttled": 5}), [("RTH", "throttled_pct")]),
        # the 90th percentile of 100 lies a tenth of the way from the 90th to the 91st
        (big(WHOLE, "PM", 10), effort(), []),
        (big(WHOLE, "PM", 11), effort(), [("PM", "p90_event_mb")]),
        # 95 of 295 in AH is 1.13 points below a third; PM and RTH are 0.56 above
        (ledger(PM=ALL, AH=["complete"] * 95 + ["failed"] * 5, RTH=ALL), effort(), [("AH", "session_drift_pp")]),
        # the same loss in PM is within its 2 points, but lifts AH by 0.56 only
        (ledger(PM=["complete"] * 95 + ["failed"] * 5, AH=ALL, RTH=ALL), effort(), []),
    ],
)
def test_each_figure_alone_stops_a_capture(
    rows: pl.DataFrame, spent: pl.DataFrame, missed: list[tuple[str, str]]
) -> None:
    assert broken(rows, spent) == missed


def test_a_figure_that_nobody_knows_is_a_miss() -> None:
    nothing_sent = effort(PM={"requests": 0})
    assert broken(WHOLE, nothing_sent) == [("PM", "retries_pct"), ("PM", "throttled_pct")]
    _, reasons = verdict(capture_kpis(WHOLE, nothing_sent, default_settings().kpis))
    assert reasons[0] == "PM: retries_pct is unknown, target < 2"
    nobody_counted = broken(WHOLE, effort().clear())
    assert {figure for _, figure in nobody_counted} == {"retries_pct", "throttled_pct"}
    assert len(nobody_counted) == 8


def test_nothing_complete_has_no_size_and_no_mix() -> None:
    missed = broken(ledger(RTH=["empty"] * 3), effort())
    assert {figure for _, figure in missed} == {"success_pct", "p90_event_mb", "session_drift_pp"}


def test_an_empty_manifest_does_not_go() -> None:
    assert broken(ledger(), effort())


def test_the_size_of_events_that_are_not_complete_does_not_count() -> None:
    rows = ledger(PM=ALL, AH=ALL, RTH=ALL + ["trades_only"] * 5).with_columns(
        bytes=pl.when(pl.col("state") == "trades_only").then(1e12).otherwise("bytes")
    )
    assert broken(rows, effort()) == []


def test_windows_are_counted_by_wave_and_state_with_all_of_them_last() -> None:
    rows = ledger(RTH=["complete", "empty", "denied"], PM=["trades_only", "quotes_only", "missing", "failed"])
    counts = state_counts(rows)
    assert counts["wave"].to_list() == ["PM", "RTH", "all"]
    assert counts["windows"].to_list() == [4, 3, 7]
    assert counts["bytes"].to_list() == [4e6, 3e6, 7e6]
    states = counts.drop("wave", "windows", "bytes")
    assert states.columns == ["complete", "empty", "trades_only", "quotes_only", "failed", "denied", "missing"]
    assert states.sum_horizontal().to_list() == [4, 3, 7]
    assert states.row(2) == (1, 1, 1, 1, 1, 1, 1)
