"""Listings of a small market, as rows that tests write."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.domain.listings.as_of import LISTED_EVENT, SHARES, KnownListings
from smallcaps_assets.domain.listings.tables import LISTING_FACTS, LISTINGS
from smallcaps_assets.domain.research.bars.market_state import SPLITS


def day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def listing(symbol: str, first: str, last: str | None = None, **changes: Any) -> dict[str, Any]:
    """A listing of common stock on Nasdaq whose days are exact."""
    row = {
        "symbol": symbol,
        "listing_id": f"{symbol}_{first.replace('-', '')}",
        "name": f"{symbol} Inc.",
        "ticker_type": "CS",
        "primary_exchange": "XNAS",
        "active_from": day(first),
        "active_to": day(last),
        "from_is_exact": True,
        "to_is_exact": True,
        "source_date": date(2025, 12, 1),
    }
    return row | changes


def market(
    *listings: dict[str, Any],
    facts: list[tuple[str, str, str | None, str, str]] | None = None,
    shares: list[tuple[str, str, float | None]] | None = None,
    splits: Sequence[tuple[str, str, float, float]] | None = (),
) -> KnownListings:
    """What is known of listings; `facts` are (listing_id, valid_from, valid_to, type, exchange) in place of theirs."""
    given = {fact[0] for fact in facts or []}
    rows = [
        {**one, "valid_from": one["active_from"], "valid_to": one["active_to"]}
        for one in listings
        if one["listing_id"] not in given
    ]
    for listing_id, first, last, kind, exchange in facts or []:
        symbol = next(one["symbol"] for one in listings if one["listing_id"] == listing_id)
        columns = {"listing_id": listing_id, "symbol": symbol, "ticker_type": kind, "primary_exchange": exchange}
        rows.append({**columns, "valid_from": day(first), "valid_to": day(last), "from_is_exact": True})
    frame = pl.DataFrame(rows).select(pl.col(name) for name in LISTING_FACTS if name in rows[0])
    return KnownListings(
        pl.DataFrame(listings, schema=LISTINGS).sort("symbol", "active_from"),
        frame.match_to_schema(LISTING_FACTS, missing_columns="insert").sort("symbol", "valid_from"),
        pl.DataFrame([(symbol, day(on), count, None) for symbol, on, count in shares or []], SHARES, orient="row"),
        None
        if splits is None
        else pl.DataFrame([(symbol, day(on), *ratio) for symbol, on, *ratio in splits], SPLITS, orient="row"),
    )


def events(*rows: tuple[str, str, float]) -> pl.DataFrame:
    """Events (LISTED_EVENT) of symbols on dates with the close of their bar."""
    named = [(f"{symbol}_{on}_{number}", symbol, on, close) for number, (symbol, on, close) in enumerate(rows)]
    return pl.DataFrame(named, LISTED_EVENT, orient="row")
