"""Halts and short sale restriction seen in the tape of an event's window (research specification, section 5.3)."""

from datetime import timedelta
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.prices import micro
from smallcaps_assets.domain.research.tape.conditions import MESSAGES, carries
from smallcaps_assets.domain.tables import UTC_NS

EVENT_TAPE_STATE: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "in_halt_aftermath": pl.Boolean(),
        "halt_in_window": pl.Boolean(),
        "ssr_condition": pl.Boolean(),
    }
)
_Indices = npt.NDArray[np.int64]
_NS_PER_S: Final = 1_000_000_000
_QUOTE_VALUES: Final = ("bid_price", "bid_size", "ask_price", "ask_size")


class TapeHaltParams(Params):
    """When a gap in the tape is a halt. Fields are keys of `research:`."""

    grid_hz: int = Field(default=5, gt=0)
    tape_halt_min_gap_s: int = Field(default=285, gt=0)
    tape_halt_min_trades: int = Field(default=50, gt=0)
    tape_halt_busy_s: int = Field(default=300, gt=0)
    tape_halt_still_share: float = Field(default=0.8, ge=0, le=1)


class RowRanges(NamedTuple):
    """The rows [first, last) of a table that each event reads."""

    first: _Indices
    last: _Indices


class WindowTape(NamedTuple):
    """The tape of many windows; the rows of each are in order of time.

    Attributes:
        trades: `timestamp`, `conditions`, Boolean `in_v` (see `with_trade_sets`), `correction` if known.
        trade_rows: trades of each event's window.
        quotes: `timestamp`, prices and sizes; None without quotes: then no halts are found.
        quote_rows: quotes of each event's window, after the opening book where there is one.
    """

    trades: pl.DataFrame
    trade_rows: RowRanges
    quotes: pl.DataFrame | None
    quote_rows: RowRanges


class _Gaps(NamedTuple):
    """Gaps of events: number of the event, place of the trade before among those of V, bounds in ns, trades before."""

    event: _Indices
    place: _Indices
    start: _Indices
    end: _Indices
    n5: _Indices


