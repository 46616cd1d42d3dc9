"""Reference data of the vendor, written by tests: tickers, market caps and closes of a day."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.layout import Lake
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
