"""How tape is read: what each trade counts for, by rules, sessions and settings (research specification, 0.5)."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.micro.params import MicroParams
from smallcaps_assets.domain.research.tape.conditions import TRADE_SETS, with_trade_sets
from smallcaps_assets.domain.tables import UTC_NS

_NS_PER_MIN: Final = 60_000_000_000


class TapeReading(NamedTuple):
    """How tape is read.

    Attributes:
        rules: CONDITION_RULES of trades.
        sessions: SESSION_TABLE that covers the dates.
        params: settings.
    """

    rules: pl.DataFrame
    sessions: pl.DataFrame
    params: MicroParams


def read_trade_sets(trades: pl.DataFrame, reading: TapeReading) -> pl.DataFrame:
    """`trades` (timestamp, price, size, conditions, optional correction) with the columns of TRADE_SETS.

    Trades that have these columns already are returned as they are: whoever needs them twice reads them once.
    """
    if trades.schema.keys() >= set(TRADE_SETS):
        return trades
    regular = in_regular_hours(trades["timestamp"], reading.sessions)
    return with_trade_sets(trades.with_columns(regular=regular), reading.rules, reading.params)


def in_regular_hours(timestamps: pl.Series, sessions: pl.DataFrame) -> pl.Series:
    """Whether the whole minute of each timestamp lies in regular hours, see `conditions.is_regular`."""
    bounds = sessions.sort("regular_open").select(pl.col("regular_open", "regular_close").cast(UTC_NS).to_physical())
    # a minute is inside where it begins at or after the first that begins then
    moments = -(-bounds.to_numpy().ravel() // _NS_PER_MIN) * _NS_PER_MIN
    times = timestamps.cast(UTC_NS).to_physical().to_numpy()
    return pl.Series(moments.searchsorted(times, side="right") % 2 == 1)
