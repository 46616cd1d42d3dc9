"""Tape of a span as the vendor is asked for it."""

from dataclasses import replace

import polars as pl

from smallcaps_assets.domain.tape.opening_book import OPENING_LEAD, keep_opening_book
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.pages import Download


def download_tape(
    client: MarketDataClient, kind: TapeKind, span: Span, schema: pl.Schema, *, opening_book: bool = True
) -> Download:
    """Trades or quotes of a span, quotes with the opening book before them if there is one.

    Raises:
        MarketDataError: the vendor did not deliver.
    """
    if kind == "trades":
        return client.trades(span.symbol, span.start, span.end, schema)
    if not opening_book:
        return client.quotes(span.symbol, span.start, span.end, schema)
    fetched = client.quotes(span.symbol, span.start - OPENING_LEAD, span.end, schema)
    return replace(fetched, frame=keep_opening_book(fetched.frame, span.start))
