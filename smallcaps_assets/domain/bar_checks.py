"""Checks of minute bars: sessions and minutes that should be there and are not."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.params import Params

# One row per symbol and session that was asked for, with the number of its bars.
SESSION_BARS: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date(), "bars": pl.Int64()})


class BarCheckParams(Params):
    """When bars look incomplete. Per cent."""

    min_coverage_pct: float = Field(ge=0, le=100)
    min_symbols: int = Field(gt=0)
    max_empty_pct: float = Field(gt=0, le=100)
    last_sessions: int = Field(gt=0)
    min_active_symbols: int = Field(gt=0)
    active_minutes_pct: float = Field(gt=0, le=100)
    max_missing_pct: float = Field(gt=0, le=100)


def session_coverage(
    here: pl.DataFrame, followed: Mapping[str, date], due: Sequence[date], params: BarCheckParams
) -> Finding:
    """Every symbol that is followed has the sessions that are due up to the last day it is followed.

    Args:
        here: SESSION_BARS; a session without bars counts as there once it was asked for.
        followed: the symbols that are, each with the last day.
        due: the XNYS sessions to follow that are over.
        params: the bounds.
    """
    days, lasts = pl.Series(sorted(due), dtype=pl.Date), pl.Series(list(followed.values()), dtype=pl.Date)
    present = here.filter(pl.col("day").is_in(list(due))).group_by("symbol").agg(sessions=pl.len())
    judged = (
        pl.DataFrame({"symbol": list(followed)}, schema={"symbol": pl.String})
        .with_columns(due=days.search_sorted(lasts, "right"))
        .join(present, on="symbol", how="left", maintain_order="left")
        .with_columns(pl.col("sessions").fill_null(0))
        .filter(pl.col("due") > 0)
        .with_columns(pct=100 * pl.col("sessions") / pl.col("due"))
    )
    lacking = judged.filter(pl.col("pct") < params.min_coverage_pct)
    figures = {
        "symbols": len(followed),
        "sessions_due": len(due),
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


def missing_minutes(bars: pl.DataFrame, sessions: pl.DataFrame, params: BarCheckParams) -> Finding:
    """No minute of regular hours lacks the bars of most symbols that trade nearly all the time.

    Active on a session are the symbols with bars in `active_minutes_pct` of its regular minutes; a minute that more
    than `max_missing_pct` of them lack is one that the vendor, or we, lost. An interruption shows as long as it leaves
    symbols active; a whole session that is lost shows in `empty_sessions`. A halt of
    the whole market lacks its minutes as well, so this is something to look at, not a fault.

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
        .agg(minutes=pl.len(), regular=pl.col("regular").first())
        .filter(100 * pl.col("minutes") >= params.active_minutes_pct * pl.col("regular"))
    )
    present = inside.join(active, on=["symbol", "date"], how="semi").group_by("timestamp").agg(with_bar=pl.len())
    judged = (
        minutes.join(active.group_by("date").agg(active=pl.len()), on="date", how="inner")
        .join(present, left_on="minute", right_on="timestamp", how="left")
        .with_columns(with_bar=pl.col("with_bar").fill_null(0).cast(pl.Int64))
        .with_columns(missing_pct=100 * (1 - pl.col("with_bar") / pl.col("active")))
        .filter(pl.col("active") >= params.min_active_symbols)
    )
    lost = judged.filter(pl.col("missing_pct") > params.max_missing_pct)
    figures = {
        "sessions": sessions.height,
        "minutes": judged.height,
        "worst_missing_pct": float(judged["missing_pct"].max() or 0.0),  # type: ignore[arg-type]
        "at_most_pct": params.max_missing_pct,
    }
    return finding("missing_minutes", lost.select("minute", "active", "with_bar", "missing_pct"), figures, severe=False)
