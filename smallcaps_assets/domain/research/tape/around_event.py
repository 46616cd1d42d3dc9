"""What the tape looks like around events: spread, speed and imbalance in steps of five seconds, for pictures.

The steps count from the end of the event's minute, when the event is known. They reach into the future of the event:
no model may use them.
"""

from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.arrays import micro_dollars, zero_filled
from smallcaps_assets.domain.research.micro.axis import EventWindows, place_on_axis
from smallcaps_assets.domain.research.micro.figures.book_columns import relative_spreads
from smallcaps_assets.domain.research.micro.params import SECOND_NS
from smallcaps_assets.domain.research.micro.quote_states import NORMAL, lay_grid, read_book
from smallcaps_assets.domain.research.micro.ranges import range_counts, range_sums, ratio
from smallcaps_assets.domain.research.micro.segments import SegmentRows
from smallcaps_assets.domain.research.micro.signs import JoinClock, TradeTape, sign_trades
from smallcaps_assets.domain.research.tape.reading import TapeReading, read_trade_sets

STEP_S: Final = 5
FROM_S: Final = -180
UNTIL_S: Final = 300
_NS_PER_MS: Final = 1_000_000
# One row per event and step inside its window. `second`: start of the step, from the end of the event's minute on;
# `spread_bps`: quoted spread, mean over the time with a normal book; `trades`: those that count in volume; `imbalance`:
# dollars traded in the direction of the event minus those against it, over their sum.
STEPS_AROUND: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "second": pl.Int64(),
        "spread_bps": pl.Float64(),
        "trades": pl.Int64(),
        "imbalance": pl.Float64(),
    }
)
# Means over the events of a type, each of which counts once; `events`: those whose windows hold the step.
MEANS_AROUND: Final = pl.Schema(
    {
        "event_type": pl.String(),
        "second": pl.Int64(),
        "events": pl.Int64(),
        "spread_bps": pl.Float64(),
        "trades_per_s": pl.Float64(),
        "imbalance": pl.Float64(),
    }
)


def steps_around(
    windows: pl.DataFrame, trades: pl.DataFrame, quotes: pl.DataFrame, reading: TapeReading
) -> pl.DataFrame:
    """STEPS_AROUND of events whose trades and quotes are both captured; arguments as `micro_features` takes them.

    Raises:
        InputError: tape is not sorted.
    """
    placed, trade_rows, quote_rows = place_on_axis(windows, trades, quotes)
    steps, params = _steps(placed), reading.params
    # sizes decide whether a side is usable, not their unit
    book = read_book(quote_rows.frame, quote_rows.time, np.ones(quote_rows.frame.height))
    opening = np.searchsorted(quote_rows.time, placed.start) - 1
    first_quote = np.maximum(opening, quote_rows.firsts[placed.span])
    grid = lay_grid(book, (first_quote, np.searchsorted(quote_rows.time, placed.end)), placed, params.grid_step_ns)
    normal = book.state.take(grid.at) == NORMAL
    points = grid.points_of(steps)
    spreads = range_sums(np.where(normal, relative_spreads(book).take(grid.at), 0.0), *points)

    sets = read_trade_sets(trade_rows.frame, reading)
    prices, sizes = zero_filled(sets["price"]), zero_filled(sets["size"])
    # where a trade was made does not matter here
    every = TradeTape(trade_rows.time, micro_dollars(prices), sizes, prices * sizes, np.zeros(len(prices), np.bool_))
    starts, ends = every.select(sets["in_v"].to_numpy()).range_of(steps.start, steps.end)
    clock = JoinClock(params.sip_trade_lag_ms * _NS_PER_MS, {})
    signed = sign_trades(every.select(sets["in_g"].to_numpy()), placed, book, first_quote, clock)
    signs, dollars, of_steps = signed.sign.astype(np.float64), signed.trades.dollars, signed.range_of(steps)
    net, total = range_sums(signs * dollars, *of_steps), range_sums(np.abs(signs) * dollars, *of_steps)

    facts = windows[placed.row][steps.event].select("event_id", "direction")
    towards = np.where(facts["direction"].to_numpy() == "up", 1.0, -1.0)
    return pl.DataFrame(
        {
            "event_id": facts["event_id"],
            "second": (steps.start - steps.known) // SECOND_NS,
            "spread_bps": pl.Series(ratio(spreads, range_counts(normal, *points))).fill_nan(None),
            "trades": ends - starts,
            "imbalance": pl.Series(towards * ratio(net, total)).fill_nan(None),
        },
        schema=STEPS_AROUND,
    )


def mean_around(steps: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """MEANS_AROUND of STEPS_AROUND, sorted; `events` have event_id and event_type."""
    typed = steps.join(events.select("event_id", "event_type"), on="event_id", how="inner")
    means = typed.group_by("event_type", "second").agg(
        events=pl.len(),
        spread_bps=pl.col("spread_bps").mean(),
        trades_per_s=pl.col("trades").mean() / STEP_S,
        imbalance=pl.col("imbalance").mean(),
    )
    return (
        means.with_columns(pl.col("events").cast(pl.Int64)).sort("event_type", "second").match_to_schema(MEANS_AROUND)
    )


def choose_evenly(events: pl.DataFrame, count: int) -> pl.DataFrame:
    """At most `count` of `events` (event_id, event_type), as many of each type as there are, chosen by hash."""
    order = pl.col("event_id").hash(0).rank("ordinal")
    return events.sort(order.over("event_type"), "event_type").head(count)


def _steps(windows: EventWindows) -> SegmentRows:
    """The steps inside of each window, event by event."""
    offsets = np.arange(FROM_S, UNTIL_S, STEP_S) * SECOND_NS
    starts = windows.known[:, None] + offsets
    ends = starts + STEP_S * SECOND_NS
    inside = (starts >= windows.start[:, None]) & (ends <= windows.end[:, None])
    event, number = np.nonzero(inside)
    return SegmentRows(event, number, starts[inside], ends[inside], windows.start[event], windows.known[event])
