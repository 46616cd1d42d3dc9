"""What a capture will cost, before it is paid for: requests, bytes, hours (pure estimates)."""

from typing import Final, NamedTuple

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.tables import COST_ESTIMATE

EVERY_WAVE: Final = "all"
MINUTE_S: Final = 60


class PlanAssumptions(Params):
    """What a plan reckons with where the lake has no windows to learn from. Bytes are of parquet."""

    trades_per_bar: float = Field(gt=0)
    quotes_per_trade: float = Field(gt=0)
    bytes_per_trade: float = Field(gt=0)
    bytes_per_quote: float = Field(gt=0)


class Terms(NamedTuple):
    """What vendor and profile set: rows of one answer, requests a minute (None: no limit), quotes kept a second."""

    rows_per_page: int
    requests_per_minute: float | None
    max_hz: float


class LearnedRatios(NamedTuple):
    """What published spans teach; a ratio is None where there is nothing to learn it from. Bytes are of parquet."""

    quotes_per_trade: float | None  # as the vendor sent them
    bytes_per_trade: float | None
    bytes_per_quote: float | None  # of those that thinning kept
    quotes_kept: float | None  # share that thinning kept
    trades_spans: int
    quotes_spans: int
    paired_spans: int  # published in both kinds


class Rate(NamedTuple):
    """A figure that a plan reckons with, and from how many spans it was learned; 0 where it is assumed."""

    value: float
    spans: int


class Rates(NamedTuple):
    """The figures that a plan reckons with."""

    trades_per_bar: Rate
    quotes_per_trade: Rate
    bytes_per_trade: Rate
    bytes_per_quote: Rate
    quotes_kept: Rate


def learn_ratios(trades: pl.DataFrame, quotes: pl.DataFrame) -> LearnedRatios:
    """Ratios of what is published of each kind (columns symbol, start, end, bytes, rows, received)."""
    trades, quotes = (spans.drop_nulls(_COUNTS) for spans in (trades, quotes))
    of_trades, of_quotes = _sums(trades), _sums(quotes)
    span = ["symbol", "start", "end"]
    paired, in_both = trades.join(quotes, on=span, how="semi"), quotes.join(trades, on=span, how="semi")
    return LearnedRatios(
        quotes_per_trade=_ratio(_sums(in_both)["received"], _sums(paired)["received"]),
        bytes_per_trade=_ratio(of_trades["bytes"], of_trades["rows"]),
        bytes_per_quote=_ratio(of_quotes["bytes"], of_quotes["rows"]),
        quotes_kept=_ratio(of_quotes["rows"], of_quotes["received"]),
        trades_spans=trades.height,
        quotes_spans=quotes.height,
        paired_spans=paired.height,
    )


def choose_rates(history: LearnedRatios, assumptions: PlanAssumptions) -> Rates:
    """What was learned, and for the rest what is assumed: of quotes, that thinning keeps all."""

    def known(learned: float | None, spans: int, assumed: float) -> Rate:
        return Rate(assumed, 0) if learned is None else Rate(learned, spans)

    return Rates(
        trades_per_bar=Rate(assumptions.trades_per_bar, 0),
        quotes_per_trade=known(history.quotes_per_trade, history.paired_spans, assumptions.quotes_per_trade),
        bytes_per_trade=known(history.bytes_per_trade, history.trades_spans, assumptions.bytes_per_trade),
        bytes_per_quote=known(history.bytes_per_quote, history.quotes_spans, assumptions.bytes_per_quote),
        quotes_kept=known(history.quotes_kept, history.quotes_spans, 1.0),
    )


def minutes_of(intervals: pl.DataFrame) -> pl.DataFrame:
    """Every minute of intervals (columns symbol, start, end): symbol, timestamp, and `interval`, the number of its row.

    Minutes count from `start` of the interval; `end` is outside.
    """
    return intervals.select(
        "symbol",
        interval=pl.int_range(pl.len(), dtype=pl.Int64),
        timestamp=pl.datetime_ranges("start", "end", interval="1m", closed="left"),
    ).explode("timestamp", empty_as_null=False)


def expect_trades(intervals: pl.DataFrame, bars: pl.DataFrame, trades_per_bar: float) -> pl.DataFrame:
    """Intervals (columns symbol, start, end) with `bars`, how many lie inside, and `trades`, how many to expect.

    Bars say it (columns symbol, timestamp, transactions); one whose transactions are null counts `trades_per_bar`.
    Where not a single bar is known, every minute counts as much.
    """
    here = bars.select("symbol", "timestamp", here=pl.col("transactions").cast(pl.Float64).fill_null(trades_per_bar))
    counted = (
        minutes_of(intervals)
        .join(here, on=["symbol", "timestamp"], how="left")
        .group_by("interval")
        .agg(bars=pl.col("here").count().cast(pl.Int64), known=pl.col("here").sum(), minutes=pl.len())
    )
    return (
        intervals.with_columns(interval=pl.int_range(pl.len(), dtype=pl.Int64))
        .join(counted, on="interval", how="left", maintain_order="left")
        .with_columns(trades=pl.when(pl.col("bars") > 0).then("known").otherwise(pl.col("minutes") * trades_per_bar))
        .drop("interval", "known", "minutes")
    )


