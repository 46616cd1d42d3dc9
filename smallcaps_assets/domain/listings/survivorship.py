"""How today's universe differs from that of each event's date: events that it wrongly has, and those it lacks.

A list of today is hindsight. Companies that died, were renamed or grew are missing from it, and it has events of
companies before they met its filters.
"""

from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.domain.universe import SOURCE_REJECTION, UniverseParams, judge_listings

# Events by year, by what both universes say of them, and by the reason of the one that excludes them. `case` is `both`,
# `neither`, `only_today`, `only_then` or `unknown`.
SURVIVORSHIP: Final = pl.Schema(
    {"year": pl.Int64(), "case": pl.String(), "reason": pl.String(), "events": pl.Int64(), "symbols": pl.Int64()}
)
# The same by calendar month: `month` (its first day), and how many events of MASTER are in both universes (`both`), in
# that of their date only, in today's only, and how many count because the former is not known. Every month from the
# first with events to the last has a row.
MONTHLY_SURVIVORSHIP: Final = pl.Schema(
    {
        "month": pl.Date(),
        "both": pl.Int64(),
        "only_then": pl.Int64(),
        "only_today": pl.Int64(),
        "unknown": pl.Int64(),
    }
)
ONLY_TODAY: Final = "only_today"
ONLY_THEN: Final = "only_then"
# Why a symbol that was in the universe is not in today's: its ticker is another one now, or it is listed no more.
_RENAMED: Final = "renamed"
_NOT_FOLLOWED: Final = "not_followed"


def todays_list(universe: pl.DataFrame, params: UniverseParams, first_session: date) -> pl.DataFrame:
    """The symbols of a universe with the reason why today's list lacks them: `symbol`, `today_excluded_by` (or null).

    Args:
        universe: UNIVERSE.
        params: the filters; they are applied to what is known today.
        first_session: where history begins.
    """
    listed = universe.with_columns(pl.lit(None, pl.String).alias(SOURCE_REJECTION))
    judged = judge_listings(listed, params, first_session)
    gone = pl.col("delisted").is_not_null() & (not params.include_delisted)
    by = pl.when(gone).then(pl.lit("delisted")).otherwise("excluded_by")
    others = pl.when(universe["excluded_by"].is_in(["gone", "source", "symbol"])).then(universe["excluded_by"])
    return judged.select("symbol", today_excluded_by=pl.coalesce(others, by))


def survivorship(judged: pl.DataFrame, today: pl.DataFrame) -> pl.DataFrame:
    """SURVIVORSHIP of events, sorted by year, case and reason.

    Args:
        judged: EVENT_LISTINGS.
        today: what `todays_list` returns.
    """
    return (
        _by_case(judged, today)
        .with_columns(year=pl.col("month").dt.year().cast(pl.Int64))
        .group_by("year", "case", "reason")
        .agg(events=pl.len().cast(pl.Int64), symbols=pl.col("symbol").n_unique().cast(pl.Int64))
        .select(*SURVIVORSHIP)
        .match_to_schema(SURVIVORSHIP)
        .sort("year", "case", "reason")
    )


def survivorship_by_month(judged: pl.DataFrame, today: pl.DataFrame) -> pl.DataFrame:
    """MONTHLY_SURVIVORSHIP of events, sorted by month; a month whose events are in neither universe has zeros.

    Args:
        judged: EVENT_LISTINGS.
        today: what `todays_list` returns.
    """
    cases = [name for name in MONTHLY_SURVIVORSHIP if name != "month"]
    counts = (
        _by_case(judged, today)
        .group_by("month")
        .agg((pl.col("case") == name).sum().cast(pl.Int64).alias(name) for name in cases)
        .sort("month")
    )
    every = counts.select("month")
    if counts.height:
        every = counts.select(pl.date_range(pl.col("month").min(), pl.col("month").max(), "1mo").alias("month"))
    dense = every.join(counts, on="month", how="left", maintain_order="left")
    return dense.with_columns(pl.col(cases).fill_null(0)).match_to_schema(MONTHLY_SURVIVORSHIP)


def _by_case(judged: pl.DataFrame, today: pl.DataFrame) -> pl.DataFrame:
    """`symbol`, `month`, `case` and `reason` (see SURVIVORSHIP) of each event."""
    listed = today.with_columns(known=pl.lit(value=True))
    rows = judged.join(listed, on="symbol", how="left")
    now = pl.col("known").is_not_null() & pl.col("today_excluded_by").is_null()
    then = pl.col("in_universe_at_event")
    case = (
        pl.when(then.is_null())
        .then(pl.lit("unknown"))
        .when(then & now)
        .then(pl.lit("both"))
        .when(then)
        .then(pl.lit(ONLY_THEN))
        .when(now)
        .then(pl.lit(ONLY_TODAY))
        .otherwise(pl.lit("neither"))
    )
    why_not_now = (
        pl.when(pl.col("next_symbol").is_not_null())
        .then(pl.lit(_RENAMED))
        .otherwise(pl.col("today_excluded_by").fill_null(_NOT_FOLLOWED))
    )
    reason = (
        pl.when(case == "unknown")
        .then("unknown")
        .when(case == ONLY_THEN)
        .then(why_not_now)
        .when(case != "both")
        .then("excluded_by")
    )
    month = pl.col("date").str.to_date("%Y-%m-%d").dt.truncate("1mo")
    return rows.select("symbol", month=month, case=case, reason=reason)


def count_differing(table: pl.DataFrame) -> dict[str, int]:
    """How many events of SURVIVORSHIP only today's list has, and only the lists of their dates; and how many in all."""
    counts = dict(table.group_by("case").agg(pl.col("events").sum()).iter_rows())
    return {ONLY_TODAY: counts.get(ONLY_TODAY, 0), ONLY_THEN: counts.get(ONLY_THEN, 0), "events": sum(counts.values())}
