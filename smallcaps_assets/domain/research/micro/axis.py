"""One axis of time for the tape of many spans: spans lie behind each other in it, so that one search finds rows of all.

A moment of a span is its time in nanoseconds plus the shift of the span. Between two spans lies a gap that no horizon
bridges, so that what follows the last row of a span is never taken from the next.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.arrays import IntArray
from smallcaps_assets.domain.research.micro.params import SECOND_NS
from smallcaps_assets.domain.tables import UTC_NS
from smallcaps_assets.errors import InputError

_NS_PER_MIN: Final = 60 * SECOND_NS
_GAP_NS: Final = 300 * SECOND_NS
_AFTER_EVENT_NS: Final = 60 * SECOND_NS


@dataclass(frozen=True)
class EventWindows:
    """Windows of events on the axis, by span and time.

    Attributes:
        row: row of each event in the frame of windows.
        span: number of its span.
        start: its window begins (W0).
        event: the event's bar begins (T).
        known: the event is known (K).
        end: its window ends (W1).
        shift: what was added to its times.
    """

    row: IntArray
    span: IntArray
    start: IntArray
    event: IntArray
    known: IntArray
    end: IntArray
    shift: IntArray

    def slice(self, first: int, end: int) -> "EventWindows":
        """The windows first, ..., end - 1."""
        fields = (self.row, self.span, self.start, self.event, self.known, self.end, self.shift)
        return EventWindows(*(field[first:end] for field in fields))


@dataclass(frozen=True)
class TapeRows:
    """Rows of tape on the axis: the frame, their times, and the first row of each span."""

    frame: pl.DataFrame
    time: IntArray
    firsts: IntArray


def place_on_axis(
    windows: pl.DataFrame, trades: pl.DataFrame, quotes: pl.DataFrame
) -> tuple[EventWindows, TapeRows, TapeRows]:
    """The windows and the rows of their spans; rows of other spans are left out.

    Args:
        windows: span, timestamp, window_before_min, window_after_min.
        trades: rows with span and timestamp, sorted by both.
        quotes: the same.

    Raises:
        InputError: the rows of trades or quotes are not sorted.
    """
    event = windows["timestamp"].cast(UTC_NS).to_physical().to_numpy().astype(np.int64)
    start = event - windows["window_before_min"].to_numpy() * _NS_PER_MIN
    end = event + windows["window_after_min"].to_numpy() * _NS_PER_MIN
    spans, span = np.unique(windows["span"].cast(pl.Int64).to_numpy(), return_inverse=True)
    lowest, highest = _extent(span, start, end, len(spans))
    tapes = []
    for what, frame in (("trades", trades), ("quotes", quotes)):
        rows, counts = _rows_of(frame, spans)
        times = rows["timestamp"].cast(UTC_NS).to_physical().to_numpy()
        firsts = np.cumsum(counts) - counts
        descends = np.diff(times) < 0
        descends[firsts[(firsts > 0) & (firsts < len(times))] - 1] = False
        if descends.any():
            raise InputError(f"{what}: rows are not sorted by span and timestamp; sort them before.")
        some = counts > 0
        lowest[some] = np.minimum(lowest[some], times[firsts[some]])
        highest[some] = np.maximum(highest[some], times[firsts[some] + counts[some] - 1])
        tapes.append((rows, times, firsts, counts))
    lengths = highest - lowest + _GAP_NS
    shift = np.cumsum(lengths) - lengths - lowest
    order = np.lexsort((windows["event_id"].rank("ordinal").to_numpy(), event, span))
    by_event = shift[span]
    placed = (span, start + by_event, event + by_event, event + by_event + _AFTER_EVENT_NS, end + by_event, by_event)
    trade_rows, quote_rows = (
        TapeRows(rows, times + np.repeat(shift, counts), firsts) for rows, times, firsts, counts in tapes
    )
    return EventWindows(order, *(column[order] for column in placed)), trade_rows, quote_rows


def _extent(span: IntArray, start: IntArray, end: IntArray, spans: int) -> tuple[IntArray, IntArray]:
    """The first and the last moment of the windows of each span."""
    lowest = np.full(spans, np.iinfo(np.int64).max)
    highest = np.full(spans, np.iinfo(np.int64).min)
    np.minimum.at(lowest, span, start)
    np.maximum.at(highest, span, end)
    return lowest, highest


def _rows_of(frame: pl.DataFrame, spans: IntArray) -> tuple[pl.DataFrame, IntArray]:
    """The rows of `spans`, and how many each has."""
    column = frame["span"].cast(pl.Int64).to_numpy()
    if (np.diff(column) < 0).any():
        raise InputError("tape: rows are not sorted by span; sort them before.")
    firsts = column.searchsorted(spans, side="left")
    counts = column.searchsorted(spans, side="right") - firsts
    if counts.sum() == len(column):
        return frame, counts
    kept = np.isin(column, spans)
    return frame.filter(pl.Series(kept)), counts
