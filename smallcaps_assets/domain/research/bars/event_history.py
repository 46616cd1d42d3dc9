"""The candidates of a symbol before an event (research specification, section 8)."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from smallcaps_assets.domain.sessions import new_york_dates

EVENT_HISTORY: Final = pl.Schema(
    {
        "event_number_in_day": pl.Int64(),
        "minutes_since_last_event": pl.Float64(),
        "events_last_5min": pl.Int64(),
        "days_since_last_event": pl.Int64(),
    }
)
_Keys = npt.NDArray[np.int64]
_US_PER_MIN: Final = 60_000_000
# a key holds the number of the symbol, the day and the minute since the epoch
_MINUTE_BITS: Final = 26
_DAY_BITS: Final = 17
_MAX_DAYS_BACK: Final = 20
_RECENT_MIN: Final = 5


def with_event_history(events: pl.DataFrame, candidates: pl.DataFrame | None, sessions: pl.DataFrame) -> pl.DataFrame:
    """`events` with the columns of EVENT_HISTORY: how many candidates came before, and how long ago.

    Args:
        events: with `symbol`, `timestamp` (start of a minute) and `day` (ET Date).
        candidates: CANDIDATES of the same symbols; None if detection kept none: the columns are null.
        sessions: SESSION_TABLE that covers both.
    """
    if candidates is None:
        return events.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in EVENT_HISTORY.items())
    earlier = candidates.with_columns(day=new_york_dates(candidates["timestamp"]))
    symbols = pl.concat([events["symbol"], earlier["symbol"]]).unique().sort()
    keys = np.sort(_keys(earlier, symbols))
    own = _keys(events, symbols)
    day_start = keys.searchsorted(own >> _MINUTE_BITS << _MINUTE_BITS, side="left")
    before = keys.searchsorted(own, side="left")
    recent = keys.searchsorted(own - _RECENT_MIN, side="left")
    padded = np.append(keys, 0)
    number = before - day_start
    minutes = pl.Series((own - padded[before - 1]).astype(np.float64))
    # the last candidate of an earlier day of the same symbol
    last = padded[day_start - 1]
    same_symbol = (day_start > 0) & (last >> _DAY_BITS + _MINUTE_BITS == own >> _DAY_BITS + _MINUTE_BITS)
    trading_days = sessions["date"].sort().to_physical().to_numpy()
    days = trading_days.searchsorted(events["day"].to_physical().to_numpy()) - trading_days.searchsorted(
        last >> _MINUTE_BITS & (1 << _DAY_BITS) - 1
    )
    reached = same_symbol & (days >= 1) & (days <= _MAX_DAYS_BACK)
    return events.with_columns(
        pl.Series("event_number_in_day", number + 1, dtype=pl.Int64),
        minutes.set(pl.Series(number == 0), None).alias("minutes_since_last_event"),
        pl.Series("events_last_5min", before - np.maximum(recent, day_start), dtype=pl.Int64),
        pl.Series("days_since_last_event", days, dtype=pl.Int64).set(pl.Series(~reached), None),
    )


def _keys(rows: pl.DataFrame, symbols: pl.Series) -> _Keys:
    """One number per row, in the order of symbol, day and minute."""
    symbol = symbols.search_sorted(rows["symbol"]).to_numpy().astype(np.int64)
    day = rows["day"].to_physical().to_numpy().astype(np.int64)
    minute = rows["timestamp"].dt.epoch("us").to_numpy() // _US_PER_MIN
    keys: _Keys = (symbol << _DAY_BITS + _MINUTE_BITS) + (day << _MINUTE_BITS) + minute
    return keys
