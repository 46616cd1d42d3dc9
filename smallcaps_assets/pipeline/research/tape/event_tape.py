"""The rows of tape that each window reads, with the sets of conditions that its trades belong to."""

from typing import NamedTuple

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.micro.axis import place_on_axis
from smallcaps_assets.domain.research.micro.days import WindowsAndTape
from smallcaps_assets.domain.research.tape.reading import TapeReading, read_trade_sets
from smallcaps_assets.domain.research.tape.tape_halts import RowRanges, WindowTape
from smallcaps_assets.domain.sessions import new_york_date


class EventTape(NamedTuple):
    """Events on trading days, and the tape of their windows, in the same order.

    Attributes:
        events: event_id, symbol, timestamp, date, window_start, window_end.
        tape: the rows of each.
        trades: number of trades in each window.
        quotes: number of quotes in each window, without its opening book.
    """

    events: pl.DataFrame
    tape: WindowTape
    trades: pl.Series
    quotes: pl.Series


def tape_of_windows(events: pl.DataFrame, tape: WindowsAndTape, reading: TapeReading) -> EventTape:
    """The tape of each event on a trading day, by span and time.

    Args:
        events: event_id, symbol, timestamp, window_before_min and window_after_min of the windows, in their order.
        tape: the windows and the rows of their spans.
        reading: rules, sessions and settings.
    """
    placed, trades, quotes = place_on_axis(*tape)
    starts, ends = np.searchsorted(quotes.time, placed.start), np.searchsorted(quotes.time, placed.end)
    ranges = [
        RowRanges(np.searchsorted(trades.time, placed.start), np.searchsorted(trades.time, placed.end)),
        RowRanges(np.maximum(starts - 1, quotes.firsts[placed.span]), ends),
    ]
    counts = [ranges[0].last - ranges[0].first, ends - starts]
    own = events.select(
        "event_id",
        "symbol",
        "timestamp",
        date=new_york_date(pl.col("timestamp")).dt.to_string("%Y-%m-%d"),
        window_start=pl.col("timestamp") - pl.duration(minutes="window_before_min"),
        window_end=pl.col("timestamp") + pl.duration(minutes="window_after_min"),
    )[placed.row]
    trading = own["date"].is_in(reading.sessions["date"].dt.to_string("%Y-%m-%d").implode()).arg_true().to_numpy()
    trade_rows, quote_rows = (RowRanges(rows.first[trading], rows.last[trading]) for rows in ranges)
    window_tape = WindowTape(read_trade_sets(trades.frame, reading), trade_rows, quotes.frame, quote_rows)
    of_trades, of_quotes = (pl.Series(count[trading], dtype=pl.Int64) for count in counts)
    return EventTape(own[trading], window_tape, of_trades, of_quotes)
