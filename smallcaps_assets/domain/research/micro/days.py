"""Windows and tape of any origin, where the tape of a symbol and New York date is one span."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.arrays import IntArray
from smallcaps_assets.domain.research.micro.axis import TapeRows, place_on_axis
from smallcaps_assets.domain.research.micro.params import MicroParams
from smallcaps_assets.domain.research.micro.tables import MICRO_WINDOWS
from smallcaps_assets.domain.sessions import new_york_dates
from smallcaps_assets.domain.tables import QUOTES, TRADES, UTC_NS

_TRADE_COLUMNS: Final = ("price", "size", "exchange", "conditions")
_QUOTE_COLUMNS: Final = ("bid_price", "bid_size", "ask_price", "ask_size")
# more than the days of any date since 1970
_DAYS_PER_SYMBOL: Final = 1_000_000
_DEFAULT_MIN: Final = {"window_before_min": 3, "window_after_min": 7}


class WindowsAndTape(NamedTuple):
    """What `micro_features` reads: MICRO_WINDOWS, and trades and quotes sorted by span."""

    windows: pl.DataFrame
    trades: pl.DataFrame
    quotes: pl.DataFrame


def spans_by_day(
    events: pl.DataFrame, trades: pl.DataFrame | None, quotes: pl.DataFrame | None, params: MicroParams
) -> WindowsAndTape:
    """Windows of `events` with the tape of their symbols and dates, as given: nothing is known of its thinning.

    Args:
        events: event_id, symbol, timestamp, direction; optional window_before_min and window_after_min (Int64; else 3
            and 7).
        trades: TRADES with `symbol` and optional `correction`, in any order; None: no file of them.
        quotes: QUOTES with `symbol`, in any order; None: no file of them.
        params: settings.
    """
    days = new_york_dates(events["timestamp"])
    symbols = events["symbol"].unique().sort()
    changed = params.quote_sizes_in_shares_from
    minutes = [
        pl.lit(value, pl.Int64).alias(name) for name, value in _DEFAULT_MIN.items() if name not in events.columns
    ]
    windows = events.with_columns(
        *minutes,
        span=_span_ids(events["symbol"], days, symbols),
        corrections_known=pl.lit(trades is not None and "correction" in trades.columns),
        quotes_hz=pl.lit(None, pl.Float64),
        quotes_hz_after=pl.lit(None, pl.Float64),
        quotes_by_change=pl.lit(False),
        quote_size_unit=pl.when(pl.lit(False) if changed is None else days < changed)
        .then(pl.lit("lots"))
        .otherwise(pl.lit("shares")),
        trades_state=pl.lit("missing"),
        quotes_state=pl.lit("missing"),
    ).select(*MICRO_WINDOWS)
    trade_rows = _rows(trades, TRADES, _TRADE_COLUMNS, symbols)
    quote_rows = _rows(quotes, QUOTES, _QUOTE_COLUMNS, symbols)
    if windows.is_empty():
        return WindowsAndTape(windows, trade_rows, quote_rows)
    placed, on_axis, quotes_on_axis = place_on_axis(windows, trade_rows, quote_rows)
    states = [
        _states(rows, placed.start, placed.end, placed.row).alias(name)
        for name, given, rows in (("trades_state", trades, on_axis), ("quotes_state", quotes, quotes_on_axis))
        if given is not None
    ]
    return WindowsAndTape(windows.with_columns(states), trade_rows, quote_rows)


def _span_ids(symbols: pl.Series, days: pl.Series, known: pl.Series) -> pl.Series:
    """A number for each symbol and date, ascending with both; `known` are all symbols, sorted."""
    runs = symbols.rle().struct.unnest()
    places = known.search_sorted(runs["value"]).to_numpy().astype(np.int64)
    number = pl.Series(np.repeat(places, runs["len"].to_numpy()))
    return (number * _DAYS_PER_SYMBOL + days.to_physical().cast(pl.Int64)).alias("span")


def _rows(rows: pl.DataFrame | None, schema: pl.Schema, columns: tuple[str, ...], symbols: pl.Series) -> pl.DataFrame:
    """The rows of `symbols` with their span, sorted."""
    if rows is None:
        kept = pl.Schema({"span": pl.Int64(), "timestamp": UTC_NS, **{name: schema[name] for name in columns}})
        return kept.to_frame()
    own = rows.filter(pl.col("symbol").is_in(symbols.implode()))
    span = _span_ids(own["symbol"], new_york_dates(own["timestamp"]), symbols)
    wanted = [*columns, *(["correction"] if "correction" in rows.columns else [])]
    spanned = own.select(span, pl.col("timestamp").cast(UTC_NS), "sequence_number", *wanted)
    return sort_rows(spanned, ("span", "timestamp", "sequence_number")).drop("sequence_number")


def sort_rows(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """`rows` sorted by some columns, nulls first, equal ones in their order; as they are where they are sorted."""
    is_equal, descends = pl.lit(value=True), pl.lit(value=False)
    for name in by:
        here, before = pl.col(name), pl.col(name).shift(1)
        descends |= is_equal & (here < before).fill_null(here.is_null() & before.is_not_null())
        is_equal &= here.eq_missing(before)
    # the first row has none before it
    is_sorted = not rows.select(descends.slice(1).any()).item()
    return rows if is_sorted else rows.sort(by, maintain_order=True)


def _states(rows: TapeRows, starts: IntArray, ends: IntArray, order: IntArray) -> pl.Series:
    """Whether each window has rows."""
    counts = np.searchsorted(rows.time, ends) - np.searchsorted(rows.time, starts)
    found = np.empty(len(order), dtype=object)
    found[order] = np.where(counts > 0, "complete", "empty")
    return pl.Series(found, dtype=pl.String)
