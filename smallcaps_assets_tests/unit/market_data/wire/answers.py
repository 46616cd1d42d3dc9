"""Answers of the vendor, written by hand."""

import json
from typing import Any

import polars as pl

from smallcaps_assets.market_data import envelope, wire

START_NS = 1_760_441_340_000_000_000  # 2025-10-14 11:29:00 UTC
WINDOW = (START_NS, START_NS + 60 * envelope.NS_PER_S)
DAY_MS = (1_760_414_400_000, 1_760_500_800_000)

TRADE: dict[str, Any] = {
    "conditions": [12, 37],
    "decimal_size": "100.25",
    "exchange": 4,
    "id": "52983525027912",
    "participant_timestamp": START_NS + 1,
    "price": 3.4567,
    "sequence_number": 1063,
    "sip_timestamp": START_NS + 16_036_581,
    "size": 100,
}
QUOTE: dict[str, Any] = {
    "ask_exchange": 11,
    "ask_price": 3.46,
    "ask_size": 2,
    "bid_exchange": 12,
    "bid_price": 0,
    "bid_size": 0,
    "participant_timestamp": START_NS + 1,
    "sequence_number": 7,
    "sip_timestamp": START_NS + 2,
    "tape": 3,
}
BAR: dict[str, Any] = {"o": 1.5, "h": 2, "l": 1.25, "c": 1.75, "v": 9099.618093, "t": DAY_MS[0] + 60_000}


def v3(*rows: object, **head: object) -> bytes:
    return json.dumps({"results": rows, "status": "OK", "request_id": "r1", **head}).encode()


def aggregates(*rows: object, **head: object) -> bytes:
    counts = {"queryCount": len(rows), "resultsCount": len(rows), "count": len(rows)}
    envelope = {"ticker": "AEMD", "adjusted": False, "status": "OK", "request_id": "r1", **counts}
    return json.dumps({**envelope, **({"results": rows} if rows else {}), **head}).encode()


def read_trades(body: bytes) -> pl.DataFrame:
    return wire.parse_trades_page(body, WINDOW).frame


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}
