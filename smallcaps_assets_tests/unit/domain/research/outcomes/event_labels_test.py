"""Labels of events: against slow rules on random bars, and by hand."""

import math
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.bars.halts import HaltParams, bar_runs
from smallcaps_assets.domain.research.checks import LABEL_BOUNDS, table_checks
from smallcaps_assets.domain.research.outcomes.event_labels import event_labels
from smallcaps_assets.domain.research.tables.label_tables import EVENT_LABELS
from smallcaps_assets_tests.slow_spec import outcomes_labels as slow
from smallcaps_assets_tests.unit.domain.research.outcomes.hand_bars import (
    DAY,
    HALF_DAY,
    SESSIONS,
    after,
    at,
    bars_of,
    events_at,
    flat,
)
from smallcaps_assets_tests.unit.domain.research.outcomes.label_scenes import LabelScene, label_scene


def by_slow_rules(scene: LabelScene) -> pl.DataFrame:
    symbols, atr = scene.slow_symbols(), dict(scene.atr.iter_rows())
    rows = list[dict[str, Any]]()
    for event in scene.events.sort("event_id").rows(named=True):
        rows += [
            {**row, "group": (event["symbol"], row["label_spec"]), "in_master": event["in_master"]}
            for row in slow.labels(event, atr.get(event["event_id"]), symbols[event["symbol"]])
        ]
    counted = [row for row in rows if row["state"] == "ok" and row["in_master"]]
    for group in {row["group"] for row in counted}:
        own = [row for row in counted if row["group"] == group]
        for row, (uniqueness, most) in zip(own, slow.overlaps(own), strict=True):
            row |= {"uniqueness": uniqueness, "concurrent_max": most}
    return pl.DataFrame([{name: row.get(name) for name in EVENT_LABELS} for row in rows], schema=EVENT_LABELS)


@given(st.integers(0, 10**6))
@settings(max_examples=25)
def test_labels_equal_the_slow_rules(seed: int) -> None:
    scene = label_scene(seed)
    assert_frame_equal(scene.labels(), by_slow_rules(scene), rel_tol=1e-12, abs_tol=1e-15)


def test_the_random_bars_have_every_case() -> None:
    rows = pl.concat(label_scene(seed).labels() for seed in range(40))
    for name in ("state", "label", "tie", "gap", "crosses_session", "halt_in_label", "concurrent_max"):
        assert rows[name].drop_nulls().n_unique() >= 2, name
    assert rows.filter(pl.col("state") == "ok")["halt_in_label"].has_nulls()
    for horizon in ("15", "60"):
        assert rows.filter(pl.col(f"return_{horizon}").is_null() & pl.col(f"stale_min_{horizon}").is_not_null()).height
    assert set(rows["state"]) == {"ok", "no_entry", "no_scale"}
    some = label_scene(7).labels().lazy()
    assert all(check().holds for check in table_checks(some, ["event_id", "label_spec"], LABEL_BOUNDS).values())


def labels_of(
    events: pl.DataFrame, *bars: pl.DataFrame, atr: float | None = 0.01, halts: HaltParams | None = None
) -> pl.DataFrame:
    found = after(events, *bars)
    atrs = events.select("event_id", bar_atr=pl.lit(atr, pl.Float64))
    return event_labels(found, atrs, bar_runs(found.bars, SESSIONS, halts or HaltParams()))


def primary(labels: pl.DataFrame) -> dict[str, object]:
    return labels.filter(label_spec="15,1,1").row(0, named=True)


def test_rows_of_no_events() -> None:
    assert_frame_equal(labels_of(events_at(), bars_of(flat("10:00", 3, 5.0))), pl.DataFrame(schema=EVENT_LABELS))
    assert_frame_equal(labels_of(events_at("10:00"), bars_of([])), pl.DataFrame(schema=EVENT_LABELS))


def test_rows_are_sorted_by_event_and_in_the_order_of_specs() -> None:
    found = labels_of(events_at("10:02", "10:00"), bars_of(flat("10:00", 9, 5.0)))
    specs = ["5,1,1", "15,1,1", "60,1,1"]
    assert found["label_spec"].to_list() == specs * 2
    assert found["event_id"].to_list() == ["AAA 10:00"] * 3 + ["AAA 10:02"] * 3


def test_an_undecided_label_ends_at_the_horizon() -> None:
    """No bar after 10:05: the exit bar ends long before t1 = K + 15 minutes."""
    row = primary(labels_of(events_at("10:00"), bars_of(flat("10:00", 6, 5.0))))
    assert (row["label"], row["exit_bar_end"], row["t1"]) == (0, at("10:06"), at("10:16"))
    assert (row["entry_at"], row["entry"], row["gross_return"]) == (at("10:01"), 5.0, 0.0)
    # 0.01 x sqrt(15) / 1.5958
    assert row["scale"] == 0.02427


def test_a_decided_label_ends_with_its_bar() -> None:
    """Example G of the specification as a label: a scale of 0.03, +1 at 5.02 x 1.03 in the bar of 10:02."""
    own = ("10:00", 5.0, 5.0, 5.0, 5.0)
    bars = bars_of([own, ("10:01", 5.02, 5.10, 5.00, 5.08), ("10:02", 5.08, 5.22, 5.06, 5.20), *flat("10:03", 20, 5.2)])
    row = primary(labels_of(events_at("10:00"), bars, atr=0.03 * 1.5958 / math.sqrt(15)))
    assert (row["label"], row["scale"], row["tie"], row["gap"]) == (1, 0.03, False, False)
    assert (row["exit_price"], row["gross_return"]) == (pytest.approx(5.1706), pytest.approx(0.03))
    assert (row["exit_bar_end"], row["t1"]) == (at("10:03"), at("10:03"))


