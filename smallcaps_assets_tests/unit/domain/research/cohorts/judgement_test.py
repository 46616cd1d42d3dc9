"""Which cohorts are tested and which are winning: every limit by itself."""

from datetime import date
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.research.cohorts.judgement import judge_cohorts
from smallcaps_assets.domain.research.cohorts.params import CohortParams

# t = 4 with 19 degrees of freedom: p = 0.00038; it meets every limit just so
JUST: dict[str, Any] = {
    "as_of": date(2024, 4, 1),
    "label_spec": "15,1,1",
    "selection": "causal",
    "n": 50,
    "wins": 30,
    "effective_n": 45.0,
    "n_days": 20,
    "n_symbols": 15,
    "max_symbol_share": 10 / 50,
    "mean": 0.001,
    "se": 0.00025,
    "largest": 0.1,
    "confirm_n": 20,
    "confirm_mean": 1e-9,
    "costed_share": 0.8,
}


def judged(*rows: dict[str, Any]) -> pl.DataFrame:
    return judge_cohorts(pl.DataFrame([JUST | row for row in rows]), CohortParams())


def test_a_cohort_that_just_meets_every_limit_is_winning() -> None:
    found = judged({})
    assert found.select("tested", "winning", "selects").row(0) == (1, True, True)
    assert found["p"][0] == pytest.approx(0.00038, abs=2e-5)
    assert found["q_value"].to_list() == found["p"].to_list()


@pytest.mark.parametrize(
    "row",
    [
        {"n": 49},
        {"n_days": 19},
        {"se": 0.001},
        {"mean": 0.00099},
        {"n_symbols": 14},
        {"max_symbol_share": 11 / 50},
        {"confirm_n": 19},
        {"confirm_mean": 0.0},
        {"confirm_mean": -0.01},
        {"confirm_n": 0, "confirm_mean": None},
    ],
)
def test_each_limit_by_itself(row: dict[str, Any]) -> None:
    assert judged(row).select("winning", "selects").rows() == [(False, False)]


def test_a_winning_cohort_with_costs_of_few_labels_selects_nothing() -> None:
    """What is winning is specified, and stays; the share of labels with a cost decides only what may select."""
    found = judged({}, {"costed_share": 0.7999}, {"costed_share": 1.0, "mean": 0.0})
    assert found.select("winning", "selects").rows() == [(True, True), (True, False), (False, False)]
    plain = judged({}, {"costed_share": 0.8}, {"costed_share": 1.0, "mean": 0.0})
    others = ["costed_share", "selects"]
    assert found.drop(others).equals(plain.drop(others))
    without = judge_cohorts(pl.DataFrame([JUST | {"costed_share": 0.0}]), CohortParams(cohort_min_costed_share=0))
    assert without["selects"].to_list() == [True]


def test_q_values_are_monotone_over_the_family_and_null_outside() -> None:
    """Benjamini-Hochberg by hand: the third of three has p x 3/3; the second takes it where p x 3/2 is greater."""
    rows = judged({"se": 0.00025}, {"se": 0.0006}, {"se": 0.00062}, {"n": 49}, {"se": 0.0001, "selection": "master"})
    first, second, third = rows["p"].to_list()[:3]
    assert second * 3 / 2 > third
    assert rows["q_value"].to_list() == [pytest.approx(3 * first), third, third, None, rows["p"][4]]
    assert rows["tested"].to_list() == [3, 3, 3, 3, 1]


def test_an_error_that_is_due_to_rounding_is_none() -> None:
    rows = judged({"se": 1e-14}, {"se": 0.0}, {"se": None})
    assert rows.select("se", "t", "p", "winning").rows() == [(0.0, None, None, False)] * 2 + [(None, None, None, False)]
