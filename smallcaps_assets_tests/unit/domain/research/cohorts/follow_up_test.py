"""Events that winning cohorts select, and what was known of an event's cohort."""

from datetime import date
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.cohorts.cohorts import cohort_tables
from smallcaps_assets.domain.research.cohorts.follow_up import (
    FollowUp,
    cohort_was_winning,
    in_selection_sample,
    select_follow_up,
)
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.tables.cohort_tables import COHORTS
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.unit.domain.research.cohorts.cohort_events import BUCKET, random_events

AS_OF = date(2024, 3, 1)
L1, L2, L3 = "L1|flush|up", f"L2|flush|up|{BUCKET}", f"L3|flush|up|{BUCKET}|2"


def cohorts_of(*rows: dict[str, Any]) -> pl.DataFrame:
    base = {"as_of": AS_OF, "label_spec": "15,1,1", "selection": "causal", "winning": True}
    known = {"flatness_b1": 1.0, "flatness_b2": 2.0}
    return pl.DataFrame([{**base, **known, **row} for row in rows], schema=COHORTS, strict=False)


def event(name: str, flatness: float | None, day: str = "2024-03-05", **changed: Any) -> dict[str, Any]:
    return {
        "event_id": name,
        "symbol": name,
        "event_type": "flush",
        "direction": "up",
        "time_bucket": BUCKET,
        "flatness_score": flatness,
        "date": day,
        "score": 0.5,
        "rvol_day": 1.0,
        "dollar_volume": 1e6,
    } | changed


def selected(events: list[dict[str, Any]], cohorts: pl.DataFrame, **limits: int) -> list[tuple[str, str]]:
    frame = pl.DataFrame(events, schema_overrides={"flatness_score": pl.Float64})
    found = select_follow_up(frame, cohorts, FollowUp(AS_OF, **limits), load_settings(overrides={}).ranking)
    assert found["selected_by_cohort"].all()
    assert set(found["as_of"]) <= {AS_OF}
    return found.select("event_id", "cohort_id").rows()


def test_the_finest_winning_cohort_selects_with_the_bounds_of_its_as_of() -> None:
    cohorts = cohorts_of({"cohort_id": L1, "winning": False}, {"cohort_id": L2}, {"cohort_id": L3})
    # a bound belongs to the lower tercile
    events = [event("A", 1.0), event("B", 1.0000001), event("C", 2.0), event("D", 2.1), event("E", None)]
    assert selected(events, cohorts) == [("A", L2), ("B", L3), ("C", L3), ("D", L2), ("E", L2)]
    others = [event("F", 1.5, time_bucket="1015-1400"), event("G", 1.5, direction="down")]
    assert selected(others, cohorts) == []


def test_other_selections_specs_and_as_ofs_select_nothing() -> None:
    for other in ({"selection": "master"}, {"label_spec": "5,1,1"}, {"as_of": date(2024, 2, 1)}, {"winning": False}):
        assert selected([event("A", 1.5)], cohorts_of({"cohort_id": L3, **other})) == []


def test_the_best_of_each_month_are_kept_and_few_of_a_symbol() -> None:
    days = ["2024-03-05", "2024-03-06", "2024-03-07", "2024-04-01"]
    events = [event(f"{day}{n}", 1.5, day, symbol=f"S{n % 2}", score=n / 10) for day in days for n in range(4)]
    found = selected(events, cohorts_of({"cohort_id": L2}), top_n_per_month=3, max_per_symbol=2)
    # March: score 0.3 on three days is S1 (two of them, by event_id), then 0.2 is S0
    march = ["2024-03-053", "2024-03-063", "2024-03-052"]
    assert [name for name, _ in found] == [*march, "2024-04-013", "2024-04-012", "2024-04-011"]


def test_whether_a_cohort_was_winning_at_the_last_as_of() -> None:
    may = date(2024, 5, 1)
    cohorts = cohorts_of({"cohort_id": L2}, {"cohort_id": L2, "as_of": may, "winning": False})
    days = {"2024-02-29": None, "2024-03-01": True, "2024-03-31": True, "2024-04-30": False, "2024-06-03": False}
    frame = pl.DataFrame([event(day, 1.5, day) for day in days])
    assert dict(cohort_was_winning(frame, cohorts).rows()) == days
    nothing = cohort_was_winning(frame, COHORTS.to_frame())
    assert nothing["cohort_was_winning"].is_null().all()


def test_the_selection_sample_is_the_sample_of_the_cohorts() -> None:
    events = random_events(2000, date(2024, 1, 10), 110, 4)
    params = CohortParams(cohort_months=2)
    for as_of in (date(2024, 3, 1), date(2024, 5, 1)):
        inside = events.filter(in_selection_sample(events, as_of, params))
        cohorts = cohort_tables(events, params).cohorts.filter(as_of=as_of, selection="causal", level="L1")
        assert inside.height == cohorts["n"].sum() + cohorts["confirm_n"].sum()


def test_an_events_own_label_does_not_decide_whether_it_is_selected() -> None:
    events = random_events(3000, date(2024, 1, 1), 110, 1, flush=0.02).with_columns(
        score=pl.col("flatness_score") / 10, rvol_day=1.0, dollar_volume=1e6
    )
    proof = pl.col("date") >= AS_OF.isoformat()
    changed = events.with_columns(net_return=pl.when(proof).then(-0.5).otherwise("net_return"))
    ranking = load_settings(overrides={}).ranking
    params = CohortParams(cohort_min_symbols=5)
    one, other = (
        select_follow_up(frame, cohort_tables(frame, params).cohorts, FollowUp(AS_OF), ranking).drop("net_return")
        for frame in (events, changed)
    )
    assert one.filter(proof).height > 50
    assert_frame_equal(one, other)
    was = [cohort_was_winning(frame, cohort_tables(frame, params).cohorts) for frame in (events, changed)]
    of_march = pl.col("date").str.starts_with("2024-03")
    assert_frame_equal(
        was[0].filter(events.select(of_march).to_series()), was[1].filter(events.select(of_march).to_series())
    )