def tape_halts(
    events: pl.DataFrame, tape: WindowTape, sessions: pl.DataFrame, params: TapeHaltParams
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The halts (HALTS, confidence 2) of each window, by event and start, and in their order `ended_by_trade`.

    A halt is a long gap between trades of V in RTH, or from the last of them to the end of the window or of RTH, after
    many trades, over which the book is not normal or stays as it is.

    Args:
        events: event_id, symbol, date, window_start, window_end.
        tape: of their windows, in the order of the events.
        sessions: SESSION_TABLE of their dates.
        params: thresholds.
    """
    if tape.quotes is None:
        return HALTS.to_frame(), pl.DataFrame(schema={"ended_by_trade": pl.Boolean})
    regular = sessions.select("regular_open", "regular_close", date=pl.col("date").dt.to_string("%Y-%m-%d"))
    bounds = events.join(regular, on="date", how="left", maintain_order="left")
    gaps, ended = _find_gaps(bounds, tape, params)
    still = _still_points(gaps, tape.quotes, tape.quote_rows, _NS_PER_S // params.grid_hz)
    found = np.flatnonzero((gaps.n5 >= params.tape_halt_min_trades) & (still >= params.tape_halt_still_share - 1e-12))
    found = found[np.lexsort((gaps.start[found], gaps.event[found]))]
    rows = events.select("symbol", "event_id", "date")[gaps.event[found]]
    times = {
        name: pl.Series(name, values[found], dtype=pl.Int64).cast(UTC_NS)
        for name, values in (("start", gaps.start), ("end", gaps.end))
    }
    seconds = pl.Series("seconds", (gaps.end - gaps.start)[found] / _NS_PER_S, dtype=pl.Float64)
    halts = rows.with_columns(
        *times.values(), seconds, pl.Series("n5", gaps.n5[found], dtype=pl.Int64), confidence=pl.lit(2, pl.Int64)
    )
    return halts.select(*HALTS), pl.DataFrame({"ended_by_trade": pl.Series(ended[found], dtype=pl.Boolean)})


def event_tape_state(
    events: pl.DataFrame,
    tape: WindowTape | None,
    halts: tuple[pl.DataFrame, pl.DataFrame],
    bar_halts: pl.DataFrame,
    ssr_ids: pl.Series,
) -> pl.DataFrame:
    """One row (EVENT_TAPE_STATE) per event, in the order of `events`.

    `in_halt_aftermath`: a halt of the tape ended by a trade in the ten minutes up to the event; false only where the
    window reaches 20 minutes back, else null. `halt_in_window`: a halt of the bars meets the window. `ssr_condition`:
    a trade of the window before the event is known carries one of `ssr_ids`; null without trades.

    Args:
        events: event_id, symbol, timestamp, window_start, window_end.
        tape: of their windows; None without trades.
        halts: see `tape_halts`.
        bar_halts: HALTS of confidence 1.
        ssr_ids: ids of conditions, see `find_ssr_ids`.
    """
    ended = pl.concat(halts, how="horizontal").filter("ended_by_trade").select("event_id", "end")
    since = pl.col("timestamp").cast(UTC_NS) - pl.col("end")
    recent = (
        events.select("event_id", "timestamp")
        .join(ended, on="event_id", how="inner")
        .filter((since >= timedelta(0)) & (since <= timedelta(minutes=10)))["event_id"]
    )
    meets = (
        events.select("event_id", "symbol", "window_start", "window_end")
        .join(bar_halts.select("symbol", "start", "end"), on="symbol", how="inner")
        .filter((pl.col("start") < pl.col("window_end")) & (pl.col("end") > pl.col("window_start")))["event_id"]
    )
    far_back = pl.col("window_start") <= pl.col("timestamp") - timedelta(minutes=20)
    aftermath = pl.col("event_id").is_in(recent.implode())
    known = aftermath | far_back if tape is not None and tape.quotes is not None else pl.lit(value=False)
    return events.with_columns(
        in_halt_aftermath=pl.when(known).then(aftermath),
        halt_in_window=pl.col("event_id").is_in(meets.implode()),
        ssr_condition=_carry_ssr(events, tape, ssr_ids),
    ).select(*EVENT_TAPE_STATE)


def find_ssr_ids(conditions: pl.DataFrame) -> pl.Series:
    """Ids of the conditions (`id`, `name`) whose name is about the short sale restriction."""
    return conditions.filter(pl.col("name").str.contains(r"(?i)short sale restriction|\bSSR\b"))["id"]


def _carry_ssr(events: pl.DataFrame, tape: WindowTape | None, ssr_ids: pl.Series) -> pl.Series:
    """Whether a trade of each window before the event is known carries one of `ssr_ids`; null without trades."""
    if tape is None:
        return pl.Series(values=[None] * events.height, dtype=pl.Boolean)
    marked = carries(tape.trades["conditions"], ssr_ids)
    if "correction" in tape.trades.columns:
        is_message = tape.trades["correction"].is_in(list(MESSAGES)).fill_null(value=False)
        marked &= ~is_message
    places = marked.arg_true().to_numpy().astype(np.int64)
    within = RowRanges(places.searchsorted(tape.trade_rows.first), places.searchsorted(tape.trade_rows.last))
    owner, place = _expand(within)
    known_at = _ns(events["timestamp"]) + 60 * _NS_PER_S
    before = _ns(tape.trades["timestamp"])[places[place]] < known_at[owner]
    return pl.Series(np.bincount(owner[before], minlength=events.height) > 0)


def _find_gaps(bounds: pl.DataFrame, tape: WindowTape, params: TapeHaltParams) -> tuple[_Gaps, npt.NDArray[np.bool_]]:
    """Long gaps in the trades of V of each window, and whether a trade ends them."""
    rows = tape.trades["in_v"].arg_true().to_numpy().astype(np.int64)
    time = _ns(tape.trades["timestamp"])[rows]
    first, last = rows.searchsorted(tape.trade_rows.first), rows.searchsorted(tape.trade_rows.last)
    shortest = params.tape_halt_min_gap_s * _NS_PER_S
    long = np.flatnonzero(np.diff(time) >= shortest)
    event, number = _expand(RowRanges(long.searchsorted(first), long.searchsorted(last - 1)))
    filled = np.flatnonzero(last > first)
    until = np.minimum(_ns(bounds["window_end"]), _ns(bounds["regular_close"]))[filled]
    place = np.append(long[number], last[filled] - 1)
    event = np.append(event, filled)
    start, end = time[place], np.append(time[long[number] + 1], until)
    ended = np.append(np.ones(len(number), dtype=np.bool_), np.zeros(len(filled), dtype=np.bool_))
    opened, closed = _ns(bounds["regular_open"])[event], _ns(bounds["regular_close"])[event]
    regular = (start >= opened) & (start < closed) & (~ended | (end < closed))
    kept = np.flatnonzero(regular & (end - start >= shortest))
    event, place, start, end = event[kept], place[kept], start[kept], end[kept]
    owner, before = _expand(RowRanges(first[event], place + 1))
    recent = time[before] >= start[owner] - params.tape_halt_busy_s * _NS_PER_S
    n5 = np.bincount(owner[recent], minlength=len(event))
    return _Gaps(event, place, start, end, n5), ended[kept]


def _still_points(gaps: _Gaps, quotes: pl.DataFrame, quote_rows: RowRanges, step: int) -> npt.NDArray[np.float64]:
    """Share of the points of each gap, multiples of `step` ns, whose book is not normal or is that of the first."""
    first_point, points = gaps.start // step + 1, gaps.end // step - gaps.start // step
    begin = np.cumsum(points) - points
    rows = RowRanges(quote_rows.first[gaps.event], quote_rows.last[gaps.event])
    owner, row = _expand(rows)
    # a quote is in force from the first point after it on
    since = np.maximum(_ns(quotes["timestamp"])[row] // step + 1 - first_point[owner], 0)
    inside = since < points[owner]
    owner, row, since = owner[inside], row[inside], since[inside]
    # quotes have ascending numbers over all gaps, from 1 on, so that one pass carries each on to the next
    latest = np.zeros(int(points.sum()), dtype=np.int64)
    latest[begin] = np.searchsorted(owner, np.arange(len(points)), side="left")
    fresh = latest.copy()
    np.maximum.at(fresh, begin[owner] + since, np.arange(len(row)) + 1)
    number = np.maximum.accumulate(fresh)
    gap = np.repeat(np.arange(len(points)), points)
    has_book = number > latest[begin][gap]
    at = np.where(has_book, np.append(row, 0)[number - 1], 0)
    values, normal = _book(quotes)
    is_normal = has_book & normal[at]
    of_first = begin[gap]
    same = has_book & has_book[of_first] & np.all(values[:, at] == values[:, at[of_first]], axis=0)
    still = np.bincount(gap, weights=~is_normal | same, minlength=len(points))
    shares: npt.NDArray[np.float64] = np.divide(still, points, out=np.zeros(len(points)), where=points > 0)
    return shares


def _book(quotes: pl.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Prices and sizes of each quote, null as 0, and whether it is normal; one more of zeros at the end."""
    known = quotes.select(pl.col(name).fill_null(0.0) for name in _QUOTE_VALUES)
    normal = known.select(
        (pl.min_horizontal(*_QUOTE_VALUES) > 0) & (micro("bid_price") > 0) & (micro("ask_price") > micro("bid_price"))
    ).to_series()
    values = np.stack([np.append(known[name].to_numpy(), 0.0) for name in _QUOTE_VALUES])
    return values, np.append(normal.to_numpy(), False)


def _expand(ranges: RowRanges) -> tuple[_Indices, _Indices]:
    """The elements of the ranges, range by range: the number of its range, and the element."""
    lengths = np.maximum(ranges.last - ranges.first, 0)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return owner, np.arange(len(owner)) + np.repeat(ranges.first - (np.cumsum(lengths) - lengths), lengths)


def _ns(timestamps: pl.Series) -> _Indices:
    return timestamps.dt.epoch("ns").to_numpy().astype(np.int64)
