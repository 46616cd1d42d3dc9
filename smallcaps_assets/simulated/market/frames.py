"""Arrays of the simulated day as frames in the package's schemas."""

from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL, UTC_NS
from smallcaps_assets.simulated.hours import NS_PER_MINUTE
from smallcaps_assets.simulated.market.aggregation import Candles
from smallcaps_assets.simulated.market.book import Book
from smallcaps_assets.simulated.market.conditions import CONDITION_SETS
from smallcaps_assets.simulated.market.noise import Ints
from smallcaps_assets.simulated.market.tape import MICROS_PER_SHARE, NO_VALUE, PIPS_PER_DOLLAR, Tape

_CENTS_PER_DOLLAR: Final = 100
_INDICATORS: Final = pl.Series("indicators", [[], *([one] for one in range(1, 5))], dtype=pl.List(pl.Int64))
_CONDITIONS: Final = pl.Series("conditions", [list(ids) for ids in CONDITION_SETS], dtype=pl.List(pl.Int64))


def bars_frame(symbol: str, days: list[tuple[int, Candles]]) -> pl.DataFrame:
    """Bars of one symbol; each day is a pair of the UTC nanoseconds of its minute 0, and its bars."""
    if not days:
        return BARS.to_frame()
    columns = {
        "timestamp": np.concatenate([(start + candles.minute * NS_PER_MINUTE) // 1000 for start, candles in days]),
        "open": np.concatenate([candles.open for _, candles in days]),
        "high": np.concatenate([candles.high for _, candles in days]),
        "low": np.concatenate([candles.low for _, candles in days]),
        "close": np.concatenate([candles.close for _, candles in days]),
        "volume": np.concatenate([candles.volume for _, candles in days]),
        "vwap": np.concatenate([candles.vwap for _, candles in days]),
        "transactions": np.concatenate([candles.transactions for _, candles in days]),
    }
    frame = pl.DataFrame(columns).with_columns(pl.lit(symbol).alias("symbol"))
    return frame.select(pl.col(name).cast(dtype) for name, dtype in BARS.items())


def trades_frame(tape: Tape, rows: slice, primary_tape: int) -> pl.DataFrame:
    """Rows of a day's tape with the schema TRADES_ALL; a trade without conditions has an empty list."""
    frame = pl.DataFrame(
        {
            "timestamp": tape.timestamp[rows],
            "price": tape.price[rows] / PIPS_PER_DOLLAR,
            "size": tape.size[rows] / MICROS_PER_SHARE,
            "exchange": tape.exchange[rows],
            "conditions": _condition_lists(tape.kind[rows]),
            "sequence_number": tape.sequence[rows],
            "trade_id": tape.number[rows],
            "participant_timestamp": tape.participant_timestamp[rows],
            "trf_timestamp": tape.trf_timestamp[rows],
            "trf_id": tape.trf_id[rows],
        }
        | ({"correction": tape.correction[rows]} if len(tape.correction) else {})
    )
    known = pl.when(pl.col("correction") != NO_VALUE).then("correction")
    correction = known if "correction" in frame.columns else pl.lit(None, pl.Int64)
    return frame.select(
        pl.col("timestamp").cast(UTC_NS),
        "price",
        "size",
        "exchange",
        "conditions",
        "sequence_number",
        pl.col("trade_id").cast(pl.String),
        pl.col("participant_timestamp").cast(UTC_NS),
        pl.when(pl.col("trf_timestamp") != NO_VALUE).then(pl.col("trf_timestamp")).cast(UTC_NS),
        pl.when(pl.col("trf_id") != NO_VALUE).then(pl.col("trf_id")),
        correction.alias("correction"),
        pl.lit(primary_tape, pl.Int64).alias("tape"),
    ).match_to_schema(TRADES_ALL)


def quotes_frame(book: Book, rows: slice, primary_tape: int) -> pl.DataFrame:
    """Rows of a day's book with the schema QUOTES_ALL; sizes are shares."""
    frame = pl.DataFrame(
        {
            "timestamp": book.timestamp[rows],
            "bid_price": book.bid[rows] / _CENTS_PER_DOLLAR,
            "bid_size": book.bid_size[rows].astype(np.float64),
            "ask_price": book.ask[rows] / _CENTS_PER_DOLLAR,
            "ask_size": book.ask_size[rows].astype(np.float64),
            "bid_exchange": book.bid_exchange[rows],
            "ask_exchange": book.ask_exchange[rows],
            "sequence_number": book.sequence[rows],
            "participant_timestamp": book.participant_timestamp[rows],
        }
    )
    indicators = (
        pl.lit(_INDICATORS.gather(pl.Series(book.indicator[rows], dtype=pl.UInt32)))
        if len(book.indicator)
        else pl.lit([], pl.List(pl.Int64))
    )
    return frame.select(
        pl.col("timestamp").cast(UTC_NS),
        "bid_price",
        "bid_size",
        "ask_price",
        "ask_size",
        "bid_exchange",
        "ask_exchange",
        indicators.alias("indicators"),
        pl.lit([1], pl.List(pl.Int64)).alias("conditions"),
        "sequence_number",
        pl.col("participant_timestamp").cast(UTC_NS),
        pl.lit(primary_tape, pl.Int64).alias("tape"),
    ).match_to_schema(QUOTES_ALL)


def _condition_lists(kind: Ints) -> pl.Series:
    return _CONDITIONS.gather(pl.Series(kind, dtype=pl.UInt32))
