"""What the figures of cohorts prove: intervals, tests, the family of tests, and who is winning (6.3 to 6.5)."""

from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.domain.research.statistics.student import upper_tail

FAMILY: Final = ("as_of", "label_spec", "selection")
# an error of the mean below this, relative to the greatest return, is due to rounding: the true one is 0
_ROUNDING: Final = 1e-12


def judge_cohorts(figures: pl.DataFrame, params: CohortParams) -> pl.DataFrame:
    """`figures` with win rate, Wilson's intervals, `t`, `p`, `q_value`, `tested`, `winning` and `selects`.

    Args:
        figures: FAMILY, `n`, `wins`, `effective_n`, `n_days`, `n_symbols`, `max_symbol_share`, `mean`, `se` (null with
            one date), `largest` (greatest absolute net return), `confirm_n`, `confirm_mean` and `costed_share`.
        params: what a winning cohort must show.
    """
    rate = pl.col("wins") / pl.col("n")
    rows = figures.with_columns(
        win_rate=rate,
        se=pl.when(pl.col("se") > _ROUNDING * pl.col("largest")).then("se").otherwise(pl.col("se") * 0.0),
        **_wilson("wilson", rate, pl.col("n"), params.cohort_wilson_z),
        **_wilson("wilson_eff", rate, pl.col("effective_n"), params.cohort_wilson_z),
    ).with_columns(t=pl.when(pl.col("se") > 0).then(pl.col("mean") / pl.col("se")))
    tested = rows["t"].is_not_null()
    known = rows.filter(tested)
    tail = upper_tail(known["t"].to_numpy(), known["n_days"].to_numpy() - 1.0)
    p = np.full(rows.height, np.nan)
    p[tested.to_numpy()] = tail
    return _with_winning(_with_q(rows.with_columns(p=pl.Series(p).fill_nan(None)), params), params)


def _wilson(name: str, rate: pl.Expr, n: pl.Expr, z: float) -> dict[str, pl.Expr]:
    """Wilson's interval of a rate of `n` events."""
    middle = rate + z * z / (2 * n)
    half = z * (rate * (1 - rate) / n + z * z / (4 * n * n)).sqrt()
    whole = 1 + z * z / n
    return {
        f"{name}_lo": ((middle - half) / whole).clip(0, 1),
        f"{name}_hi": ((middle + half) / whole).clip(0, 1),
    }


def _with_q(rows: pl.DataFrame, params: CohortParams) -> pl.DataFrame:
    """With `tested`, the size of the family, and `q_value` by Benjamini-Hochberg."""
    in_family = (
        (pl.col("n") >= params.cohort_test_min_events)
        & (pl.col("n_days") >= params.cohort_test_min_days)
        & pl.col("p").is_not_null()
    )
    rows = rows.with_columns(tested=in_family.sum().over(FAMILY).cast(pl.Int64)).with_row_index("row")
    ranked = rows.filter(in_family).sort(*FAMILY, "p")
    own = pl.col("p") * pl.col("tested") / pl.int_range(1, pl.len() + 1).over(FAMILY)
    # the least of the cohort's own and of those with a greater p
    ranked = ranked.with_columns(own=own).select("row", q_value=pl.col("own").cum_min(reverse=True).over(FAMILY))
    return rows.join(ranked, on="row", how="left", maintain_order="left").drop("row")


def _with_winning(rows: pl.DataFrame, params: CohortParams) -> pl.DataFrame:
    winning = (
        (pl.col("q_value") <= params.cohort_max_q)
        & (pl.col("mean") >= params.cohort_min_mean_bps / BPS)
        & (pl.col("n_symbols") >= params.cohort_min_symbols)
        & (pl.col("max_symbol_share") <= params.cohort_max_symbol_share)
        & (pl.col("confirm_n") >= params.cohort_confirm_min_events)
        & (pl.col("confirm_mean") > 0)
    )
    # what wins is specified; what a winning cohort is trusted with is not: costs of few labels are those of captured
    # events, which are chosen with hindsight
    costed = pl.col("costed_share") >= params.cohort_min_costed_share
    return rows.with_columns(winning=winning.fill_null(value=False)).with_columns(
        selects=(pl.col("winning") & costed).fill_null(value=False)
    )