def test_the_entry_is_the_next_open_not_the_close_of_the_event() -> None:
    bars = bars_of([("10:00", 5.0, 5.0, 5.0, 5.0), ("10:02", 5.5, 5.5, 5.5, 5.5), ("10:03", 5.5, 5.51, 5.5, 5.51)])
    row = primary(labels_of(events_at("10:00"), bars))
    assert (row["entry"], row["entry_at"], row["gross_return"]) == (5.5, at("10:02"), pytest.approx(0.01 / 5.5))


def test_without_an_entry_every_figure_is_null() -> None:
    row = primary(labels_of(events_at("10:00"), bars_of([*flat("10:00", 1, 5.0), *flat("10:06", 3, 5.0)])))
    known = {name for name, value in row.items() if value is not None}
    assert known == {"event_id", "label_spec", "date", "t0", "state"}
    assert row["state"] == "no_entry"


def test_without_a_scale_fixed_horizons_stay() -> None:
    row = primary(labels_of(events_at("10:00"), bars_of(flat("10:00", 9, 5.0)), atr=None))
    known = {name for name, value in row.items() if value is not None}
    horizons = {f"{name}_{horizon}" for name in ("return", "stale_min") for horizon in ("1", "5", "15")}
    # 8 minutes of bars: 15 minutes has a close 7 minutes old, within 7.5; those of 30 and 60 are too old
    ages = {f"stale_min_{horizon}" for horizon in ("30", "60", "close")}
    assert (
        known
        == {"event_id", "label_spec", "date", "t0", "state", "entry_at", "entry", "return_close"} | horizons | ages
    )


@pytest.mark.parametrize(("last", "is_null"), [(8, False), (7, True)])
def test_a_close_may_be_half_of_the_horizon_old(last: int, is_null: bool) -> None:
    """15 minutes: 7.5; bars end at K + 8 or K + 7, hence 7 or 8 minutes before."""
    row = primary(labels_of(events_at("10:00"), bars_of(flat("10:00", last + 1, 5.0))))
    assert row["stale_min_15"] == 15 - last
    assert (row["return_15"] is None) == is_null


@pytest.mark.parametrize(("day", "close"), [(DAY, "16:00"), (HALF_DAY, "13:00")])
def test_the_return_to_the_regular_close(day: date, close: str) -> None:
    hour = int(close[:2]) - 1
    bars = bars_of([*flat(f"{hour}:50", 3, 5.0), (f"{hour}:53", 5.0, 5.1, 5.0, 5.1), *flat(close, 4, 6.0)], day=day)
    row = primary(labels_of(events_at(f"{hour}:50", day=day), bars))
    assert (row["return_close"], row["stale_min_close"]) == (pytest.approx(0.02), 6.0)
    # after-hours events have none, and neither has one whose entry comes after the close
    thin = bars_of([*flat(f"{hour}:53", 1, 5.0), *flat(f"{hour}:56", 1, 5.0), *flat(close, 4, 6.0)], day=day)
    late = labels_of(events_at(f"{hour}:56", close, day=day), thin)
    assert late["entry_at"].null_count() == 0
    assert late["return_close"].null_count() == late["stale_min_close"].null_count() == late.height


def test_sessions_are_crossed_inside_the_label_only() -> None:
    bars = bars_of(flat("09:10", 60, 5.0))
    found = labels_of(events_at("09:14", "09:15", "09:29"), bars).filter(label_spec="15,1,1")
    # labels [09:15, 09:30), [09:16, 09:31), [09:30, 09:45): the open 09:30 lies inside the second only
    assert found["crosses_session"].to_list() == [False, True, False]


@pytest.mark.parametrize(("transactions", "expected"), [(10, True), (9, False), (None, None)])
def test_halts_in_labels(transactions: int | None, expected: bool | None) -> None:
    """A halt [10:05, 10:10) after five minutes with 10 trades each; with 9 none; with unknown ones nobody knows."""
    rows = [*flat("09:55", 10, 5.0), *flat("10:10", 80, 5.0)]
    found = labels_of(events_at("09:59", "10:20"), bars_of(rows, transactions=transactions))
    # 5,1,1 of 09:59 ends when the halt begins
    of_first = found.filter(event_id="AAA 09:59")["halt_in_label"].to_list()
    assert of_first == [False if expected is not None else None, expected, expected]
    of_last = found.filter(event_id="AAA 10:20")["halt_in_label"].to_list()
    assert of_last == [None if expected is None else False] * 3


def test_a_halt_that_ends_at_the_entry_is_not_in_the_label() -> None:
    # with a setting by which an entry can follow a halt at once: [10:05, 10:08), entry at 10:08
    rows = bars_of([*flat("09:55", 10, 5.0), *flat("10:08", 80, 5.0)])
    found = labels_of(events_at("10:04", "10:03"), rows, halts=HaltParams(halt_min_gap_min=3))
    assert found["entry_at"].to_list() == [at("10:04")] * 3 + [at("10:08")] * 3
    # 5,1,1 of 10:03 ends at 10:09
    assert found["halt_in_label"].to_list() == [True] * 3 + [False] * 3


def test_only_events_of_master_overlap() -> None:
    bars = bars_of(flat("10:00", 40, 5.0))
    events = events_at("10:00", "10:04", "10:10").with_columns(in_master=pl.col("event_id") != "AAA 10:04")
    found = labels_of(events, bars).filter(label_spec="15,1,1")
    # [10:01, 10:16) and [10:11, 10:26): 5 of 15 minutes are shared, (10 + 5 / 2) / 15
    assert found["uniqueness"].to_list() == [pytest.approx(12.5 / 15), None, pytest.approx(12.5 / 15)]
    assert found["concurrent_max"].to_list() == [2, None, 2]
