"""Time zones of imported events: how timestamps are read, and whether bars and sessions contradict the zone."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.imports.columns import Unit
from smallcaps_assets.domain.sessions import with_session

# fewer rows outside every session are no evidence of a wrong zone
_LEAST_OUTSIDE: Final = 5
# fewer events on days with bars are no evidence about the zone
_LEAST_COMPARED: Final = 100
# 32-bit figures have seven digits
_SAME_SHARE: Final = 1e-6

_OF_BARS: Final = ("symbol", "timestamp", "bar_close", "bar_volume")


class TimestampForm(NamedTuple):
    """How to read timestamps without a zone (`timezone`) and integer timestamps (`unit` since 1970)."""

    timezone: str | None
    unit: Unit | None


class Agreement(NamedTuple):
    """How many events lie on days with bars of their symbol (`compared`), and how many of these match their bar."""

    compared: int
    same: int

    @property
    def share(self) -> float:
        """Share of events that match their bar; 1 where fewer than 100 were compared."""
        return self.same / self.compared if self.compared >= _LEAST_COMPARED else 1.0

    def plus(self, other: "Agreement") -> "Agreement":
        """The sum of both."""
        return Agreement(self.compared + other.compared, self.same + other.same)


def matches_bar() -> pl.Expr:
    """Whether `close` and `volume` equal `bar_close` and `bar_volume`; false without a bar."""
    return pl.all_horizontal(
        (pl.col(name) - pl.col(f"bar_{name}")).abs() <= _SAME_SHARE * pl.col(name) for name in ("close", "volume")
    ).fill_null(value=False)


def measure_agreement(
    events: pl.DataFrame, sessions: pl.DataFrame, bars: pl.DataFrame, days: pl.DataFrame
) -> Agreement:
    """Count the events that lie on a bar with their close and volume; of several rows of one event one is enough.

    Args:
        events: `symbol`, `event_type`, `timestamp`, `close` and `volume`; rows outside every session are ignored.
        sessions: SESSION_TABLE that covers their dates.
        bars: `symbol`, `timestamp`, `bar_close` and `bar_volume` of the minutes of the events at least.
        days: `symbol` and `day` with bars; events of other days are ignored.
    """
    usable = pl.all_horizontal(pl.col("close", "volume").is_finite()) & pl.col("timestamp").is_not_null()
    counted = (
        with_session(events.filter(usable), sessions)
        .join(days, on=["symbol", "day"], how="semi")
        .join(bars.select(_OF_BARS), on=["symbol", "timestamp"], how="left")
        .group_by("symbol", "event_type", "timestamp")
        .agg(same=matches_bar().any())
    )
    return Agreement(counted.height, int(counted["same"].sum()))


def share_outside(rows: pl.DataFrame, sessions: pl.DataFrame) -> float:
    """Share of `timestamp` outside every session; 0 where fewer than 5 are."""
    placed = with_session(rows.select("timestamp").drop_nulls(), sessions)["session"]
    return placed.null_count() / placed.len() if placed.null_count() >= _LEAST_OUTSIDE else 0.0


def reinterpret_zone(rows: pl.DataFrame, given: str, zone: str) -> pl.DataFrame:
    """Rows whose timestamps were read in zone `given`, read in `zone` instead."""
    shown = pl.col("timestamp").dt.convert_time_zone(given).dt.replace_time_zone(None)
    moved = shown.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
    return rows.with_columns(moved)
