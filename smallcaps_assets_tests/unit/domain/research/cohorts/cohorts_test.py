"""Cohorts: worked examples by hand, and laws of what may influence what."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.cohorts.cohorts import cohort_tables
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.outcomes.overlap import overlap
from smallcaps_assets.domain.research.tables.cohort_tables import COHORT_MEMBERS, COHORTS
from smallcaps_assets_tests.unit.domain.research.cohorts.cohort_events import (
    BUCKET,
    EASTERN,
    event_of,
    frame_of,
    random_events,
)

D1, D2, D3, D4 = (date(2024, 3, day) for day in (4, 5, 6, 7))
# the dates of `select` are the first 3 of 4
LATER = date(2024, 3, 20)


def one_cohort(rows: list[dict[str, Any]], as_of: date = date(2024, 4, 1), level: str = "L1") -> dict[str, Any]:
    found = cohort_tables(frame_of(rows), CohortParams()).cohorts
    return found.filter(as_of=as_of, level=level, selection="causal").row(0, named=True)


def test_the_clustered_error_of_a_worked_example() -> None:
    """Specification, 13 H. The four dates are the select part of six: floor(0.75 x 6) = 4."""
    net = {D1: (0.010, 0.020, -0.005), D2: (-0.010,), D3: (0.015, 0.005), D4: (0.0, -0.002)}
    net |= {LATER: (0.5,), LATER + timedelta(days=1): (0.3,)}
    rows = [event_of(number, day, value) for day, values in net.items() for number, value in enumerate(values)]
    found = one_cohort(rows)
    assert (found["n"], found["n_days"]) == (8, 4)
    assert found["mean"] == pytest.approx(0.004125, rel=1e-12)
    assert found["se"] == pytest.approx(0.00354151, rel=1e-6)
    assert found["t"] == pytest.approx(1.164756, rel=1e-6)
    # with 3 degrees of freedom; a table of Student's t has 0.164 for 1.1648
    assert found["p"] == pytest.approx(0.1642, abs=2e-4)
    assert (found["confirm_n"], found["confirm_mean"]) == (2, pytest.approx(0.4))


def test_wilson_of_a_worked_example() -> None:
    """Specification, 13 H: 33 of 50 gives 0.521538 to 0.775631."""
    days = [date(2024, 3, 1 + number % 3) for number in range(50)]
    rows = [event_of(number, day, 0.01 if number < 33 else -0.01) for number, day in enumerate(days)]
    found = one_cohort([*rows, event_of(99, LATER, 0.0)])
    assert found["n"] == 50
    assert found["win_rate"] == 0.66
    assert (found["wilson_lo"], found["wilson_hi"]) == (
        pytest.approx(0.521538, abs=5e-7),
        pytest.approx(0.775631, abs=5e-7),
    )


def test_overlap_of_a_worked_example() -> None:
    """Specification, 13 H: uniqueness of [0,10), [4,12), [20,25) is 0.7, 0.625, 1: 2.325 in all."""
    start = datetime(2024, 3, 4, 15, 0, tzinfo=UTC)
    minutes = [(0, 10), (4, 12), (20, 25)]
    rows = [
        event_of(n, D1, 0.01, symbol="A", entry_at=start + timedelta(minutes=a), t1=start + timedelta(minutes=b))
        for n, (a, b) in enumerate(minutes)
    ]
    found = one_cohort([*rows, event_of(9, LATER, 0.0)])
    assert found["effective_n"] == pytest.approx(2.325, rel=1e-12)
    assert one_cohort([rows[0], {**rows[1], "symbol": "B"}, rows[2], event_of(9, LATER, 0.0)])["effective_n"] == 3


def test_effective_n_is_the_sum_of_uniqueness_of_the_events_of_the_cohort() -> None:
    events = random_events(4000, date(2024, 3, 1), 31, 5)
    events = events.with_columns(symbol=pl.lit("A"))
    found = cohort_tables(events, CohortParams()).cohorts.filter(as_of=date(2024, 4, 1), selection="master")
    select = events.filter(pl.col("date") < "2024-03-24")
    for level, keys in (("L1", ["event_type"]), ("L2", ["event_type", "time_bucket"])):
        expected = select.with_columns(overlap(select, keys)).group_by(keys).agg(pl.col("uniqueness").sum()).sort(keys)
        of_level = found.filter(level=level).sort("cohort_id")
        assert of_level["effective_n"].to_list() == pytest.approx(expected["uniqueness"].to_list(), rel=1e-9)
        assert (of_level["effective_n"] < 0.6 * of_level["n"]).all()


def test_the_share_of_labels_with_a_cost_counts_those_of_all_dates_of_the_sample() -> None:
    """Costs of 3 labels of select and 1 of confirm; without: 1 on a date of select, 2 on dates without any cost.

    4 of 7. What has no entry, no scale, is of no selection, of other keys, 25 months old, or ends when April begins has
    no part in it.
    """
    midnight = datetime(2024, 4, 1, tzinfo=EASTERN).astimezone(UTC)
    costed = [event_of(n, day, 0.01) for n, day in enumerate((D1, D2, D2, LATER))]
    without = [event_of(10 + n, day, None, cost_bps=None) for n, day in enumerate((D1, D4, date(2022, 4, 1)))]
    others = [
        event_of(20, D1, None, state="no_entry"),
        event_of(21, D1, None, state="no_scale"),
        event_of(22, D1, None, in_causal_sample=False, in_master=False),
        event_of(23, D1, None, event_type="flush"),
        event_of(24, date(2022, 3, 31), None),
        event_of(25, date(2024, 3, 28), None, t1=midnight),
        event_of(26, date(2024, 4, 1), None),
    ]
    found = one_cohort([*costed, *without, *others])
    assert (found["n"], found["confirm_n"], found["costed_share"]) == (3, 1, 4 / 7)
    assert one_cohort(costed)["costed_share"] == 1
    # what decides nothing else
    plain = one_cohort([*costed, *others])
    assert plain | {"costed_share": None} == found | {"costed_share": None}


@pytest.mark.parametrize("net", [0.0, 0.1, 1 / 3])
def test_equal_returns_have_no_error_and_no_test(net: float) -> None:
    rows = [event_of(number, date(2024, 3, 1 + number % 25), net) for number in range(700)]
    found = one_cohort(rows)
    assert (found["se"], found["t"], found["p"], found["q_value"], found["tested"]) == (0.0, None, None, None, 0)
    assert found["winning"] is False


def test_one_date_is_confirm_and_no_cohort() -> None:
    """floor(0.75 x 1) = 0 dates of select; of two dates the first is select, and has no error."""
    rows = [event_of(number, D1, 0.01 * number) for number in range(5)]
    assert cohort_tables(frame_of(rows), CohortParams()).cohorts.is_empty()
    found = one_cohort([*rows, event_of(9, D2, 0.5)])
    assert (found["n"], found["n_days"], found["se"], found["t"], found["p"]) == (5, 1, None, None, None)
    assert (found["confirm_n"], found["confirm_mean"]) == (1, 0.5)


def test_a_label_that_ends_when_the_month_begins_is_of_the_next_month() -> None:
    day = date(2024, 3, 28)
    midnight = datetime(2024, 4, 1, tzinfo=EASTERN).astimezone(UTC)
    rows = [event_of(number, D1, 0.01) for number in range(3)]
    rows += [event_of(9, D2, 0.03, t1=midnight), event_of(10, day, 0.02)]
    assert one_cohort(rows)["n"] == 3
    rows[3]["t1"] = midnight - timedelta(microseconds=1)
    assert one_cohort(rows)["n"] == 4


@pytest.mark.parametrize(("first", "expected"), [(date(2022, 4, 1), 2), (date(2022, 3, 31), 1)])
def test_the_sample_reaches_back_24_months(first: date, expected: int) -> None:
    rows = [event_of(1, first, 0.01), event_of(2, D1, 0.02), event_of(3, D2, 0.03)]
    assert one_cohort(rows)["n"] == expected


def test_terciles_include_their_bounds_and_unknown_ones_are_apart() -> None:
    """Quantiles 1/3 and 2/3 of 0, 1, 2, 3 (type 7) are 1 and 2: tercile 1 has 0 and 1, tercile 2 has 2, 3 the rest."""
    rows = [event_of(number, D1, 0.01, flatness_score=float(number)) for number in range(4)]
    rows += [event_of(8, D1, 0.01, flatness_score=None)]
    found = cohort_tables(frame_of([*rows, event_of(9, D2, 0.0)]), CohortParams()).cohorts
    finest = found.filter(selection="master", level="L3")
    assert dict(finest.select("cohort_id", "n").rows()) == {
        f"L3|volume_spike|up|{BUCKET}|{tercile}": n for tercile, n in (("1", 2), ("2", 1), ("3", 1), ("na", 1))
    }
    assert finest.select("flatness_b1", "flatness_b2").unique().rows() == [(1.0, 2.0)]


def test_without_candidates_there_is_only_master() -> None:
    events = random_events(300, date(2024, 3, 1), 60, 1)
    unknown = events.with_columns(in_causal_sample=pl.lit(None, pl.Boolean))
    found = cohort_tables(unknown, CohortParams()).cohorts
    assert found["selection"].unique().to_list() == ["master"]
    both = cohort_tables(events, CohortParams()).cohorts
    assert_frame_equal(found, both.filter(selection="master"))


def test_no_events_no_cohorts() -> None:
    found = cohort_tables(frame_of([]), CohortParams())
    assert found.cohorts.schema == COHORTS
    assert found.members.schema == COHORT_MEMBERS
    assert found.cohorts.height == found.members.height == 0
    none_labeled = frame_of([event_of(1, D1, None, state="no_entry", entry_at=None, t1=None)])
    assert cohort_tables(none_labeled, CohortParams()).cohorts.is_empty()


@pytest.mark.parametrize("name", ["cost_bps", "t1", "tie", "label", "entry_at"])
def test_an_event_with_a_net_return_and_without_a_label_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"1 events with a net return have no {name}"):
        cohort_tables(frame_of([event_of(1, D1, 0.01, **{name: None})]), CohortParams())


@pytest.mark.parametrize("name", ["symbol", "date", "label_spec", "event_type", "direction", "time_bucket"])
def test_an_event_without_a_key_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"1 events have no {name}"):
        cohort_tables(frame_of([event_of(1, D1, 0.01), event_of(2, D1, 0.01, **{name: None})]), CohortParams())


def test_a_label_that_ends_before_it_starts_is_an_error() -> None:
    row = event_of(1, D1, 0.01)
    with pytest.raises(ValueError, match="t1 that is not after entry_at"):
        cohort_tables(frame_of([{**row, "t1": row["entry_at"]}]), CohortParams())


OUTCOMES = ("tie", "label", "halt_in_label", "cost_bps", "net_return", "mfe_15_bps")


@pytest.mark.parametrize("seed", range(3))
def test_what_ends_later_changes_nothing_at_an_as_of(seed: int) -> None:
    """Outcomes with t1 >= as_of, and whole events with date >= as_of."""
    events = random_events(2000, date(2024, 1, 10), 110, seed, flush=0.02)
    as_of = date(2024, 3, 1)
    midnight = datetime(2024, 3, 1, tzinfo=EASTERN).astimezone(UTC)
    later = pl.col("t1") >= midnight
    changed = events.with_columns(
        net_return=pl.when(later).then(-3 * pl.col("net_return") + 0.01).otherwise("net_return"),
        label=pl.when(later).then(pl.lit(-1, pl.Int64)).otherwise("label"),
        tie=pl.col("tie") ^ later,
        mfe_15_bps=pl.when(later).then(7.0).otherwise("mfe_15_bps"),
    )
    params = CohortParams(cohort_min_symbols=5)
    before, after = (cohort_tables(frame, params) for frame in (events, changed))
    assert before.cohorts.filter("winning", as_of=as_of).height
    for one, other in zip(before, after, strict=True):
        assert_frame_equal(one.filter(pl.col("as_of") <= as_of), other.filter(pl.col("as_of") <= as_of))
        assert not one.equals(other)


def test_winning_children_do_not_change_their_parents() -> None:
    events = random_events(3000, date(2024, 1, 10), 80, 2, flush=0.02)
    generous, strict = CohortParams(cohort_min_symbols=5), CohortParams(cohort_min_mean_bps=1e6)
    one, other = (cohort_tables(events, params).cohorts for params in (generous, strict))
    assert one["winning"].any()
    assert not other["winning"].any()
    decided = ["winning", "selects"]
    assert_frame_equal(one.drop(decided), other.drop(decided))


def test_effects_that_are_not_there_are_not_found() -> None:
    """At q <= 0.10 a family without an effect has a winner in at most one of ten; 20 seeds, as they are."""
    found = 0
    for seed in range(20):
        events = random_events(6000, date(2024, 1, 1), 120, seed)
        cohorts = cohort_tables(events, CohortParams()).cohorts.filter(as_of=date(2024, 5, 1))
        assert (cohorts["tested"] >= 18).all()
        found += cohorts["winning"].any()
    assert found <= 2


@pytest.mark.parametrize("seed", range(3))
def test_an_effect_of_15_bps_is_found_in_its_cohort_and_not_in_the_others(seed: int) -> None:
    """Returns of sd 30 bps: 12,000 x 0.9 / 12 x 0.75 = 675 events of select in a tercile, an error of 1.2 bps."""
    events = random_events(12_000, date(2024, 1, 1), 120, seed, flush=0.015).with_columns(pl.col("net_return") / 10)
    cohorts = cohort_tables(events, CohortParams()).cohorts.filter(as_of=date(2024, 5, 1), selection="causal")
    winning = set(cohorts.filter("winning")["cohort_id"])
    own = {f"L3|flush|up|{BUCKET}|{tercile}" for tercile in ("1", "2", "3")} | {f"L2|flush|up|{BUCKET}"}
    assert winning == own
