"""Figures of the tape around each event, segment by segment (research specification, section 1).

Windows are computed in batches of bounded size; a figure depends on the rows that the specification names for it and
on nothing else in its batch.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from smallcaps_assets.domain.research.arrays import FloatArray, IntArray, micro_dollars, zero_filled
from smallcaps_assets.domain.research.columns import ResearchColumn
from smallcaps_assets.domain.research.micro.axis import EventWindows, TapeRows, place_on_axis
from smallcaps_assets.domain.research.micro.figures.book_columns import book_columns
from smallcaps_assets.domain.research.micro.figures.flow import Figures, VolumeTrades, flow_columns
from smallcaps_assets.domain.research.micro.figures.kyle import kyle_columns
from smallcaps_assets.domain.research.micro.figures.slippage import book_cost_columns, fill_columns, find_orders
from smallcaps_assets.domain.research.micro.figures.spreads import HORIZONS, spread_columns
from smallcaps_assets.domain.research.micro.params import MicroParams
from smallcaps_assets.domain.research.micro.quote_states import lay_grid, read_book
from smallcaps_assets.domain.research.micro.ranges import covered, range_totals
from smallcaps_assets.domain.research.micro.segments import M5, POST_ALL, SEGMENTS, SegmentRows, segment_rows
from smallcaps_assets.domain.research.micro.signs import JoinClock, TradeTape, sign_trades
from smallcaps_assets.domain.research.micro.tables import (
    CAPTURED_STATES,
    MICRO_COLUMNS,
    MICRO_FEATURES,
    MICRO_WINDOWS,
)
from smallcaps_assets.domain.research.tape.reading import TapeReading, read_trade_sets
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.tables import UTC_NS, UTC_US, match_columns

SHARES_PER_LOT: Final = 100
_NS_PER_MS: Final = 1_000_000
# trades, quotes and points of the grid that a batch holds at most; one window is never divided
_BATCH_ROWS: Final = 300_000
_BATCH_EVENTS: Final = 5_000


def micro_features(
    windows: pl.DataFrame,
    trades: pl.DataFrame,
    quotes: pl.DataFrame,
    reading: TapeReading,
) -> pl.DataFrame:
    """One row per event and segment inside its window (MICRO_FEATURES), by event_id and segment.

    Args:
        windows: MICRO_WINDOWS, one row per event. Trades or quotes whose state is none of CAPTURED_STATES are not
            known: what needs them is null. `quotes_hz_after` is the rate of the quotes after the event is known.
        trades: rows of tape (timestamp, price, size, exchange, conditions, optional correction) with `span`, sorted by
            span, timestamp and sequence_number; conditions of a span belong to one symbol. With the columns of
            `read_trade_sets`, where they are known.
        quotes: rows of tape (timestamp, prices, sizes) with `span`, sorted alike. The opening book of a window is the
            last row of its span before it.
        reading: rules and settings.

    Raises:
        InputError: tape is not sorted.
    """
    windows = match_columns(windows.lazy(), MICRO_WINDOWS, "windows of events").collect()
    if windows.is_empty():
        return MICRO_FEATURES.to_frame()
    placed, trade_rows, quote_rows = place_on_axis(windows, trades, quotes)
    tape = _Tape(placed, trade_rows, quote_rows, reading.params)
    facts, segments = windows[placed.row], segment_rows(placed)
    parts = [_batch(facts[batch[1]], batch[0], *tape.rows_of(batch), reading) for batch in tape.batches()]
    figures = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    rows = _frame(_key_columns(facts, placed, segments, reading), figures, facts, segments)
    return rows.sort("event_id", pl.col("segment").cast(pl.Enum(list(SEGMENTS))))


class _Tape:
    """All windows and their rows, from which batches are taken."""

    def __init__(self, windows: EventWindows, trades: TapeRows, quotes: TapeRows, params: MicroParams) -> None:
        self._windows = windows
        self._trades, self._quotes = trades, quotes
        self._trades_range = np.searchsorted(trades.time, windows.start), np.searchsorted(trades.time, windows.end)
        opening = np.searchsorted(quotes.time, windows.start) - 1
        first = np.maximum(opening, quotes.firsts[windows.span])
        self._quotes_range = first, np.searchsorted(quotes.time, windows.end)
        self._points = (windows.end - windows.start) // params.grid_step_ns

    def batches(self) -> Iterator["_Batch"]:
        """Consecutive windows within the limits of a batch, at least one."""
        rows = self._points.copy()
        for starts, ends in (self._trades_range, self._quotes_range):
            rows += ends - starts
        total = np.cumsum(rows)
        first = 0
        while first < len(rows):
            before = total[first] - rows[first]
            until = int(np.searchsorted(total, before + _BATCH_ROWS, side="right"))
            end = min(max(until, first + 1), first + _BATCH_EVENTS)
            yield self._windows.slice(first, end), slice(first, end)
            first = end

    def rows_of(self, batch: "_Batch") -> tuple["_Rows", "_Rows"]:
        """The trades and quotes that the windows of the batch read, once each."""
        part = batch[1]
        return (
            _select_rows(self._trades, self._trades_range[0][part], self._trades_range[1][part]),
            _select_rows(self._quotes, self._quotes_range[0][part], self._quotes_range[1][part]),
        )


_Batch = tuple[EventWindows, slice]
# rows of tape, their times, and the range of each event among them
_Rows = tuple[pl.DataFrame, IntArray, IntArray, IntArray]


def _select_rows(rows: TapeRows, starts: IntArray, ends: IntArray) -> _Rows:
    low, high = int(starts.min()), int(np.maximum(ends, starts).max())
    frame, time = rows.frame.slice(low, high - low), rows.time[low:high]
    starts, ends = starts - low, np.maximum(ends, starts) - low
    kept = covered(starts, ends, high - low)
    if kept.all():
        return frame, time, starts, ends
    place = np.append(0, np.cumsum(kept))
    return frame.filter(pl.Series(kept)), time[kept], place[starts], place[ends]


def _batch(facts: pl.DataFrame, events: EventWindows, trades: _Rows, quotes: _Rows, reading: TapeReading) -> Figures:
    """Every figure of every segment of some events, whose facts (MICRO_WINDOWS) are in their order."""
    params = reading.params
    segments = segment_rows(events)
    direction = np.where(facts["direction"].to_numpy() == "up", 1, -1)
    quote_frame, quote_time, first_quote, end_quote = quotes
    book = read_book(quote_frame, quote_time, _shares_per_unit(facts, first_quote, end_quote, quote_frame.height))
    grid = lay_grid(book, (first_quote, end_quote), events, params.grid_step_ns)
    volume, unknown = _volume_trades(trades, reading)
    signable = volume.tape.select(volume.signable)
    clock = JoinClock(params.sip_trade_lag_ms * _NS_PER_MS, HORIZONS)
    signed = sign_trades(signable, events, book, first_quote, clock)
    orders = find_orders(grid, direction, segments)
    trade_time = trades[1]
    return {
        **book_columns(grid, book, segments),
        **spread_columns(signed, book, segments, HORIZONS),
        **flow_columns(volume, events, segments, params),
        **kyle_columns(signed, grid, book, events, segments),
        **book_cost_columns(book, orders, segments),
        **fill_columns(volume, book, orders, segments, params),
        "unknown_condition_trades": range_totals(
            unknown, np.searchsorted(trade_time, segments.start), np.searchsorted(trade_time, segments.end)
        ),
    }


def _volume_trades(trades: _Rows, reading: TapeReading) -> tuple[VolumeTrades, npt.NDArray[np.bool_]]:
    """The trades that count in volume, and which of all trades have an unknown condition."""
    frame, time = trades[:2]
    sets = read_trade_sets(frame, reading)
    in_volume, executions, signable, unknown, sweep = (
        sets[name].to_numpy() for name in ("in_v", "in_x", "in_g", "has_unknown", "is_sweep")
    )
    prices, sizes = zero_filled(frame["price"]), zero_filled(frame["size"])
    off_exchange = (frame["exchange"] == reading.params.trf_exchange_id).fill_null(value=False).to_numpy()
    every = TradeTape(time, micro_dollars(prices), sizes, prices * sizes, off_exchange)
    volume = VolumeTrades(every.select(in_volume), executions[in_volume], signable[in_volume], sweep[in_volume])
    return volume, unknown


def _shares_per_unit(facts: pl.DataFrame, starts: IntArray, ends: IntArray, rows: int) -> FloatArray:
    """By which the sizes of each quote are multiplied: the unit goes by the date, so that events of a row agree."""
    in_lots = np.flatnonzero(facts["quote_size_unit"].to_numpy() == "lots")
    return np.where(covered(starts[in_lots], ends[in_lots], rows), float(SHARES_PER_LOT), 1.0)


def _key_columns(
    facts: pl.DataFrame, events: EventWindows, segments: SegmentRows, reading: TapeReading
) -> pl.DataFrame:
    shift = events.shift[segments.event]
    starts, ends = segments.start - shift, segments.end - shift
    bounds = reading.sessions.select("premarket_open", "regular_open", "regular_close", "afterhours_close")
    moments = np.unique(bounds.select(pl.all().cast(UTC_NS).to_physical()).to_numpy())
    crosses = moments.searchsorted(ends, side="left") > moments.searchsorted(starts, side="right")
    after, slower = segments.is_one_of(M5, POST_ALL), pl.min_horizontal("quotes_hz", "quotes_hz_after")
    session = with_session(facts.select("timestamp"), reading.sessions)["session"].cast(pl.String)
    return (
        facts.with_columns(session)[segments.event]
        .with_columns(
            segment=pl.Series(np.array(list(SEGMENTS), dtype=object)[segments.code], dtype=pl.String),
            available_at=pl.Series(ends).cast(UTC_NS).cast(UTC_US),
            seconds=pl.Series(segments.seconds.astype(np.float64)),
            crosses_session=pl.Series(crosses),
            capture_state=pl.format("{}/{}", "trades_state", "quotes_state"),
            quotes_hz=pl.when(pl.Series(after)).then(slower).otherwise("quotes_hz"),
            sip_trade_lag_ms=pl.lit(reading.params.sip_trade_lag_ms, pl.Int64),
        )
        .select(column.name for column in MICRO_COLUMNS if column.availability == "key")
    )


def _frame(keys: pl.DataFrame, columns: Figures, facts: pl.DataFrame, segments: SegmentRows) -> pl.DataFrame:
    """All columns with their types; null where a figure is NaN (a count: negative) or its half of the tape unknown."""
    is_known = {
        half: pl.Series(facts[f"{half}_state"].is_in(CAPTURED_STATES).fill_null(value=False).to_numpy()[segments.event])
        for half in ("trades", "quotes")
    }
    is_known["both"] = is_known["trades"] & is_known["quotes"]
    measures = [column for column in MICRO_COLUMNS if column.half != "none"]
    values = pl.DataFrame([pl.Series(column.name, columns[column.name]) for column in measures])
    # one pass over all columns: many small ones cost more than what they compute
    return keys.hstack(values.select(_figure(column, is_known[column.half]) for column in measures)).match_to_schema(
        MICRO_FEATURES
    )


def _figure(column: ResearchColumn, known: pl.Series) -> pl.Expr:
    values = pl.col(column.name)
    is_defined = pl.lit(known) & (values >= 0 if column.dtype in (pl.Int64, pl.Boolean) else values.is_not_nan())
    return pl.when(is_defined).then(values == 1 if column.dtype == pl.Boolean else values.cast(column.dtype))
