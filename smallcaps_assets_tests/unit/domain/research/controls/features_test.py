"""Rows of controls as events, their features, and how their events differ."""

from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.research.controls.checks import clear_of_events, same_clock, within_limits
from smallcaps_assets.domain.research.controls.features import (
    CONTROL_FEATURES,
    DIFFERENCES,
    MATCHED_DIFFERENCE,
    control_features,
    control_rows,
    matched_difference,
)
from smallcaps_assets.domain.research.controls.figures import control_figures, describe_controls
from smallcaps_assets.domain.research.controls.params import ControlParams
from smallcaps_assets.domain.research.controls.tables import (
    CONTROL_LEDGER,
    CONTROL_MANIFEST,
    are_controls,
    control_windows,
    is_control_id,
)
from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.research.tables.research_table import RESEARCH_TABLE
from smallcaps_assets.domain.research.tape.tape_halts import EVENT_TAPE_STATE
from smallcaps_assets.domain.tape.tables import EFFORT
from smallcaps_assets_tests.unit.domain.research.controls.control_scenes import EVENT_ROWS, at, event, moments

ONE = "AAA_control_20251103_151500_0123abcd"
TWO = "AAA_control_20251104_151500_0123abce"


def row(control_id: str, of: str, direction: str = "up", before: int = 3, after: int = 7) -> dict[str, object]:
    day = 3 if control_id == ONE else 4
    return {
        "control_id": control_id,
        "event_type": "control",
        "symbol": "AAA",
        "timestamp": at(date(2025, 11, day), "10:15"),
        "session": "RTH",
        "date": f"2025-11-0{day}",
        "direction": direction,
        "window_before_min": before,
        "window_after_min": after,
        "extended": before > 3,
        "control_of": of,
        "rank": 1,
    }


