"""Which cohorts of one sample are shown first, why none of them is tested, and why winning ones select no event.

Without a default cost only labels of captured events have a net return, and events like them on later days. A manifest
chose the captured ones with hindsight, so a cohort with costs of few labels says what paid among these, and is not
trusted with a selection.
"""

import math
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.statistics.intervals import with_intervals
from smallcaps_assets.domain.words import count_clause, count_noun

MIN_COSTED: Final = "research.cohort_min_costed_share"
_LEAST_Q: Final = 0.001
_NAMED_WITHHELD: Final = 3
# guards floor(100 x share) against products such as 100 x 0.29 = 28.999...
_FLOOR_GUARD: Final = 1e-9


class RankedCohorts(NamedTuple):
    """Cohorts of one sample (COHORTS with `mean_lo` and `mean_hi`), in the order in which they are shown.

    Attributes:
        best: those tested with the greatest mean net return, the greatest first.
        worst: those tested with the least, the least first; none that is among the best.
        largest: those with the most events, tested or not.
    """

    best: pl.DataFrame
    worst: pl.DataFrame
    largest: pl.DataFrame


def rank_cohorts(cohorts: pl.DataFrame, top: int) -> RankedCohorts:
    """At most `top` cohorts of each order.

    Only those that are tested are ranked by their mean: the greatest means are those of a few events.

    Args:
        cohorts: COHORTS of one as_of, label_spec and selection.
        top: 1 or more.
    """
    rows = with_intervals(cohorts)
    tested = rows.filter(pl.col("q_value").is_not_null()).sort("mean", "cohort_id", descending=[True, False])
    largest = rows.sort("n", "cohort_id", descending=[True, False])
    best = tested.head(top)
    return RankedCohorts(best, tested.slice(best.height).reverse().head(top), largest.head(top))


def describe_untested(cohorts: pl.DataFrame, params: CohortParams) -> str | None:
    """Why no cohort is tested; None where one is.

    Args:
        cohorts: COHORTS of one as_of, label_spec and selection; not empty.
        params: what a test needs.
    """
    if cohorts["q_value"].count():
        return None
    needed = f"{count_noun(params.cohort_test_min_events, 'event')} on {params.cohort_test_min_days:,} dates"
    row = cohorts.sort("n", "n_days", "cohort_id", descending=[True, True, False]).row(0, named=True)
    has = f"{count_noun(row['n'], 'event')} on {count_clause(row['n_days'], 'date', 'dates')}"
    why = f"a test needs {needed}, and the largest cohort, {name_cohort(row['cohort_id'])}, has {has}"
    enough = (pl.col("n") >= params.cohort_test_min_events) & (pl.col("n_days") >= params.cohort_test_min_days)
    # as many as a test needs, but without an error
    return "all returns of the cohorts with enough events are equal" if cohorts.select(enough.any()).item() else why


def withheld_cohorts(cohorts: pl.DataFrame) -> pl.DataFrame:
    """The winning cohorts (COHORTS) that select no event because too few of their labels have costs, by this share."""
    return cohorts.filter(pl.col("winning") & ~pl.col("selects")).sort("costed_share", "cohort_id")


def describe_withheld(cohorts: pl.DataFrame, params: CohortParams) -> str | None:
    """Which winning cohorts (COHORTS) select no event, and why; None where all that win may."""
    rows = withheld_cohorts(cohorts)
    if rows.is_empty():
        return None
    named = [
        f"{name_cohort(cohort_id)} ({describe_costed(share)})"
        for cohort_id, share in rows.select("cohort_id", "costed_share").head(_NAMED_WITHHELD).iter_rows()
    ]
    more = f" and {rows.height - _NAMED_WITHHELD:,} more" if rows.height > _NAMED_WITHHELD else ""
    clause = count_clause(rows.height, "winning cohort selects", "winning cohorts select")
    return (
        f"{clause} no events, because costs are known of too few labels: {', '.join(named)}{more}; {MIN_COSTED} asks "
        f"for {describe_costed(params.cohort_min_costed_share)}"
    )


def describe_costed(share: float | None) -> str:
    """A share of labels with a cost in words: `93 %`, rounded down, so that only all are 100 %; `-` if not known."""
    return "-" if share is None else f"{math.floor(100 * share + _FLOOR_GUARD)} %"


def describe_q(q_value: float | None) -> str:
    """`0.042`, `<0.001`; `-` where a cohort is not tested."""
    if q_value is None:
        return "-"
    return f"<{_LEAST_Q}" if q_value < _LEAST_Q else f"{q_value:.3f}"


def name_cohort(cohort_id: str) -> str:
    """A cohort_id in words, without its level: `volume spike up 0930-1015`; a tercile of flatness is named."""
    level, *keys = cohort_id.split("|")
    if level == "L3":
        keys[-1] = f"flatness {keys[-1]}"
    return " ".join(keys).replace("_", " ")
