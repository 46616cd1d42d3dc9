"""Days that could hold the control of an event, and why others cannot (research specification, section 7)."""

from datetime import timedelta
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.borders import NO_BORDERS, ListingBorders
from smallcaps_assets.domain.research.controls.intervals import count_inside
from smallcaps_assets.domain.research.controls.params import ControlParams
from smallcaps_assets.domain.sessions import NEW_YORK, SessionParams, with_session
from smallcaps_assets.domain.tables import UTC_US

# Why a day cannot hold a control, in the order in which it is judged; the first that holds is its reason.
REASONS: Final = ("other_session", "early_close", "split_since", "other_listing", "event_near", "few_bars")
# `lost` is one of REASONS, null where the day passes; `day` the ET date, `timestamp` the control's minute, null where
# the clock has no such time on that day.
CANDIDATE_DAYS: Final = pl.Schema(
    {
        "control_of": pl.String(),
        "symbol": pl.String(),
        "day": pl.Date(),
        "timestamp": UTC_US,
        "start": UTC_US,
        "end": UTC_US,
        "lost": pl.String(),
    }
)
# moment in place of a time that a day does not have
_NEVER: Final = pl.lit(0).cast(UTC_US)


class ControlMarket(NamedTuple):
    """What days are judged by besides their bars.

    Attributes:
        master: `symbol` and `timestamp` of every event of MASTER, before any filter of a manifest.
        splits: SPLITS; None if they are not known: then no day is lost to one.
        sessions: SESSION_TABLE of the dates of the events and of at least `control_days` sessions before the first.
        bounds: the bounds of the sessions.
        borders: where tickers change their owners: a day of another owner holds no control.
    """

    master: pl.DataFrame
    splits: pl.DataFrame | None
    sessions: pl.DataFrame
    bounds: SessionParams
    borders: ListingBorders = NO_BORDERS


def candidate_days(events: pl.DataFrame, market: ControlMarket, params: ControlParams) -> pl.DataFrame:
    """The `control_days` trading days before each event (CANDIDATE_DAYS), judged by all but their bars.

    The latest day of an event comes first.

    Args:
        events: rows of a manifest (MANIFEST).
        market: what the days are judged by.
        params: the rules.
    """
    sessions = market.sessions
    days = _same_clock_days(events, _numbered(sessions, market.bounds), params.control_days)
    moments = days.select("symbol", pl.col("timestamp").fill_null(_NEVER))
    session = with_session(moments, sessions)["session"].cast(pl.String)
    at, clear = moments["timestamp"], timedelta(minutes=params.control_clear_min)
    near = count_inside(market.master, moments.select("symbol", start=at - clear, end=at + clear))
    failing = {
        "other_session": (session != days["session"]).fill_null(value=True),
        "early_close": days["closes_early"] != days["event_closes_early"],
        "split_since": _splits_between(days, market.splits) > 0,
        "other_listing": pl.Series(market.borders.owners(days) != market.borders.owners(days, "event_day")),
        "event_near": near > 0,
    }
    lost = pl.lit(None, pl.String)
    for reason in reversed(failing):
        lost = pl.when(failing[reason]).then(pl.lit(reason)).otherwise(lost)
    return days.with_columns(lost=lost).select(*CANDIDATE_DAYS).match_to_schema(CANDIDATE_DAYS)


def judge_bars(days: pl.DataFrame, bars: pl.DataFrame, params: ControlParams) -> pl.DataFrame:
    """Candidate days (CANDIDATE_DAYS) judged by the bars of their windows as well.

    Args:
        days: of which those without a reason are judged; the others stay as they are.
        bars: `symbol` and `timestamp` of the published bars of the windows.
        params: the rules.
    """
    whole = days.select("symbol", pl.col("start", "end").fill_null(_NEVER))
    few = count_inside(bars, whole) < params.control_min_bars
    reason = pl.when(pl.col("lost").is_null() & few).then(pl.lit(REASONS[-1])).otherwise("lost")
    return days.with_columns(lost=reason)


def _numbered(sessions: pl.DataFrame, bounds: SessionParams) -> pl.DataFrame:
    """The sessions in order: `day`, `number` and whether each closes early."""
    closed = pl.col("regular_close").dt.convert_time_zone(NEW_YORK).dt.time()
    return sessions.sort("date").select(
        day="date", number=pl.int_range(pl.len(), dtype=pl.Int64), closes_early=closed < bounds.regular_close
    )


def _same_clock_days(events: pl.DataFrame, numbered: pl.DataFrame, count: int) -> pl.DataFrame:
    """The `count` sessions before each event, with the event's New York time on them and the window around it."""
    local = pl.col("timestamp").dt.convert_time_zone(NEW_YORK).dt
    own = events.select(
        "symbol",
        "session",
        "window_before_min",
        "window_after_min",
        control_of="event_id",
        clock=local.time(),
        event_day=local.date(),
    )
    back = pl.DataFrame({"back": range(1, count + 1)}, schema={"back": pl.Int64})
    of_event = numbered.rename({"day": "event_day", "closes_early": "event_closes_early"})
    days = (
        own.join(of_event, on="event_day", how="inner", maintain_order="left")
        .join(back, how="cross", maintain_order="left")
        .with_columns(number=pl.col("number") - pl.col("back"))
        .join(numbered, on="number", how="inner", maintain_order="left")
    )
    then = pl.col("day").dt.combine(pl.col("clock"))
    zoned = then.dt.replace_time_zone(NEW_YORK, ambiguous="earliest", non_existent="null")
    return days.with_columns(timestamp=zoned.dt.convert_time_zone("UTC").cast(UTC_US)).with_columns(
        start=pl.col("timestamp") - pl.duration(minutes="window_before_min"),
        end=pl.col("timestamp") + pl.duration(minutes="window_after_min"),
    )


def _splits_between(days: pl.DataFrame, splits: pl.DataFrame | None) -> pl.Series:
    """How many splits of the symbol were executed after each day, up to and on the date of the event."""
    if splits is None:
        return pl.zeros(days.height, dtype=pl.Int64, eager=True)
    executed = splits.select("symbol", timestamp="execution_date")
    after = timedelta(days=1)
    return count_inside(executed, days.select("symbol", start=pl.col("day") + after, end=pl.col("event_day") + after))