def controls(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([*rows], schema=CONTROL_MANIFEST, orient="row")


# the first and the third share their minute, with other windows and directions
THREE = controls(row(ONE, "first"), row(TWO, "second"), row(ONE, "third", "down", 10, 20))


def test_each_row_has_its_own_window_and_each_minute_the_widest() -> None:
    rows = control_rows(THREE)
    assert rows["event_id"].to_list() == [ONE, TWO, f"{ONE}_2"]
    assert rows["window_before_min"].to_list() == [3, 3, 10]
    assert rows["direction"].to_list() == ["up", "up", "down"]
    windows = control_windows(THREE)
    assert windows["event_id"].to_list() == [ONE, TWO]
    assert windows.select("window_before_min", "window_after_min").rows() == [(10, 20), (3, 7)]
    # also where the wider one is of an event that is left out
    of_first = control_windows(THREE, pl.Series(["first"]))
    assert of_first.select("event_id", "window_before_min").rows() == [(ONE, 10)]


def test_identifiers_of_controls_are_recognised() -> None:
    others = ["AAA_flush_20251103_151500_0123abcd", "control", "AAA_control_2025", f"{ONE}x"]
    assert pl.DataFrame({"id": [ONE, *others]}).select(is_control_id(pl.col("id")))["id"].to_list() == [
        True, False, False, False, False,
    ]  # fmt: skip
    assert are_controls([ONE, TWO])
    assert not are_controls([ONE, others[0]])


def test_features_of_a_control_are_those_of_its_row() -> None:
    rows = control_rows(THREE)
    features = rows.select(
        "event_id", "symbol", "event_type", "timestamp", close=pl.Series([5.0, 6.0, 7.0])
    ).match_to_schema(BAR_FEATURES, missing_columns="insert")
    micro = pl.DataFrame(
        {"event_id": [ONE, f"{ONE}_2"], "segment": ["bar", "bar"], "trades": [3, 4]},
        schema_overrides={"trades": pl.Int64},
    ).match_to_schema(MICRO_FEATURES, missing_columns="insert")
    found = control_features(rows, features.head(2), micro, EVENT_TAPE_STATE.to_frame())
    assert found.schema == CONTROL_FEATURES
    # by symbol, minute and event; the third has no bar, the second no tape
    assert found.select("control_of", "control_id", "close", "trades_bar").rows() == [
        ("first", ONE, 5.0, 3),
        ("third", ONE, None, 4),
        ("second", TWO, 6.0, None),
    ]
    assert "event_id" not in found.columns
    assert not [name for name in found.columns if name.startswith("score_")]


def test_differences_are_event_minus_control() -> None:
    events = pl.DataFrame(
        {
            "event_id": ["first", "second", "alone"], "symbol": "AAA", "event_type": "flush", "close": [5.5, None, 1.0],
            "timestamp": at(date(2025, 11, 14), "10:15"), "in_causal_sample": [True, False, True],
            "trades_bar": [10, 20, 30],
        }
    ).match_to_schema(RESEARCH_TABLE, missing_columns="insert", integer_cast="upcast")  # fmt: skip
    of_controls = pl.DataFrame(
        {
            "control_id": [ONE, TWO, TWO], "control_of": ["first", "second", "gone"], "close": [5.25, 2.0, 2.0],
            "timestamp": at(date(2025, 11, 3), "10:15"), "trades_bar": [4, 25, 1],
        }
    ).match_to_schema(CONTROL_FEATURES, missing_columns="insert")  # fmt: skip
    found = matched_difference(events.lazy(), of_controls.lazy()).collect()
    assert found.schema == MATCHED_DIFFERENCE
    # 5.5 - 5.25; 10 - 4 and 20 - 25; the control of an event that is not there has no row
    assert found.select("event_id", "control_id", "close", "trades_bar", "in_causal_sample").rows() == [
        ("first", ONE, 0.25, 6, True),
        ("second", TWO, None, -5, False),
    ]
    assert found["timestamp"][0] > found["control_timestamp"][0]
    # codes and settings of the capture are no numbers to compare
    assert not {"quotes_hz_bar", "sip_trade_lag_ms_bar", "weekday_bar"} & set(DIFFERENCES)
    assert {"spread_bps_at_end_bar", "return_5", "trades_pre3"} <= set(DIFFERENCES)


@pytest.mark.parametrize(("clock", "holds"), [("09:45", False), ("10:44", False), ("09:44", True), ("10:45", True)])
def test_check_of_events_near_controls(clock: str, *, holds: bool) -> None:
    near = moments([("AAA", at(date(2025, 11, 3), clock)), ("AAB", at(date(2025, 11, 4), "10:15"))])
    assert clear_of_events(THREE, near, ControlParams()).holds == holds


def test_check_of_the_clock() -> None:
    of = {**event(at(date(2025, 11, 14), "10:15"), direction="up"), "event_id": "first"}

    def holds(**changes: object) -> bool:
        manifest = pl.DataFrame([{**of, **changes}], schema=EVENT_ROWS, orient="row")
        return same_clock(controls(row(ONE, "first")), manifest).holds

    assert holds()
    # the same time UTC, before the clocks changed on 2025-11-02, is another one in New York
    assert not holds(timestamp=at(date(2025, 11, 14), "10:16"))
    assert not holds(timestamp=at(date(2025, 11, 3), "10:15"))
    assert not holds(timestamp=at(date(2025, 10, 31), "10:15"))
    assert not holds(direction="down")
    assert not holds(window_after_min=20)
    # an event of another manifest is not judged
    assert holds(event_id="other", direction="down")


def test_check_of_the_limits() -> None:
    # floor(0.25 x 12) = 3 controls, all of one symbol
    assert within_limits(THREE, 12, ControlParams(), 3).holds
    assert not within_limits(THREE, 11, ControlParams(), 3).holds
    assert not within_limits(THREE, 12, ControlParams(), 2).holds


def test_figures_have_no_targets() -> None:
    ledger = pl.DataFrame(
        {"event_id": [ONE, TWO], "state": ["complete", "trades_only"], "bytes": [1e6, 250_000.0]}
    ).match_to_schema(CONTROL_LEDGER, missing_columns="insert")
    effort = pl.DataFrame([("RTH", 4, 1, 0)], schema=EFFORT, orient="row")
    figures = control_figures(ledger, effort)
    assert figures.select("wave", "figure", "value").rows() == [
        ("controls", "windows", 2.0),
        ("controls", "complete", 1.0),
        ("controls", "trades_only", 1.0),
        ("controls", "missing", 0.0),
        ("controls", "megabytes", 1.25),
        ("controls", "requests", 4.0),
    ]
    assert figures["target"].null_count() == figures.height
    assert figures["holds"].all()
    assert describe_controls(ledger) == "2 windows: 1 complete, 1 trades only; 1.25 MB"
    assert control_figures(ledger.clear(), effort).is_empty()
