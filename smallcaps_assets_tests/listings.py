"""Reference data of the vendor, written by tests: tickers, market caps and closes of a day."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.listings.as_of import EVENT_LISTINGS, SHARES
from smallcaps_assets.domain.listings.delisted import DELISTED
from smallcaps_assets.domain.listings.tables import LISTING_FACTS, LISTINGS, OBSERVATIONS, SNAPSHOT
from smallcaps_assets.domain.listings.ticker_events import TICKER_EVENTS
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import refusal

DETAILS_OF: Final = "/v3/reference/tickers/"
# the shipped settings exclude market caps from here on
BIG: Final = 10e9
# 16:00 New York on 2025-12-01, when regular hours end
CLOSE_MS: Final = 1_764_622_800_000


def ticker(symbol: str, **changes: Any) -> dict[str, Any]:
    """A row of the vendor's list: a common stock of Nasdaq."""
    row = {"ticker": symbol, "name": f"{symbol} Inc.", "type": "CS", "primary_exchange": "XNAS", "active": True}
    return {name: value for name, value in (row | changes).items() if value is not None}


@dataclass
class Listings:
    """Answers requests for tickers; all others are passed to the exchange behind the gate."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    caps: dict[str, float] = field(default_factory=dict)
    closes: dict[str, float] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    # more details of a symbol on a day
    on_day: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def reply(self, path: str, query: Mapping[str, str]) -> Reply | None:
        if path == DETAILS_OF.rstrip("/"):
            active = query.get("active", "true") == "true"
            return answer(results=[row for row in self.rows if row["active"] is active])
        if path.startswith(DETAILS_OF):
            symbol = path.removeprefix(DETAILS_OF)
            if symbol in self.unknown:
                return refusal(404, "Ticker not found.")
            row = next((row for row in self.rows if row["ticker"] == symbol), {"ticker": symbol})
            then = self.on_day.get((symbol, query.get("date", "")), {})
            return answer(results=row | ({"market_cap": self.caps[symbol]} if symbol in self.caps else {}) | then)
        if path.startswith("/v2/aggs/grouped"):
            bars = [{"T": symbol, "c": close, "t": CLOSE_MS} for symbol, close in self.closes.items()]
            counts = dict.fromkeys(("queryCount", "resultsCount", "count"), len(bars))
            return answer(results=bars, adjusted=False, **counts)
        return None


def publish_untyped(lake: Lake, symbols: int) -> None:
    """A universe of `symbols` symbols whose type is unknown."""
    named = pl.DataFrame({"symbol": [f"S{number:02}" for number in range(symbols)]})
    rows = named.with_columns(active=pl.lit(value=True)).match_to_schema(UNIVERSE, missing_columns="insert")
    UniverseStore(lake).replace(rows, {})


def answer(**body: Any) -> Reply:
    """An answer with status 200."""
    document = {"status": "OK", "request_id": "r1", **body}
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


def publish_listings(lake: Lake, symbols: Sequence[str], days: tuple[date, date, date]) -> None:
    """Lists of tickers of the first and the last of three days, an answer of the second, and the listings they give."""
    store, (first, second, last) = ListingStore(lake), days
    for day in (first, last):
        rows = pl.DataFrame({"symbol": symbols, "name": [f"{symbol} {day}" for symbol in symbols], "is_clear": True})
        store.add_snapshot(day, rows.match_to_schema(SNAPSHOT, missing_columns="insert"), {"day": f"{day}"})
    answers = pl.DataFrame({"day": [second], "symbol": symbols[:1], "is_listed": [True]})
    store.add_observations(answers.match_to_schema(OBSERVATIONS, missing_columns="insert"), "embedded")
    events = pl.DataFrame({"asked_for": symbols[:1], "asked_on": [second], "is_known": [False]})
    store.add_ticker_events(events.match_to_schema(TICKER_EVENTS, missing_columns="insert"), "embedded")
    asked = {"first": f"{first}", "asked_on": f"{last}", "rows": 1}
    gone = pl.DataFrame({"symbol": symbols[:1], "delisted": [second], "is_settled": [True]})
    store.replace_delisted(gone.match_to_schema(DELISTED, missing_columns="insert"), asked)
    listed = pl.DataFrame(
        {"symbol": symbols, "listing_id": [f"{symbol}_{first:%Y%m%d}" for symbol in symbols], "active_from": first}
    )
    facts = listed.rename({"active_from": "valid_from"})
    store.publish(
        listed.match_to_schema(LISTINGS, missing_columns="insert"),
        facts.match_to_schema(LISTING_FACTS, missing_columns="insert"),
        {
            "first": f"{first}",
            "last": f"{last}",
            "lists": [f"{first}", f"{last}"],
            "answers": 1,
            "ticker_events": 1,
            "delisted": 1,
        },
    )


def publish_event_listings(lake: Lake, master: pl.DataFrame, day: date) -> None:
    """Shares outstanding of the symbols of events on a day, and the listings of the events."""
    store, symbols = EventListingStore(lake), master["symbol"].unique().sort()
    shares = [(symbol, day, 1e6 + place, None) for place, symbol in enumerate(symbols)]
    store.add_shares(pl.DataFrame(shares, SHARES, orient="row"), "embedded")
    rows = master.select("event_id", "symbol", "date", listing_id="symbol")
    store.publish(rows.match_to_schema(EVENT_LISTINGS, missing_columns="insert"), {"source": "embedded"})
