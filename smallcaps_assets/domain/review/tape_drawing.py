"""What a chart of the tape around events draws: marks of trades, steps of bid and ask, volume by side.

Times are milliseconds from the start of the event's minute. Rows that exceed the limits are left out evenly over the
window, and the chart says how many there are.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.tables import UTC_NS

# One window per `span`, [start_ms, end_ms) from the event's minute, which starts at `origin`.
DRAWN_WINDOWS: Final = pl.Schema(
    {"span": pl.Int64(), "origin": UTC_NS, "start_ms": pl.Int64(), "end_ms": pl.Int64(), "step_s": pl.Int64()}
)
# `of`: the trades of the window, drawn or not.
TRADE_MARKS: Final = pl.Schema(
    {
        "span": pl.Int64(),
        "ms": pl.Int64(),
        "price": pl.Float64(),
        "size": pl.Float64(),
        "side": pl.Int8(),
        "off_exchange": pl.Boolean(),
        "in_v": pl.Boolean(),
        "of": pl.Int64(),
    }
)
# The book from `ms` on; the first step of a window is in force when it begins. `of`: the changes of the window.
BOOK_STEPS: Final = pl.Schema(
    {
        "span": pl.Int64(),
        "ms": pl.Int64(),
        "bid": pl.Float64(),
        "ask": pl.Float64(),
        "state": pl.String(),
        "of": pl.Int64(),
    }
)
# Shares that count for volume in the `bucket`-th `step_s` seconds of a window, by the side of the aggressor.
VOLUME_STEPS: Final = pl.Schema(
    {"span": pl.Int64(), "bucket": pl.Int64(), "buy": pl.Float64(), "sell": pl.Float64(), "other": pl.Float64()}
)
_MS_PER_MIN: Final = 60_000
_NS_PER_MS: Final = 1_000_000
# a slice of a window has room for so many rows
_ROWS_PER_SLICE: Final = 4


class DrawingLimits(NamedTuple):
    """The most marks of trades, steps of the book and steps of volume of one chart."""

    trades: int
    quotes: int
    volumes: int

    def shared_by(self, charts: int, most: int) -> "DrawingLimits":
        """Limits that let `charts` charts have no more rows together than `most` charts of these limits have."""
        return DrawingLimits(*(max(1, limit * most // max(charts, most)) for limit in self))


def drawn_windows(windows: pl.DataFrame, limits: DrawingLimits) -> pl.DataFrame:
    """DRAWN_WINDOWS of MICRO_WINDOWS, each the only one of its span.

    The steps of volume are the fewest whole seconds that keep the limit.
    """
    seconds = 60 * (pl.col("window_before_min") + pl.col("window_after_min"))
    return windows.select(
        "span",
        origin=pl.col("timestamp").cast(UTC_NS),
        start_ms=-_MS_PER_MIN * pl.col("window_before_min"),
        end_ms=_MS_PER_MIN * pl.col("window_after_min"),
        step_s=-(-seconds // limits.volumes),
    ).match_to_schema(DRAWN_WINDOWS)


def trade_marks(sides: pl.DataFrame, windows: pl.DataFrame, limits: DrawingLimits) -> pl.DataFrame:
    """TRADE_MARKS of trades (TRADE_SIDES), sorted by span and time: of every part of a window the largest trades."""
    rows = _placed(sides, windows)
    kept = _keep_evenly(rows, limits.trades, [-pl.col("size").fill_null(0)], [])
    return kept.select(*TRADE_MARKS).match_to_schema(TRADE_MARKS)


def book_steps(book: pl.DataFrame, windows: pl.DataFrame, limits: DrawingLimits) -> pl.DataFrame:
    """BOOK_STEPS of a book (BOOK_AFTER_QUOTES), sorted by span and time.

    Of every part of a window the last step of each state is kept, those of a book that is not normal first.
    """
    values = ("bid", "ask", "state")
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in ("span", *values))
    changed = book.filter(~same.fill_null(value=False))
    rows = _placed(changed, windows)
    kept = _keep_evenly(rows, limits.quotes, [pl.col("state") == "normal", -pl.col("row")], ["state"])
    return kept.select(*BOOK_STEPS).match_to_schema(BOOK_STEPS)


def volume_steps(sides: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """VOLUME_STEPS of trades (TRADE_SIDES), those that have any, sorted by span and bucket."""
    side = pl.col("side").fill_null(0)
    shares = {"buy": side == 1, "sell": side == -1, "other": side == 0}
    bucket = (pl.col("ms") - pl.col("start_ms")) // (1_000 * pl.col("step_s"))
    return (
        _placed(sides.filter("in_v"), windows)
        .group_by("span", bucket=bucket)
        .agg(pl.col("size").filter(of_side).sum().alias(name) for name, of_side in shares.items())
        .sort("span", "bucket")
        .match_to_schema(VOLUME_STEPS)
    )


def _placed(rows: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """Rows with their window and their time in it, `ms`; what is before the window counts as its start."""
    since = (pl.col("timestamp") - pl.col("origin")).dt.total_nanoseconds() // _NS_PER_MS
    return (
        rows.join(windows, on="span", how="inner", maintain_order="left")
        .with_columns(ms=pl.max_horizontal(since, "start_ms"), of=pl.len().over("span").cast(pl.Int64))
        .with_columns(row=pl.int_range(pl.len()))
    )


def _keep_evenly(rows: pl.DataFrame, limit: int, order: Sequence[pl.Expr], groups: Sequence[str]) -> pl.DataFrame:
    """At most `limit` rows of each span, in their order.

    The window is cut into equal slices. Of each slice, and of each of its `groups`, the first row by `order` is kept,
    then the second of each, until there is no more room.
    """
    if rows.filter(pl.col("of") > limit).is_empty():
        return rows
    slices = -(-limit // _ROWS_PER_SLICE)
    place = (pl.col("ms") - pl.col("start_ms")) * slices // (pl.col("end_ms") - pl.col("start_ms"))
    turns = (
        rows.with_columns(slice=place)
        .sort(*order, maintain_order=True)
        .with_columns(turn=pl.int_range(pl.len()).over("span", "slice", *groups))
        .sort("turn", *order, maintain_order=True)
    )
    return turns.filter(pl.int_range(pl.len()).over("span") < limit).sort("row")
