"""Checks of minute bars: sessions and minutes that should be there and are not."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.tables import UTC_US

# One row per symbol and session that was asked for, with the number of its bars.
SESSION_BARS: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date(), "bars": pl.Int64()})
# One row per symbol and session that it should have.
EXPECTED: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date()})
# Of each regular minute: how many symbols are active on its session, and how many of them have a bar in it.
MINUTES: Final = pl.Schema({"minute": UTC_US, "active": pl.Int64(), "with_bar": pl.Int64()})
# Minutes in a row that most active symbols lack: how many symbols are active at least, and have a bar at most.
LOST: Final = pl.Schema(
    {"first": UTC_US, "last": UTC_US, "minutes": pl.Int64(), "active": pl.Int64(), "with_bar": pl.Int64()}
)


class BarCheckParams(Params):
    """When bars look incomplete. Per cent."""

    min_coverage_pct: float = Field(ge=0, le=100)
    min_symbols: int = Field(gt=0)
    max_empty_pct: float = Field(gt=0, le=100)
    last_sessions: int = Field(gt=0)
    min_active_symbols: int = Field(gt=0)
    active_minutes_pct: float = Field(gt=0, le=100)
    max_missing_pct: float = Field(gt=0, le=100)
    min_volumes: int = Field(ge=20)
    max_odd_pct: float = Field(ge=0, le=20)


def expected_sessions(listings: pl.DataFrame, due: Sequence[date]) -> pl.DataFrame:
    """The sessions that symbols should have (EXPECTED): those due from the first day of the listing to the last.

    Args:
        listings: `symbol`, `listed` and `delisted`, null where unknown or listed still.
        due: the XNYS sessions to follow that are over.
    """
    days = pl.LazyFrame({"day": sorted(due)}, schema={"day": EXPECTED["day"]})
    day = pl.col("day")
    inside = (day >= pl.col("listed")).fill_null(True) & (day <= pl.col("delisted")).fill_null(True)
    return listings.lazy().join(days, how="cross").filter(inside).select(*EXPECTED).collect()


def session_coverage(here: pl.DataFrame, expected: pl.DataFrame, params: BarCheckParams) -> Finding:
    """Every symbol that is followed has the sessions that it should have.

    Args:
        here: SESSION_BARS; a session without bars counts as there once it was asked for.
        expected: EXPECTED of the symbols that are followed.
        params: the bounds.
    """
    present = expected.join(here, on=["symbol", "day"], how="semi").group_by("symbol").agg(sessions=pl.len())
    judged = (
        expected.group_by("symbol")
        .agg(due=pl.len())
        .join(present, on="symbol", how="left")
        .with_columns(pl.col("sessions").fill_null(0))
        .with_columns(pct=100 * pl.col("sessions") / pl.col("due"))
    )
    lacking = judged.filter(pl.col("pct") < params.min_coverage_pct)
    figures = {
        "symbols": judged.height,
        "sessions_due": expected["day"].n_unique(),
        "present_pct": 100.0 if judged.is_empty() else float(judged["pct"].mean()),  # type: ignore[arg-type]
        "at_least_pct": params.min_coverage_pct,
    }
    return finding("session_coverage", lacking.sort("pct", "symbol"), figures, severe=False)


def empty_sessions(here: pl.DataFrame, params: BarCheckParams) -> Finding:
    """No session lacks all bars of many symbols that have bars before and after it.

    Args:
        here: SESSION_BARS.
        params: the bounds.
    """
    traded = pl.col("day").filter(pl.col("bars") > 0)
    alive = here.with_columns(first=traded.min().over("symbol"), last=traded.max().over("symbol")).filter(
        pl.col("day").is_between("first", "last")
    )
    by_day = alive.group_by("day").agg(symbols=pl.len(), empty=(pl.col("bars") == 0).sum())
    judged = by_day.with_columns(empty_pct=100 * pl.col("empty") / pl.col("symbols"))
    many = (pl.col("symbols") >= params.min_symbols) & (pl.col("empty_pct") > params.max_empty_pct)
    figures = {"sessions": judged.height, "at_most_pct": params.max_empty_pct}
    return finding("empty_sessions", judged.filter(many).sort("day"), figures)


def minute_counts(bars: pl.DataFrame, sessions: pl.DataFrame, params: BarCheckParams) -> pl.DataFrame:
    """How many active symbols there are in each regular minute, and how many of them have a bar in it (MINUTES).

    Active on a session are the symbols with bars in `active_minutes_pct` of its regular minutes, or in the median of
    their sessions of its month: who trades all the time is expected to also where half a session is lost. The counts
    of different symbols add up.

    Args:
        bars: `symbol` and `timestamp` of bars.
        sessions: SESSION_TABLE of the sessions to look at.
        params: the bounds.
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
    """No minute of regular hours lacks the bars of most symbols that trade nearly all the time.

    A minute that more than `max_missing_pct` of the active symbols lack is one that the vendor, or we, lost. An
    interruption shows as long as it leaves symbols active; a whole session that is lost shows in `empty_sessions`. A
    halt of the whole market lacks its minutes as well, so this is something to look at, not a fault.

    Args:
        counts: MINUTES, of different symbols one below the other.
        params: the bounds.
    """
    judged = _judged_minutes(counts, params)
    lost = judged.filter(pl.col("missing_pct") > params.max_missing_pct)
    figures = {
        "sessions": judged["minute"].dt.date().n_unique(),
        "minutes": judged.height,
        "worst_missing_pct": float(judged["missing_pct"].max() or 0.0),  # type: ignore[arg-type]
        "at_most_pct": params.max_missing_pct,
    }
    return finding("missing_minutes", lost.select("minute", "active", "with_bar", "missing_pct"), figures, severe=False)


def lost_stretches(counts: pl.DataFrame, params: BarCheckParams) -> pl.DataFrame:
    """The minutes that break `missing_minutes`, those in a row as one stretch (LOST); arguments as there."""
    lost = _judged_minutes(counts, params).filter(pl.col("missing_pct") > params.max_missing_pct)
    apart = pl.col("minute").diff().fill_null(timedelta()) > timedelta(minutes=1)
    return (
        lost.with_columns(stretch=apart.cum_sum())
        .group_by("stretch", maintain_order=True)
        .agg(
            first=pl.col("minute").min(),
            last=pl.col("minute").max(),
            minutes=pl.len().cast(pl.Int64),
            active=pl.col("active").min(),
            with_bar=pl.col("with_bar").max(),
        )
        .select(*LOST)
    )


def _judged_minutes(counts: pl.DataFrame, params: BarCheckParams) -> pl.DataFrame:
    """The minutes of which something can be said, each once, with the share of active symbols that lack it."""
    return (
        counts.group_by("minute")
        .sum()
        .sort("minute")
        .with_columns(missing_pct=100 * (1 - pl.col("with_bar") / pl.col("active")))
        .filter(pl.col("active") >= params.min_active_symbols)
    )
