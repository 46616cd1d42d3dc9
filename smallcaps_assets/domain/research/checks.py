"""Checks of a published research table (research specification, section 9)."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import polars as pl
import polars.selectors as cs

from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.research.tables.wave_tables import EXCURSION_MIN

# lowest and highest value of a column; None: no bound
Bounds = tuple[float | None, float | None]
BAR_FEATURE_BOUNDS: Final[Mapping[str, Bounds]] = {
    "close": (0, None),
    "weekday": (1, 7),
    "range_position": (0, 1),
    "body_share": (-1, 1),
    "close_location": (-1, 1),
    "distance_day_high": (None, 0),
    "bar_atr": (0, None),
    "parkinson_20": (0, None),
    "amihud_20": (0, None),
    "rvol_to_time": (0, None),
    "bars_last_30min": (1, 30),
    "event_number_in_day": (1, None),
    "events_last_5min": (0, None),
    "days_since_last_event": (1, 20),
    "prior_day_range": (0, None),
    "minutes_since_halt": (0, None),
}
MARKET_STATE_BOUNDS: Final[Mapping[str, Bounds]] = {"prior_close": (0, None), "halts": (0, None)}
HALT_BOUNDS: Final[Mapping[str, Bounds]] = {"seconds": (0, 86_400), "n5": (0, None), "confidence": (1, 2)}
SCORE_BOUNDS: Final[Mapping[str, Bounds]] = {"score_percentile": (0, 1), "score_n": (0, None)}

LABEL_BOUNDS: Final[Mapping[str, Bounds]] = {
    "entry": (0, None),
    "scale": (0.005, 0.2),
    "label": (-1, 1),
    "exit_price": (0, None),
    **{f"stale_min_{horizon}": (0, None) for horizon in (1, 5, 15, 30, 60, "close")},
    # above 0
    "uniqueness": (sys.float_info.min, 1),
    "concurrent_max": (1, None),
}
WAVE_BOUNDS: Final[Mapping[str, Bounds]] = {"leg": (1, None), "duration_s": (0, None), "retracement": (0, None)}
OUTCOME_BOUNDS: Final[Mapping[str, Bounds]] = {
    "theta": (0.01, 0.1),
    "wave_horizon_s": (0, None),
    "legs": (0, None),
    "first_pullback": (0, None),
    **{f"mfe_{minutes}_bps": (0, None) for minutes in EXCURSION_MIN},
    **{f"mae_{minutes}_bps": (None, 0) for minutes in EXCURSION_MIN},
}
COHORT_BOUNDS: Final[Mapping[str, Bounds]] = {
    "n": (1, None),
    "n_days": (1, None),
    "n_symbols": (1, None),
    "tested": (0, None),
    "effective_n": (0, None),
    "se": (0, None),
    "mean_mfe_15": (0, None),
    **dict.fromkeys(("win_rate", "wilson_lo", "wilson_hi", "wilson_eff_lo", "wilson_eff_hi", "p", "q_value"), (0, 1)),
    **{f"{name}_share": (0, 1) for name in ("max_symbol", "tie", "halt", "no_entry", "costed")},
    **{f"share_{name}": (0, 1) for name in ("up", "down")},
}
COST_BOUNDS: Final[Mapping[str, Bounds]] = {"cost_bps": (0, None)}

TABLE_CHECKS: Final = ("unique_rows", "finite", "ranges")


def table_checks(
    rows: pl.LazyFrame, key: Sequence[str], bounds: Mapping[str, Bounds]
) -> dict[str, Callable[[], Finding]]:
    """The checks that every table has: unique rows, no NaN and nothing infinite, numbers within their bounds.

    Args:
        rows: with all columns of the registry, or they raise LakeError when they are read.
        key: what identifies a row.
        bounds: by column, both included; null is within them.
    """
    return {
        "unique_rows": lambda: finding("unique_rows", _head(rows.filter(pl.struct(key).is_duplicated()), key)),
        "finite": lambda: finding("finite", _head(rows.filter(pl.any_horizontal(~cs.float().is_finite())), key)),
        "ranges": lambda: _ranges(rows, key, bounds),
    }


def _ranges(rows: pl.LazyFrame, key: Sequence[str], bounds: Mapping[str, Bounds]) -> Finding:
    outside = {name: _is_outside(name, *of_column) for name, of_column in bounds.items()}
    breaking = rows.filter(pl.any_horizontal(*outside.values())).select(*dict.fromkeys([*key, *bounds]))
    return finding("ranges", breaking.head(_MOST).collect())


def _is_outside(name: str, lowest: float | None, highest: float | None) -> pl.Expr:
    low = pl.lit(value=False) if lowest is None else pl.col(name) < lowest
    high = pl.lit(value=False) if highest is None else pl.col(name) > highest
    return (low | high).fill_null(value=False)


# rows that a finding counts at most
_MOST: Final = 10_000


def _head(rows: pl.LazyFrame, key: Sequence[str]) -> pl.DataFrame:
    return rows.select(*key).head(_MOST).collect()


def perturbed(stored: pl.DataFrame, recomputed: pl.DataFrame) -> Finding:
    """Whether rows that were computed without later bars are those stored, bit for bit.

    Args:
        stored: rows of a table, with `event_id`.
        recomputed: the same events, from what was known at their time.
    """
    columns = [name for name in stored.columns if name != "event_id"]
    both = stored.join(recomputed, on="event_id", how="left", suffix="_again")
    differs = [pl.col(name).ne_missing(pl.col(f"{name}_again")) for name in columns]
    breaking = both.filter(pl.any_horizontal(*differs)).with_columns(
        columns=pl.concat_str(
            [
                pl.when(one).then(pl.lit(f"{name} ")).otherwise(pl.lit(""))
                for name, one in zip(columns, differs, strict=True)
            ]
        )
    )
    figures = {"events_computed_again": stored.height}
    return finding("perturbation", breaking.select("event_id", "columns"), figures)
