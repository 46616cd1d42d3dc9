"""Estimate the cost of a capture before it is paid for: requests, bytes, hours."""

from typing import Final, NamedTuple

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.research.controls.tables import CONTROLS
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.tables import COST_ESTIMATE

EVERY_WAVE: Final = "all"
MINUTE_S: Final = 60


class PlanAssumptions(Params):
    """Assumptions of an estimate if the lake has no windows to learn from. Bytes are of parquet."""

    trades_per_bar: float = Field(gt=0)
    quotes_per_trade: float = Field(gt=0)
    bytes_per_trade: float = Field(gt=0)
    bytes_per_quote: float = Field(gt=0)


class Terms(NamedTuple):
    """Limits of vendor and profile: rows per page, requests per minute (None: no limit), quotes kept per second."""

    rows_per_page: int
    requests_per_minute: float | None
    max_hz: float


class LearnedRatios(NamedTuple):
    """Ratios measured on published spans; None where there are none to measure. Bytes are of parquet."""

    quotes_per_trade: float | None  # before thinning
    bytes_per_trade: float | None
    bytes_per_quote: float | None  # after thinning
    quotes_kept: float | None  # share kept by thinning
    trades_spans: int
    quotes_spans: int
    paired_spans: int  # published in both kinds


class Rate(NamedTuple):
    """A figure used by the estimate, and the number of spans it was measured on; 0 if it is assumed."""

    value: float
    spans: int


class Rates(NamedTuple):
    """The figures used by an estimate."""

    trades_per_bar: Rate
    quotes_per_trade: Rate
    bytes_per_trade: Rate
    bytes_per_quote: Rate
    quotes_kept: Rate


def learn_ratios(trades: pl.DataFrame, quotes: pl.DataFrame) -> LearnedRatios:
    """Measure ratios on the published spans of each kind (columns symbol, start, end, bytes, rows, received)."""
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
    """Use the measured ratios, and assumptions for the others: that thinning keeps all quotes, for example."""

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
    """Minutes of intervals (columns symbol, start, end): symbol, timestamp, and `interval`, the row number.

    Minutes are counted from `start` of the interval; `end` is excluded.
    """
    return intervals.select(
        "symbol",
        interval=pl.int_range(pl.len(), dtype=pl.Int64),
        timestamp=pl.datetime_ranges("start", "end", interval="1m", closed="left"),
    ).explode("timestamp", empty_as_null=False)


def expect_trades(intervals: pl.DataFrame, bars: pl.DataFrame, trades_per_bar: float) -> pl.DataFrame:
    """Add `bars`, the number of bars inside, and `trades`, the number of trades to expect, to intervals.

    The expected trades are the transactions of the bars inside. A bar with null transactions counts as
    `trades_per_bar`, and so does every minute of an interval without any bar.

    Args:
        intervals: columns symbol, start, end.
        bars: columns symbol, timestamp, transactions.
        trades_per_bar: trades of a minute without a count.
    """
    counted_bars = bars.select(
        "symbol", "timestamp", in_bar=pl.col("transactions").cast(pl.Float64).fill_null(trades_per_bar)
    )
    counted = (
        minutes_of(intervals)
        .join(counted_bars, on=["symbol", "timestamp"], how="left")
        .group_by("interval")
        .agg(bars=pl.col("in_bar").count().cast(pl.Int64), known=pl.col("in_bar").sum(), minutes=pl.len())
    )
    return (
        intervals.with_columns(interval=pl.int_range(pl.len(), dtype=pl.Int64))
        .join(counted, on="interval", how="left", maintain_order="left")
        .with_columns(trades=pl.when(pl.col("bars") > 0).then("known").otherwise(pl.col("minutes") * trades_per_bar))
        .drop("interval", "known", "minutes")
    )


def estimate_cost(spans: pl.DataFrame, windows: pl.DataFrame, rates: Rates, terms: Terms) -> pl.DataFrame:
    """Estimate the cost of fetching spans (COST_ESTIMATE): one row per wave in the order of capture, then `all`.

    Windows and spans of the wave `controls` have a row of their own before `all`, which has their cost, but counts
    events alone.

    Args:
        spans: spans to fetch (SPANS_TO_FETCH).
        windows: all windows of the selection (WINDOWS), with the `trades` expected in each.
        rates: the figures to use.
        terms: limits of vendor and profile.
    """
    costed = spans.with_columns(bytes=_bytes(rates, terms), requests=_requests(rates, terms))
    events = (
        spans.select("kind", event_id="events_merged")
        .explode("event_id", empty_as_null=False)
        .join(windows, on="event_id", how="inner")
        .with_columns(bytes=_bytes(rates, terms))
        .group_by("event_id", "wave")
        .agg(pl.col("bytes").sum())
    )
    waves = pl.concat([windows.select(pl.col("wave").unique()), pl.DataFrame({"wave": [EVERY_WAVE]})])
    per_minute = pl.lit(terms.requests_per_minute, dtype=pl.Float64)
    return (
        waves.join(_by_wave(windows, _WITHOUT_CONTROLS, events=pl.len()), on="wave", how="left")
        .join(
            _by_wave(
                events,
                _WITHOUT_CONTROLS,
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
                _ALL,
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
        .sort(pl.col("wave").cast(pl.Enum([*WAVES, CONTROLS, EVERY_WAVE])))
        .select(pl.col(name).cast(dtype) for name, dtype in COST_ESTIMATE.items())
    )


_ALL: Final = pl.lit(value=True)
_WITHOUT_CONTROLS: Final = pl.col("wave") != CONTROLS
_PER_EVENT: Final = ("bytes_p50", "bytes_p90")
_COUNTS: Final = ("bytes", "rows", "received")


def _sums(published: pl.DataFrame) -> dict[str, int]:
    return published.select(pl.col(_COUNTS).sum()).row(0, named=True)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole >= 1 else None


def _by_wave(rows: pl.DataFrame, in_all: pl.Expr, **figures: pl.Expr) -> pl.DataFrame:
    """Figures of the rows of each wave, and of the rows for which `in_all` holds as `all`."""
    return (
        pl.concat([rows, rows.filter(in_all).with_columns(wave=pl.lit(EVERY_WAVE))])
        .group_by("wave")
        .agg(expression.alias(name) for name, expression in figures.items())
    )


def _quotes(rates: Rates) -> pl.Expr:
    """Quotes expected from the vendor."""
    return pl.col("trades") * rates.quotes_per_trade.value


def _requests(rates: Rates, terms: Terms) -> pl.Expr:
    """Expected pages, at least one per span; none for spans copied from another profile."""
    rows = pl.when(pl.col("kind") == "trades").then("trades").otherwise(_quotes(rates))
    pages = (rows / terms.rows_per_page).ceil().clip(lower_bound=1).cast(pl.Int64)
    return pl.when("copied").then(0).otherwise(pages)


def _bytes(rates: Rates, terms: Terms) -> pl.Expr:
    """Expected bytes on disk: all trades, and the quotes left by thinning."""
    most = (pl.col("end") - pl.col("start")).dt.total_seconds() * terms.max_hz
    kept = pl.min_horizontal(_quotes(rates) * rates.quotes_kept.value, most)
    return (
        pl.when(pl.col("kind") == "trades")
        .then(pl.col("trades") * rates.bytes_per_trade.value)
        .otherwise(kept * rates.bytes_per_quote.value)
    )
