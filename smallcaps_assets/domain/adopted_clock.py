"""The clocks by which an earlier system told time, and whether it can be so."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.foreign import Unit
from smallcaps_assets.domain.sessions import with_session

# fewer rows outside every session are no sign of a wrong clock
_LEAST_OUTSIDE: Final = 5


class Clock(NamedTuple):
    """How timestamps are read that do not say it themselves.

    `timezone` is where clocks stood that name no zone; `unit` that of whole numbers since 1970.
    """

    timezone: str | None
    unit: Unit | None


def share_outside(rows: pl.DataFrame, sessions: pl.DataFrame) -> float:
    """Which share of `timestamp` lies outside every session; 0 where they are so few that it says nothing."""
    placed = with_session(rows.select("timestamp").drop_nulls(), sessions)["session"]
    return placed.null_count() / placed.len() if placed.null_count() >= _LEAST_OUTSIDE else 0.0


def on_clocks_of(rows: pl.DataFrame, said: str, zone: str) -> pl.DataFrame:
    """Rows whose times were read off clocks of the zone `said` as if those had stood in `zone`."""
    shown = pl.col("timestamp").dt.convert_time_zone(said).dt.replace_time_zone(None)
    moved = shown.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
    return rows.with_columns(moved)
