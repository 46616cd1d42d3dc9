"""Which cohorts are shown first, and why none is tested."""

from datetime import date
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.cohorts.ranking import (
    describe_q,
    describe_untested,
    describe_withheld,
    name_cohort,
    rank_cohorts,
)
from smallcaps_assets.domain.research.statistics.intervals import with_intervals
from smallcaps_assets.domain.research.tables.cohort_tables import COHORTS


def cohorts_of(*rows: dict[str, Any]) -> pl.DataFrame:
    """Cohorts of one sample, null in the columns that are not given."""
    shared = {"as_of": date(2025, 12, 1), "label_spec": "15,1,1", "selection": "causal", "tested": 0, "winning": False}
    frame = pl.DataFrame([shared | row for row in rows], schema_overrides={"q_value": pl.Float64, "se": pl.Float64})
    casts = [pl.col(name).cast(dtype) for name, dtype in COHORTS.items() if name in frame.columns]
    return frame.select(casts).match_to_schema(COHORTS, missing_columns="insert")


def cohort(name: str, mean: float, n: int = 60, q_value: float | None = 0.5, **more: Any) -> dict[str, Any]:
    return {"cohort_id": name, "mean": mean, "n": n, "n_days": 30, "se": 0.001, "q_value": q_value} | more


def test_only_tested_cohorts_are_ranked_by_their_mean() -> None:
    rows = cohorts_of(
        cohort("L1|a|up", 0.002),
        cohort("L2|a|up|x", 0.5, n=1, q_value=None, n_days=1, se=None),
        cohort("L1|b|up", -0.01),
        cohort("L1|c|up", 0.004),
        cohort("L1|d|up", -0.003, n=400),
    )
    ranked = rank_cohorts(rows, 2)
    assert ranked.best["cohort_id"].to_list() == ["L1|c|up", "L1|a|up"]
    assert ranked.worst["cohort_id"].to_list() == ["L1|b|up", "L1|d|up"]
    assert ranked.largest["cohort_id"].to_list() == ["L1|d|up", "L1|a|up"]
    # none is shown twice
    assert rank_cohorts(rows, 3).worst["cohort_id"].to_list() == ["L1|b|up"]
    assert rank_cohorts(rows, 9).worst.is_empty()


def test_equal_means_are_in_the_order_of_their_names() -> None:
    rows = cohorts_of(cohort("L1|b|up", 0.002), cohort("L1|a|up", 0.002))
    assert rank_cohorts(rows, 1).best["cohort_id"].to_list() == ["L1|a|up"]


def test_intervals_are_students() -> None:
    """t of 30 - 1 degrees is 2.0452296 in tables. One date or no error: no interval."""
    rows = cohorts_of(
        cohort("L1|a|up", 0.002), cohort("L1|b|up", 0.002, se=None, n_days=1), cohort("L1|c|up", 0.002, se=0.0)
    )
    first, *others = with_intervals(rows).select("mean_lo", "mean_hi").rows()
    assert first == pytest.approx((0.002 - 0.001 * 2.0452296, 0.002 + 0.001 * 2.0452296), rel=1e-6)
    assert others == [(None, None)] * 2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [cohort("L1|a_b|up", 0.1, n=31, q_value=None), cohort("L2|a_b|up|x", 0.1, n=2, q_value=None)],
            "a test needs 50 events on 20 dates, and the largest cohort, a b up, has 31 events on 30 dates",
        ),
        (
            [cohort("L1|a|up", 0.1, n=1, n_days=1, q_value=None)],
            "a test needs 50 events on 20 dates, and the largest cohort, a up, has 1 event on 1 date",
        ),
        # enough events on too few dates
        (
            [cohort("L1|a|up", 0.1, n=70, n_days=19, q_value=None)],
            "a test needs 50 events on 20 dates, and the largest cohort, a up, has 70 events on 19 dates",
        ),
        (
            [cohort("L1|a|up", 0.1, n=70, se=0.0, q_value=None)],
            "all returns of the cohorts with enough events are equal",
        ),
        ([cohort("L1|a|up", 0.1), cohort("L1|b|up", 0.1, q_value=None)], None),
    ],
)
def test_why_no_cohort_is_tested(rows: list[dict[str, Any]], words: str | None) -> None:
    assert describe_untested(cohorts_of(*rows), CohortParams()) == words


def test_winning_cohorts_without_enough_costs_are_named_with_their_share() -> None:
    won = {"winning": True, "selects": False}
    rows = cohorts_of(
        cohort("L1|a|up", 0.1, costed_share=0.79999, **won),
        cohort("L2|a|up|0930-1015", 0.1, costed_share=0.29, **won),
        cohort("L1|b|up", 0.1, costed_share=0.8, winning=True, selects=True),
        cohort("L1|c|up", 0.1, costed_share=0.1, selects=False),
        # of an earlier release
        cohort("L1|d|up", 0.1, winning=True),
    )
    assert describe_withheld(rows, CohortParams()) == (
        "2 winning cohorts select no events, because costs are known of too few labels: a up 0930-1015 (29 %), a up "
        "(79 %); research.cohort_min_costed_share asks for 80 %"
    )
    assert describe_withheld(rows.filter(cohort_id="L1|a|up"), CohortParams()) == (
        "1 winning cohort selects no events, because costs are known of too few labels: a up (79 %); "
        "research.cohort_min_costed_share asks for 80 %"
    )
    many = cohorts_of(*(cohort(f"L1|{n}|up", 0.1, costed_share=n / 10, **won) for n in range(5)))
    assert "0 up (0 %), 1 up (10 %), 2 up (20 %) and 2 more; " in (describe_withheld(many, CohortParams()) or "")
    assert describe_withheld(rows.filter("selects"), CohortParams()) is None


@pytest.mark.parametrize(
    ("q_value", "words"), [(None, "-"), (0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (0.0416, "0.042")]
)
def test_q_in_words(q_value: float | None, words: str) -> None:
    assert describe_q(q_value) == words


@pytest.mark.parametrize(
    ("cohort_id", "words"),
    [
        ("L1|volume_spike|up", "volume spike up"),
        ("L2|flush|down|0930-1015", "flush down 0930-1015"),
        ("L3|flush|down|0930-1015|na", "flush down 0930-1015 flatness na"),
    ],
)
def test_cohorts_in_words(cohort_id: str, words: str) -> None:
    assert name_cohort(cohort_id) == words
