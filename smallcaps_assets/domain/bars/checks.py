"""Checks of minute bars: sessions and minutes that should be there and are not."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.bars.suspect_prints import SuspectPrintParams
from smallcaps_assets.domain.findings import Figure, Finding, finding
from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.tables import UTC_US

# one row per symbol and published session, with its number of bars (0 for a session without trades)
SESSION_BARS: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date(), "bars": pl.Int64()})
# one row per symbol and expected session
EXPECTED: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date()})
# per regular minute: symbols active in its session, and how many of these have a bar in the minute
REGULAR_MINUTES: Final = pl.Schema({"minute": UTC_US, "active": pl.Int64(), "with_bar": pl.Int64()})
# runs of consecutive minutes missing for most active symbols: fewest active symbols, most symbols with a bar
LOST: Final = pl.Schema(
    {"first": UTC_US, "last": UTC_US, "minutes": pl.Int64(), "active": pl.Int64(), "with_bar": pl.Int64()}
)


class BarCheckParams(Params):
    """Thresholds above which bars look incomplete, in per cent."""

    min_coverage_pct: float = Field(ge=0, le=100)
    min_symbols: int = Field(gt=0)
    max_empty_pct: float = Field(gt=0, le=100)
    last_sessions: int = Field(gt=0)
    min_active_symbols: int = Field(gt=0)
    active_minutes_pct: float = Field(gt=0, le=100)
    max_missing_pct: float = Field(gt=0, le=100)
    min_volumes: int = Field(ge=20)
    max_odd_pct: float = Field(ge=0, le=20)
    # files of release 0.1 lack it
    suspect_print: SuspectPrintParams = SuspectPrintParams()


def expected_sessions(listings: pl.DataFrame, due: Sequence[date]) -> pl.DataFrame:
    """Expected sessions of symbols (EXPECTED): the completed sessions between listing and delisting.

    Args:
        listings: `symbol`, `listed` (null if unknown) and `delisted` (null if still listed).
        due: the completed XNYS sessions of the history.
    """
    days = pl.LazyFrame({"day": sorted(due)}, schema={"day": EXPECTED["day"]})
    day = pl.col("day")
    inside = (day >= pl.col("listed")).fill_null(True) & (day <= pl.col("delisted")).fill_null(True)
    return listings.lazy().join(days, how="cross").filter(inside).select(*EXPECTED).collect()


def session_coverage(here: pl.DataFrame, expected: pl.DataFrame, params: BarCheckParams) -> Finding:
    """Followed symbols whose share of published sessions is below `min_coverage_pct`.

    Args:
        here: SESSION_BARS; a session without bars counts as published once it was fetched.
        expected: EXPECTED of the followed symbols.
        params: the thresholds.
    """
    present = expected.join(here, on=["symbol", "day"], how="semi").group_by("symbol").agg(sessions=pl.len())
    checked = (
        expected.group_by("symbol")
        .agg(due=pl.len())
        .join(present, on="symbol", how="left")
        .with_columns(pl.col("sessions").fill_null(0))
        .with_columns(pct=100 * pl.col("sessions") / pl.col("due"))
    )
    incomplete = checked.filter(pl.col("pct") < params.min_coverage_pct)
    figures = {
        "symbols": checked.height,
        "sessions_due": expected["day"].n_unique(),
        "present_pct": 100.0 if checked.is_empty() else float(checked["pct"].mean()),  # type: ignore[arg-type]
        "at_least_pct": params.min_coverage_pct,
    }
    found = finding("session_coverage", incomplete.sort("pct", "symbol"), figures, severe=False)
    return found.unjudged_if(expected.is_empty(), "no session is expected of any followed symbol")


def empty_sessions(here: pl.DataFrame, params: BarCheckParams) -> Finding:
    """Sessions without any bar for many symbols that have bars before and after.

    Args:
        here: SESSION_BARS.
        params: the thresholds.
    """
    traded = pl.col("day").filter(pl.col("bars") > 0)
    alive = here.with_columns(first=traded.min().over("symbol"), last=traded.max().over("symbol")).filter(
        pl.col("day").is_between("first", "last")
    )
    by_day = alive.group_by("day").agg(symbols=pl.len(), empty=(pl.col("bars") == 0).sum())
    checked = by_day.with_columns(empty_pct=100 * pl.col("empty") / pl.col("symbols"))
    many = (pl.col("symbols") >= params.min_symbols) & (pl.col("empty_pct") > params.max_empty_pct)
    figures = {"sessions": checked.height, "at_most_pct": params.max_empty_pct}
    found = finding("empty_sessions", checked.filter(many).sort("day"), figures)
    return found.unjudged_if(alive.is_empty(), "no session with bars is published")


def minute_counts(bars: pl.DataFrame, sessions: pl.DataFrame, params: BarCheckParams) -> pl.DataFrame:
    """Count the active symbols of each regular minute, and those of them with a bar in it (REGULAR_MINUTES).

    A symbol is active in a session if it has bars in `active_minutes_pct` of the regular minutes of that session, or of
    the median session of the month, so that half a lost session does not make it inactive. Counts of disjoint sets of
    symbols add up.

    Args:
        bars: `symbol` and `timestamp` of bars.
        sessions: SESSION_TABLE of the sessions to count.
        params: the thresholds.
    """
    minutes = (
        sessions.select(
            "date",
            regular=(pl.col("regular_close") - pl.col("regular_open")).dt.total_minutes(),
            minute=pl.datetime_ranges("regular_open", "regular_close", "1m", closed="left"),
        )
        .explode("minute")
        .sort("minute")
    )
    inside = bars.join(minutes, left_on="timestamp", right_on="minute", how="inner")
    active = (
        inside.group_by("symbol", "date")
        .agg(pct=100 * pl.len() / pl.col("regular").first())
        .with_columns(usual=pl.col("pct").median().over("symbol", pl.col("date").dt.month_start()))
        .filter(pl.max_horizontal("pct", "usual") >= params.active_minutes_pct)
    )
    present = inside.join(active, on=["symbol", "date"], how="semi").group_by("timestamp").agg(with_bar=pl.len())
    return (
        minutes.join(active.group_by("date").agg(active=pl.len()), on="date", how="inner")
        .join(present, left_on="minute", right_on="timestamp", how="left")
        .select(
            "minute", active=pl.col("active").cast(pl.Int64), with_bar=pl.col("with_bar").fill_null(0).cast(pl.Int64)
        )
    )


def missing_minutes(counts: pl.DataFrame, params: BarCheckParams) -> Finding:
    """Regular minutes in which most active symbols have no bar.

    A minute missing for more than `max_missing_pct` of the active symbols was most likely lost by the vendor or by us.
    A lost session shows in `empty_sessions` instead, as it leaves no symbol active. A market-wide halt has no bars
    either, so this is a warning and not an error.

    Args:
        counts: REGULAR_MINUTES of disjoint sets of symbols, concatenated.
        params: the thresholds.
    """
    checked = _counted_minutes(counts, params)
    lost = checked.filter(pl.col("missing_pct") > params.max_missing_pct)
    few = f"Passed without a judgement: fewer than {params.min_active_symbols} symbols trade continuously."
    figures: dict[str, Figure] = {
        **({"verdict": few} if checked.is_empty() else {}),
        "sessions": checked["minute"].dt.date().n_unique(),
        "minutes": checked.height,
        "worst_missing_pct": float(checked["missing_pct"].max() or 0.0),  # type: ignore[arg-type]
        "at_most_pct": params.max_missing_pct,
    }
    found = finding(
        "missing_minutes", lost.select("minute", "active", "with_bar", "missing_pct"), figures, severe=False
    )
    return found.unjudged_if(counts.is_empty(), "no bars of regular hours are published")


def lost_runs(counts: pl.DataFrame, params: BarCheckParams) -> pl.DataFrame:
    """Runs of consecutive minutes that fail `missing_minutes` (LOST); same arguments."""
    lost = _counted_minutes(counts, params).filter(pl.col("missing_pct") > params.max_missing_pct)
    apart = pl.col("minute").diff().fill_null(timedelta()) > timedelta(minutes=1)
    return (
        lost.with_columns(run=apart.cum_sum())
        .group_by("run", maintain_order=True)
        .agg(
            first=pl.col("minute").min(),
            last=pl.col("minute").max(),
            minutes=pl.len().cast(pl.Int64),
            active=pl.col("active").min(),
            with_bar=pl.col("with_bar").max(),
        )
        .select(*LOST)
    )


def _counted_minutes(counts: pl.DataFrame, params: BarCheckParams) -> pl.DataFrame:
    """Minutes with at least `min_active_symbols`, without repeats, with the share of active symbols without a bar."""
    return (
        counts.group_by("minute")
        .sum()
        .sort("minute")
        .with_columns(missing_pct=100 * (1 - pl.col("with_bar") / pl.col("active")))
        .filter(pl.col("active") >= params.min_active_symbols)
    )
