"""Each trade of a window with the side of its aggressor (research specification, sections 0.5 and 1.3)."""

from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.arrays import IntArray, micro_dollars, zero_filled
from smallcaps_assets.domain.research.micro.axis import place_on_axis
from smallcaps_assets.domain.research.micro.quote_states import QUOTE_STATES, read_book
from smallcaps_assets.domain.research.micro.ranges import expand
from smallcaps_assets.domain.research.micro.signs import JoinClock, TradeTape, sign_trades
from smallcaps_assets.domain.research.micro.tables import CAPTURED_STATES
from smallcaps_assets.domain.research.tape.conditions import MESSAGES
from smallcaps_assets.domain.research.tape.reading import TapeReading, read_trade_sets
from smallcaps_assets.domain.tables import UTC_NS

# `side`: 1 where the buyer was the aggressor (Lee and Ready), -1 where the seller was, 0 where neither is known or the
# trade has none; null without quotes. `in_v`: counts for volume.
TRADE_SIDES: Final = pl.Schema(
    {
        "span": pl.Int64(),
        "timestamp": UTC_NS,
        "price": pl.Float64(),
        "size": pl.Float64(),
        "conditions": pl.List(pl.Int64()),
        "side": pl.Int8(),
        "in_v": pl.Boolean(),
        "off_exchange": pl.Boolean(),
    }
)
# The state of the book (one of QUOTE_STATES) after each quote; the price of a side that is not usable is null.
BOOK_AFTER_QUOTES: Final = pl.Schema(
    {
        "span": pl.Int64(),
        "timestamp": UTC_NS,
        "bid": pl.Float64(),
        "ask": pl.Float64(),
        "state": pl.String(),
    }
)


def trade_sides(
    windows: pl.DataFrame, trades: pl.DataFrame, quotes: pl.DataFrame, reading: TapeReading
) -> pl.DataFrame:
    """The trades of windows (TRADE_SIDES), in their order; messages about trades are left out.

    Args:
        windows: MICRO_WINDOWS, each the only one of its span.
        trades: rows of the windows as `micro_features` takes them.
        quotes: the same, with the opening book.
        reading: rules and settings.
    """
    if "correction" in trades.columns:
        trades = trades.filter(~pl.col("correction").is_in(list(MESSAGES)).fill_null(value=False))
    if trades.is_empty() or windows.is_empty():
        return TRADE_SIDES.to_frame()
    placed, rows, quote_rows = place_on_axis(windows, trades, quotes)
    sets = read_trade_sets(rows.frame, reading)
    prices, sizes = zero_filled(rows.frame["price"]), zero_filled(rows.frame["size"])
    off_exchange = (sets["exchange"] == reading.params.trf_exchange_id).fill_null(value=False)
    every = TradeTape(rows.time, micro_dollars(prices), sizes, prices * sizes, off_exchange.to_numpy())
    signable = np.flatnonzero(sets["in_g"].to_numpy())
    book = read_book(quote_rows.frame, quote_rows.time, np.ones(quote_rows.frame.height))
    clock = JoinClock(reading.params.sip_trade_lag_ms * 1_000_000, {})
    signed = sign_trades(every.take(signable), placed, book, quote_rows.firsts[placed.span], clock)
    side = np.zeros(len(prices), np.int8)
    side[signable[_places(signed.tape.time, placed.start, placed.end)]] = signed.sign
    has_quotes = windows.select("span", known=pl.col("quotes_state").is_in(CAPTURED_STATES).fill_null(value=False))
    return (
        sets.with_columns(pl.Series("side", side), off_exchange=off_exchange)
        .join(has_quotes, on="span", how="left", maintain_order="left")
        .with_columns(side=pl.when("known").then("side"))
        .select(*TRADE_SIDES)
        .match_to_schema(TRADE_SIDES)
    )


def book_after_quotes(quotes: pl.DataFrame) -> pl.DataFrame:
    """The book after each of `quotes` (BOOK_AFTER_QUOTES), in their order."""
    # the unit of sizes does not matter: only whether there are any
    book = read_book(quotes, quotes["timestamp"].to_physical().to_numpy(), np.ones(quotes.height))
    states = np.array(QUOTE_STATES, dtype=object)[book.state[:-1]]
    usable = {"bid": (book.bid > 0) & (book.bid_size > 0), "ask": (book.ask > 0) & (book.ask_size > 0)}
    return quotes.select(
        "span",
        "timestamp",
        *(pl.when(pl.Series(able[:-1])).then(f"{side}_price").alias(side) for side, able in usable.items()),
        pl.Series("state", states, dtype=pl.String),
    ).match_to_schema(BOOK_AFTER_QUOTES)


def _places(times: IntArray, starts: IntArray, ends: IntArray) -> IntArray:
    """Places of the trades that `sign_trades` returns, window by window."""
    return expand(np.searchsorted(times, starts), np.searchsorted(times, ends)).element
