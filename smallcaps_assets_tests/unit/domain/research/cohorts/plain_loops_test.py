"""Cohorts against plain loops."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.research.cohorts.cohorts import CohortTables, cohort_tables
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.tables.cohort_tables import COHORT_KEYS, COHORT_MEMBERS, COHORTS
from smallcaps_assets_tests.slow_spec.cohorts import slow_cohorts
from smallcaps_assets_tests.unit.domain.research.cohorts.cohort_events import (
    BUCKET,
    EASTERN,
    event_of,
    frame_of,
    random_events,
)

# Limits that samples of a few events reach, so that they are tested and some of them winning.
FEW = CohortParams(
    cohort_test_min_events=2,
    cohort_test_min_days=2,
    cohort_max_q=0.6,
    cohort_min_symbols=2,
    cohort_max_symbol_share=0.8,
    cohort_confirm_min_events=1,
)


def close(actual: Any, expected: Any, largest: float) -> bool:
    """As two implementations are compared: floats to 1e-9, or to 1e-12 of the column's greatest number.

    A column of a few events may consist of zeros but for rounding, hence 1e-15 in any case.
    """
    if isinstance(actual, float) and isinstance(expected, float):
        return abs(actual - expected) <= max(1e-9 * abs(expected), 1e-12 * largest, 1e-15)
    return actual == expected and (actual is None or not isinstance(expected, float))


def assert_like_slow(events: pl.DataFrame, params: CohortParams) -> CohortTables:
    found = cohort_tables(events, params)
    cohorts, members = slow_cohorts(events.rows(named=True), params.model_dump())
    assert found.cohorts.schema == COHORTS
    assert found.cohorts.select(COHORT_KEYS).rows() == sorted(cohorts)
    for name in COHORTS.names()[4:]:
        column = [row[name] for _, row in sorted(cohorts.items())]
        largest = max((abs(value) for value in column if isinstance(value, float)), default=0.0)
        pairs = zip(found.cohorts[name].to_list(), column, strict=True)
        assert [pair for pair in pairs if not close(*pair, largest)] == [], name
    assert found.members.schema == COHORT_MEMBERS
    assert sorted(found.members.rows()) == sorted(members)
    assert not any(found.cohorts.select(pl.selectors.float().is_nan().any()).row(0) or [False])
    return found


@st.composite
def labeled_events(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events of few dates around the ends of months and of the 24 months, with few distinct values."""
    days = draw(st.lists(st.sampled_from(DAYS), min_size=1, max_size=6, unique=True))
    returns = draw(st.sampled_from([(0.01,), (-0.02, 0.0, 0.01, 0.013), (0.002, 0.004, 0.005, 0.0501)]))
    rows = []
    for number in range(draw(st.integers(1, 24))):
        day = draw(st.sampled_from(days))
        entry = datetime(day.year, day.month, day.day, 10, draw(st.integers(0, 12)), tzinfo=EASTERN).astimezone(UTC)
        midnight = datetime(day.year, day.month, day.day, tzinfo=EASTERN) + timedelta(days=1)
        ended = draw(st.integers(0, 19)) == 0
        state = draw(st.sampled_from(["ok", "ok", "ok", "ok", "no_entry", "no_scale"]))
        net = draw(st.sampled_from([*returns, *returns, None])) if state == "ok" else None
        rows.append(
            event_of(
                number,
                day,
                net,
                symbol=draw(st.sampled_from(["A", "B", "C"])),
                event_type=draw(st.sampled_from(["flush", "volume_spike"])),
                time_bucket=draw(st.sampled_from([BUCKET, "1600-2000"])),
                flatness_score=draw(st.sampled_from([None, 0.1, 0.2, 0.3, 0.30000000000000004, 0.4, 1.7])),
                in_master=draw(st.booleans()),
                in_causal_sample=draw(st.sampled_from([None, False, True, True])),
                state=state,
                entry_at=None if state == "no_entry" else entry,
                t1=None
                if state != "ok"
                else midnight.astimezone(UTC)
                if ended
                else entry + timedelta(minutes=draw(st.integers(1, 15))),
                tie=None if state != "ok" else draw(st.booleans()),
                label=None if state != "ok" else draw(st.integers(-1, 1)),
                halt_in_label=draw(st.sampled_from([None, False, True])),
                cost_bps=None if net is None else draw(st.sampled_from([5.0, 12.5, 40.0])),
                mfe_15_bps=draw(st.sampled_from([None, 0.0, 33.0])),
            )
        )
    return rows


# the first and last days of months 24 months apart, and days between them
DAYS = [
    *(date(2022, 3, 31), date(2022, 4, 1), date(2022, 4, 4), date(2024, 3, 28), date(2024, 3, 29)),
    *(date(2024, 4, 1), date(2024, 4, 2), date(2024, 4, 30), date(2024, 5, 1)),
]


@settings(max_examples=60, deadline=None)
@given(labeled_events())
def test_few_events_as_by_plain_loops(rows: list[dict[str, Any]]) -> None:
    assert_like_slow(frame_of(rows), FEW)


def test_many_events_as_by_plain_loops() -> None:
    events = random_events(1500, date(2024, 1, 20), 90, 3, flush=0.01)
    bent = pl.col("flatness_score")
    events = events.with_columns(
        flatness_score=pl.when(bent < 2).then(bent.round(1)),
        halt_in_label=pl.when(bent > 0.2).then(bent > 1.5),
        mfe_15_bps=pl.when(bent > 0.3).then(bent * 100),
        label=pl.when(pl.col("net_return") > 0).then(1).otherwise(-1).cast(pl.Int64),
        tie=bent > 2,
        cost_bps=bent * 10,
        state=pl.when(bent < 0.1).then(pl.lit("no_entry")).otherwise(pl.lit("ok")),
    )
    found = assert_like_slow(events, CohortParams(cohort_min_symbols=10))
    assert found.members["part"].unique().sort().to_list() == ["confirm", "select"]
    assert set(found.cohorts.filter("winning")["level"]) == {"L1", "L2", "L3"}


def test_labels_across_dates_as_by_plain_loops() -> None:
    """Labels end on the date of their event; were they longer, those of several dates would meet."""
    events = random_events(100, date(2024, 3, 12), 30, 6)
    longer = pl.duration(hours=(pl.col("flatness_score") * 30).cast(pl.Int64))
    events = events.with_columns(
        symbol=pl.when(pl.col("flatness_score") > 0.9).then(pl.lit("A")).otherwise("symbol"),
        t1=pl.when(pl.col("flatness_score") > 0.7).then(pl.col("t1") + longer).otherwise("t1"),
    )
    found = assert_like_slow(events, FEW)
    assert (found.cohorts["effective_n"] < 0.8 * found.cohorts["n"]).any()
