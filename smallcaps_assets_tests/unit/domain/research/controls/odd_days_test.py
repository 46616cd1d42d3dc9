"""Controls on odd days: new symbols, changes of clocks, missing minutes, halts (research specification, section 7).

Early closes and the November change of clocks: `selection_test`, which also compares random days with the slow rules.
"""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from smallcaps_assets.domain.research.bars.bar_features import MarketData
from smallcaps_assets.domain.research.controls.candidates import CANDIDATE_DAYS
from smallcaps_assets.domain.research.controls.features import control_rows
from smallcaps_assets.domain.research.controls.labels import control_labels
from smallcaps_assets.domain.research.controls.outcomes import control_outcomes
from smallcaps_assets.domain.research.outcomes.event_costs import COSTS
from smallcaps_assets.domain.research.sample import RESEARCH_EVENTS
from smallcaps_assets.pipeline.research.bars.from_bars import BarRules, BarTables, tables_of_events
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat, sessions_of
from smallcaps_assets_tests.unit.domain.research.controls.control_scenes import (
    Moment,
    at,
    days_of,
    event,
    minutes,
    select,
)

FRIDAY = date(2025, 11, 14)
LISTED = [date(2025, 11, day) for day in (11, 12, 13)]


def passing(days: pl.DataFrame) -> list[date]:
    return sorted(days.filter(pl.col("lost").is_null())["day"])


@pytest.mark.parametrize("sessions", [0, 1, 3])
def test_a_symbol_that_is_new_has_controls_on_its_few_days_alone(sessions: int) -> None:
    rows = [event(at(FRIDAY, "10:15"))]
    listed = LISTED[len(LISTED) - sessions :]
    # bars of the event's own day never make a control
    bars = [bar for day in [*listed, FRIDAY] for bar in minutes(at(day, "10:12"), 10)]
    days = days_of(rows, bars)
    assert passing(days) == listed
    assert select(rows, days).without == ({} if sessions else {"few_bars": 1})


def test_without_an_earlier_trading_day_there_is_none_and_it_is_counted() -> None:
    rows = [event(at(FRIDAY, "10:15"))]
    found = select(rows, CANDIDATE_DAYS.to_frame())
    assert found.controls.is_empty()
    assert found.without == {"no_earlier_day": 1}


def test_the_clock_of_new_york_holds_across_the_change_in_march() -> None:
    # clocks change on Sunday 2026-03-08: 04:02 is 08:02 UTC after it, 09:02 before
    monday, before = date(2026, 3, 9), date(2026, 3, 6)
    rows = [event(at(monday, "04:02"))]
    days = days_of(rows, minutes(at(before, "04:02"), 3))
    assert rows[0]["timestamp"].hour == 8
    chosen = select(rows, days).controls
    assert chosen["timestamp"].to_list() == [datetime(2026, 3, 6, 9, 2, tzinfo=UTC)]
    assert chosen["session"].to_list() == ["PM"]
    # the minute an hour earlier or later, at the same UTC time, makes none
    assert passing(days_of(rows, minutes(at(before, "03:02"), 3))) == []
    assert passing(days_of(rows, minutes(at(before, "05:02"), 3))) == []


@pytest.mark.parametrize(
    ("clocks", "passes"),
    [
        (["10:12", "10:18", "10:21"], True),
        # the control's minute alone counts once, however many days have it
        (["10:15"], False),
        (["10:12", "10:21"], False),
        (["10:11", "10:15", "10:22"], False),
    ],
)
def test_bars_may_be_missing_anywhere_in_the_window_if_three_are_left(clocks: list[str], passes: bool) -> None:
    day = LISTED[0]
    bars: list[Moment] = [("AAA", at(day, clock)) for clock in clocks]
    assert passing(days_of([event(at(FRIDAY, "10:15"))], bars)) == [day] * passes


def tables(gap: tuple[str, str], *, transactions: int | None = 40) -> tuple[pl.DataFrame, BarTables]:
    """The row of a control at 10:00 as an event, and its tables; bars from 09:30 to 11:29 but in [gap)."""
    day = LISTED[0]
    rows = [event(at(FRIDAY, "10:00"), direction="up")]
    bars = bars_from(f"{day} 09:30", flat(120, transactions=transactions), "AAA")
    clock = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.to_string("%H:%M")
    bars = bars.filter(~clock.is_between(pl.lit(gap[0]), pl.lit(gap[1]), closed="left"))
    days = days_of(rows, list(bars.select("symbol", "timestamp").iter_rows()))
    assert passing(days) == [day], "four bars of its window are before the gap"
    control = control_rows(select(rows, days).controls)
    own = control.with_columns(in_master=pl.lit(value=False)).match_to_schema(
        RESEARCH_EVENTS, missing_columns="insert", extra_columns="ignore"
    )
    sessions, found = sessions_of(f"{day}"), default_settings()
    rules = BarRules(sessions, found.detection, found.research.params)
    return control, tables_of_events(own, MarketData(bars, sessions), rules)


def test_a_halt_from_the_minute_after_a_control_leaves_it_without_an_entry() -> None:
    control, made = tables(("10:01", "10:20"))
    assert made.halts.select("start", "end").rows()[:1] == [(at(LISTED[0], "10:01"), at(LISTED[0], "10:20"))]
    costs = pl.DataFrame([(control["event_id"][0], 40.0, "nbbo")], schema=COSTS, orient="row")
    labels = control_labels(control, made.labels, costs)
    # it stays, and says why nothing came after; a cost without a return makes none
    figures = ("label_spec", "state", "gross_return", "cost_bps", "net_return", "win")
    assert labels.select(*figures).rows() == [
        (spec, "no_entry", None, 40.0, None, None) for spec in ("5,1,1", "15,1,1", "60,1,1")
    ]
    outcomes = control_outcomes(control, made.outcomes)
    assert outcomes.select("mfe_60_bps", "velocity_1_bps_per_min").rows() == [(None, None)]


@pytest.mark.parametrize(("transactions", "met"), [(40, True), (None, None)])
def test_a_halt_in_the_label_of_a_control_is_said_as_of_an_event(transactions: int | None, met: bool | None) -> None:
    control, made = tables(("10:06", "10:20"), transactions=transactions)
    costs = pl.DataFrame([(control["event_id"][0], 40.0, "nbbo")], schema=COSTS, orient="row")
    labels = control_labels(control, made.labels, costs)
    # the label of 5 minutes ends at 10:06, when the halt begins
    halted = dict(labels.select("label_spec", "halt_in_label").iter_rows())
    assert halted == {"5,1,1": None if met is None else False, "15,1,1": met, "60,1,1": met}
    assert labels["state"].unique().to_list() == ["ok"]
    # nothing moves
    assert labels["net_return"].to_list() == pytest.approx([-0.004] * 3)
