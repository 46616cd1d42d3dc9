"""Sessions, bounded by New York times: pre-market (PM), regular (RTH) and after-hours (AH); half open, in UTC."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final, Self
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.tables import SESSIONS, UTC_US

NEW_YORK: Final = "America/New_York"
_US_PER_H: Final = 3_600_000_000

# Official closes, one row per XNYS session.
CALENDAR: Final = pl.Schema({"date": pl.Date(), "close": UTC_US})

# Bounds of every session, one row per XNYS session.
SESSION_TABLE: Final = pl.Schema(
    {
        "date": pl.Date(),
        "premarket_open": UTC_US,
        "regular_open": UTC_US,
        "regular_close": UTC_US,
        "afterhours_close": UTC_US,
    }
)


def _parse_time(value: object) -> object:
    parsed = time.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(parsed, time) and parsed.tzinfo is None:
        return parsed
    raise ValueError('write a New York time in quotes, such as "09:30"; YAML reads it as a number without them')


NewYorkTime = Annotated[time, BeforeValidator(_parse_time)]


class SessionParams(Params):
    """New York times that bound the sessions of a day without an early close."""

    premarket_open: NewYorkTime
    regular_open: NewYorkTime
    regular_close: NewYorkTime
    afterhours_close: NewYorkTime
    afterhours_after_early_close_min: int = Field(gt=0, le=1_440)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        bounds = [self.premarket_open, self.regular_open, self.regular_close, self.afterhours_close]
        if bounds != sorted(set(bounds)):
            raise ValueError(
                "sessions overlap: premarket_open < regular_open < regular_close < afterhours_close must hold, found "
                + ", ".join(f"{bound:%H:%M}" for bound in bounds)
            )
        return self


def new_york_date(timestamp: pl.Expr) -> pl.Expr:
    """The ET date (Date) of a UTC timestamp."""
    return timestamp.dt.convert_time_zone(NEW_YORK).dt.date()


def new_york_dates(timestamps: pl.Series) -> pl.Series:
    """The ET dates (Date) of UTC timestamps, as `new_york_date`; faster where many without nulls lie close together.

    Since 1970 New York is a whole number of hours from UTC, so that one conversion serves all timestamps of an hour.
    """
    hours = timestamps.dt.epoch("us") // _US_PER_H
    first, last = hours.min(), hours.max()
    if timestamps.has_nulls() or not isinstance(first, int) or not isinstance(last, int):
        return _convert(timestamps)
    if first < 0 or last - first >= timestamps.len():
        return _convert(timestamps)
    starts = (pl.int_range(first, last + 1, eager=True) * _US_PER_H).cast(UTC_US)
    return _convert(starts).gather(hours - first)


def _convert(timestamps: pl.Series) -> pl.Series:
    return timestamps.to_frame().select(new_york_date(pl.first())).to_series()


def midnight(day: date) -> datetime:
    """The start of an ET date, in UTC."""
    return datetime.combine(day, time(), ZoneInfo(NEW_YORK)).astimezone(UTC)


def session_table(calendar: pl.DataFrame, params: SessionParams) -> pl.DataFrame:
    """Bounds of the sessions of each trading day (SESSION_TABLE) from its official close (CALENDAR).

    On an early-close day RTH ends at the official close and AH a fixed time after it, but not after midnight.
    """

    def at(new_york_time: time) -> pl.Expr:
        return pl.col("date").dt.combine(new_york_time).dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")

    closes_early = pl.col("close") < at(params.regular_close)
    next_midnight = pl.col("date").dt.offset_by("1d").dt.combine(time()).dt.replace_time_zone(NEW_YORK)
    early_close_end = pl.min_horizontal(
        pl.col("close") + timedelta(minutes=params.afterhours_after_early_close_min),
        next_midnight.dt.convert_time_zone("UTC"),
    )
    # a day whose configured open is after its early close has no regular hours
    opened, until = (
        at(params.regular_open),
        pl.when(closes_early).then(early_close_end).otherwise(at(params.afterhours_close)),
    )
    return (
        calendar.with_columns(regular_open=opened, until=until)
        .with_columns(
            premarket_open=at(params.premarket_open),
            regular_close=pl.max_horizontal(
                pl.when(closes_early).then("close").otherwise(at(params.regular_close)), opened
            ),
        )
        .with_columns(afterhours_close=pl.max_horizontal("until", "regular_close"))
        .select(*SESSION_TABLE)
        .match_to_schema(SESSION_TABLE)
    )


def with_session(rows: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """`rows` with `day` (ET Date), `session` and `regular_open` (UTC) of their `timestamp`; null outside every session.

    A `session` is one of SESSIONS, as an Enum: comparing it is much faster than comparing text.

    Args:
        rows: a frame with a `timestamp` (UTC), in any order.
        sessions: SESSION_TABLE that covers the dates of the rows.
    """
    ordered = sessions.sort("date")
    # the session that begins at each of the four bounds of a day; none begins at the last one
    names = pl.Series("session", [*SESSIONS, None], dtype=pl.Enum(SESSIONS))
    bound = np.arange(len(names) * ordered.height)
    after = ordered.select("regular_open", day="date")[bound // len(names)].hstack([names[bound % len(names)]])
    inside = after.with_columns(pl.when(pl.col("session").is_not_null()).then(pl.col("day", "regular_open")))
    table = pl.concat([inside.clear(1), inside])
    opens_and_closes = ordered.select("premarket_open", "regular_open", "regular_close", "afterhours_close")
    moments = opens_and_closes.select(pl.all().to_physical()).to_numpy().ravel()
    timestamps = rows["timestamp"].cast(ordered.schema["regular_open"])
    place = moments.searchsorted(timestamps.to_physical().to_numpy(), side="right")
    return rows.with_columns(table[place].get_columns())
