"""The clocks by which an earlier system told time, and whether it can be so."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.imports.columns import Unit
from smallcaps_assets.domain.sessions import with_session

# fewer rows outside every session are no sign of a wrong clock
_LEAST_OUTSIDE: Final = 5
# fewer events on days with bars say nothing about the clock
_LEAST_HELD: Final = 100
# A figure in 32 bits has seven digits.
_SAME_SHARE: Final = 1e-6

_OF_BARS: Final = ("symbol", "timestamp", "bar_close", "bar_volume")


class Clock(NamedTuple):
    """How timestamps are read that do not say it themselves.

    `timezone` is where clocks stood that name no zone; `unit` that of whole numbers since 1970.
    """

    timezone: str | None
    unit: Unit | None


class Agreement(NamedTuple):
    """How many events lie on days with bars of their symbol, and how many of these on the bar that they tell of."""

    held: int
    same: int

    @property
    def share(self) -> float:
        """Which share of the events lies on its bar; all where they are so few that it says nothing."""
        return self.same / self.held if self.held >= _LEAST_HELD else 1.0

    def plus(self, other: "Agreement") -> "Agreement":
        """Both together."""
        return Agreement(self.held + other.held, self.same + other.same)


def same_bar() -> pl.Expr:
    """Whether `close` and `volume` are those of the bar, `bar_close` and `bar_volume`; false where there is none."""
    return pl.all_horizontal(
        (pl.col(name) - pl.col(f"bar_{name}")).abs() <= _SAME_SHARE * pl.col(name) for name in ("close", "volume")
    ).fill_null(value=False)


def agreement(events: pl.DataFrame, sessions: pl.DataFrame, bars: pl.DataFrame, days: pl.DataFrame) -> Agreement:
    """How many of the events lie on bars with their close and volume; of rows of one event one is enough.

    Args:
        events: `symbol`, `event_type`, `timestamp`, `close` and `volume`; those outside every session do not count.
        sessions: SESSION_TABLE that covers their dates.
        bars: `symbol`, `timestamp`, `bar_close` and `bar_volume` of the minutes of the events at least.
        days: `symbol` and `day` of which bars are known; events of other days do not count.
    """
    usable = pl.all_horizontal(pl.col("close", "volume").is_finite()) & pl.col("timestamp").is_not_null()
    counted = (
        with_session(events.filter(usable), sessions)
        .join(days, on=["symbol", "day"], how="semi")
        .join(bars.select(_OF_BARS), on=["symbol", "timestamp"], how="left")
        .group_by("symbol", "event_type", "timestamp")
        .agg(same=same_bar().any())
    )
    return Agreement(counted.height, int(counted["same"].sum()))


def share_outside(rows: pl.DataFrame, sessions: pl.DataFrame) -> float:
    """Which share of `timestamp` lies outside every session; 0 where they are so few that it says nothing."""
    placed = with_session(rows.select("timestamp").drop_nulls(), sessions)["session"]
    return placed.null_count() / placed.len() if placed.null_count() >= _LEAST_OUTSIDE else 0.0


def on_clocks_of(rows: pl.DataFrame, said: str, zone: str) -> pl.DataFrame:
    """Rows whose times were read off clocks of the zone `said` as if those had stood in `zone`."""
    shown = pl.col("timestamp").dt.convert_time_zone(said).dt.replace_time_zone(None)
    moved = shown.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
    return rows.with_columns(moved)