def estimate_cost(due: pl.DataFrame, windows: pl.DataFrame, reckoned: Rates, terms: Terms) -> pl.DataFrame:
    """What it costs to fetch `due` (COST_ESTIMATE): one row per wave of `windows` in the order of capture, then `all`.

    Args:
        due: spans to fetch (SPANS_TO_FETCH).
        windows: all windows of the selection (WINDOWS), with `trades` expected in each.
        reckoned: figures to reckon with.
        terms: what vendor and profile set.
    """
    costed = due.with_columns(bytes=_bytes(reckoned, terms), requests=_requests(reckoned, terms))
    events = (
        due.select("kind", event_id="events_merged")
        .explode("event_id", empty_as_null=False)
        .join(windows, on="event_id", how="inner")
        .with_columns(bytes=_bytes(reckoned, terms))
        .group_by("event_id", "wave")
        .agg(pl.col("bytes").sum())
    )
    waves = pl.concat([windows.select(pl.col("wave").unique()), pl.DataFrame({"wave": [EVERY_WAVE]})])
    per_minute = pl.lit(terms.requests_per_minute, dtype=pl.Float64)
    return (
        waves.join(_by_wave(windows, events=pl.len()), on="wave", how="left")
        .join(
            _by_wave(
                events,
                events_due=pl.len(),
                bytes_p50=pl.col("bytes").quantile(0.5, "linear"),
                bytes_p90=pl.col("bytes").quantile(0.9, "linear"),
            ),
            on="wave",
            how="left",
        )
        .join(
            _by_wave(
                costed,
                trades_spans=(pl.col("kind") == "trades").sum(),
                quotes_spans=(pl.col("kind") == "quotes").sum(),
                requests=pl.col("requests").sum(),
                bytes=pl.col("bytes").sum(),
            ),
            on="wave",
            how="left",
        )
        .with_columns(pl.col(name).fill_null(0) for name in COST_ESTIMATE if name not in ("wave", "hours", *_PER_EVENT))
        .with_columns(hours=pl.col("requests") / per_minute / MINUTE_S)
        .sort(pl.col("wave").cast(pl.Enum([*WAVES, EVERY_WAVE])))
        .select(pl.col(name).cast(dtype) for name, dtype in COST_ESTIMATE.items())
    )


_PER_EVENT: Final = ("bytes_p50", "bytes_p90")
_COUNTS: Final = ("bytes", "rows", "received")


def _sums(published: pl.DataFrame) -> dict[str, int]:
    return published.select(pl.col(_COUNTS).sum()).row(0, named=True)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole >= 1 else None


def _by_wave(rows: pl.DataFrame, **figures: pl.Expr) -> pl.DataFrame:
    """Figures of the rows of each wave, and of all rows together as one more."""
    return (
        pl.concat([rows, rows.with_columns(wave=pl.lit(EVERY_WAVE))])
        .group_by("wave")
        .agg(expression.alias(name) for name, expression in figures.items())
    )


def _quotes(reckoned: Rates) -> pl.Expr:
    """Quotes that the vendor will send."""
    return pl.col("trades") * reckoned.quotes_per_trade.value


def _requests(reckoned: Rates, terms: Terms) -> pl.Expr:
    """Pages of the answer; one without rows is a page as well. What is held already is asked of nobody."""
    rows = pl.when(pl.col("kind") == "trades").then("trades").otherwise(_quotes(reckoned))
    pages = (rows / terms.rows_per_page).ceil().clip(lower_bound=1).cast(pl.Int64)
    return pl.when("held").then(0).otherwise(pages)


def _bytes(reckoned: Rates, terms: Terms) -> pl.Expr:
    """Bytes that will be kept of [start, end): all trades, and of the quotes what thinning leaves."""
    most = (pl.col("end") - pl.col("start")).dt.total_seconds() * terms.max_hz
    kept = pl.min_horizontal(_quotes(reckoned) * reckoned.quotes_kept.value, most)
    return (
        pl.when(pl.col("kind") == "trades")
        .then(pl.col("trades") * reckoned.bytes_per_trade.value)
        .otherwise(kept * reckoned.bytes_per_quote.value)
    )
