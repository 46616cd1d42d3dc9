"""The vendor's list of tickers of one session, and its answer on one ticker, as the lake keeps them."""

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.tables import OBSERVATIONS, SNAPSHOT
from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.envelope import BadRow

_TEXTS: Final = [name for name, dtype in SNAPSHOT.items() if name != "symbol" and dtype == pl.String]
# columns of which a security has one value on a day
_SINGLE: Final = [name for name in _TEXTS if name != "name"]


class TickerList(NamedTuple):
    """The list of one session.

    Attributes:
        rows: SNAPSHOT, one row per ticker.
        unclear: tickers whose rows contradict each other or cannot be read, each with the reason.
    """

    rows: pl.DataFrame
    unclear: dict[str, str]


def ask_list(client: MarketDataClient, day: date) -> TickerList:
    """The tickers of stocks that the vendor lists on a session, all pages.

    Raises:
        BadPage: it lists none.
        MarketDataError: the vendor did not deliver.
    """
    found = client.reference.tickers(market="stocks", active="true", date=f"{day}")
    if found.frame.is_empty():
        raise BadPage(f"tickers of {day}: the vendor lists none, and there are always some. Nothing of it was kept.")
    return to_list(found.frame, found.bad_rows)


def ask_ticker(client: MarketDataClient, symbol: str, day: date) -> pl.DataFrame:
    """What the vendor lists under one ticker on a session (OBSERVATIONS, one row).

    Raises:
        BadPage: the answer is of other tickers.
        MarketDataError: the vendor did not deliver.
    """
    found = client.reference.tickers(market="stocks", active="true", date=f"{day}", ticker=symbol)
    others = found.frame.filter(pl.col("symbol") != symbol)
    if others.height:
        raise BadPage(
            f"ticker {symbol} of {day}: the answer has rows of {others['symbol'][0]}. Nothing of it was kept."
        )
    return observe(to_list(found.frame, found.bad_rows).rows, [symbol], day)


def observe(rows: pl.DataFrame, symbols: Sequence[str], day: date) -> pl.DataFrame:
    """What a list says of some tickers (OBSERVATIONS); one that it does not have is not listed."""
    asked = pl.DataFrame({"symbol": list(symbols)}, schema={"symbol": pl.String})
    found = asked.join(rows.with_columns(is_listed=pl.lit(value=True)), on="symbol", how="left")
    return found.with_columns(day=pl.lit(day), is_listed=pl.col("is_listed").fill_null(value=False)).match_to_schema(
        OBSERVATIONS
    )


def to_list(frame: pl.DataFrame, bad_rows: Sequence[BadRow] = ()) -> TickerList:
    """The rows of the vendor's list as the lake keeps them, one per ticker.

    Several rows of a ticker that say the same, or of which one says what another leaves out, are one. Where they
    contradict each other in type, exchange or a number, or where a row cannot be read, nothing is known of the ticker.

    Args:
        frame: the columns of `ReferenceData.tickers`.
        bad_rows: rows that are not in it.
    """
    texts = frame.rename({"type": "ticker_type"}).select("symbol", *_TEXTS).unique(maintain_order=True)
    values = [pl.col(name).drop_nulls().n_unique().alias(f"_{name}") for name in _SINGLE]
    first = [pl.col(name).drop_nulls().first() for name in _TEXTS]
    merged = texts.group_by("symbol", maintain_order=True).agg(*first, *values)
    differing = [pl.when(pl.col(f"_{name}") > 1).then(pl.lit(name)) for name in _SINGLE]
    marked = merged.with_columns(differs=pl.concat_list(differing).list.drop_nulls())
    contradictions = marked.filter(pl.col("differs").list.len() > 0).select("symbol", "differs")
    unclear = {symbol: f"its rows differ in {', '.join(names)}" for symbol, names in contradictions.iter_rows()}
    unclear |= {row.symbol: row.reason for row in bad_rows if row.symbol is not None}
    is_clear = ~pl.col("symbol").is_in(list(unclear))
    clear = marked.filter(is_clear).with_columns(is_clear=pl.lit(value=True)).select(*SNAPSHOT)
    unknown = pl.DataFrame({"symbol": list(unclear), "is_clear": False}, schema_overrides={"symbol": pl.String})
    rest = unknown.match_to_schema(SNAPSHOT, missing_columns="insert")
    return TickerList(pl.concat([clear.match_to_schema(SNAPSHOT), rest]).sort("symbol"), unclear)
