"""Rows that repeat: what is removed, counted and kept, from pages over HTTP to the ledger."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.tables import QUOTES, TRADES
from smallcaps_assets.domain.tape.repeats import drop_repeats, merge_overlapping
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.lake.files.publish import provenance_of
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.verify import verify
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, event, manifest_of
from smallcaps_assets_tests.scenarios import default_settings

CORE = default_settings().profiles["core"]
MANIFEST = manifest_of(event("2025-11-26 11:00", event_id="one", symbol="AVLO"))
FIRST_NS = 1_764_172_620_000_000_000  # 2025-11-26 15:57 UTC, the start of the window

_NAMED = {"sequence_number": pl.Int64, "trade_id": pl.String}
Row = dict[str, Any]


def trade(second: int, **changed: object) -> Row:
    at = FIRST_NS + second * 1_000_000_000
    row = {"sip_timestamp": at, "participant_timestamp": at, "price": 5.0, "size": 100, "exchange": 4}
    return {**row, "sequence_number": second + 1, "id": f"t{second}", **changed}


def unnamed(second: int, **changed: object) -> Row:
    """A trade whose number and id hold nothing."""
    return trade(second, sequence_number=0, id="", **changed)


def nameless(second: int) -> Row:
    """A trade that has no number and no id at all."""
    return {name: value for name, value in trade(second).items() if name not in ("sequence_number", "id")}


def quote(second: int, **changed: object) -> Row:
    at = FIRST_NS + second * 1_000_000_000
    book = {"bid_price": 5.0 + second / 100, "bid_size": 1, "ask_price": 6.0, "ask_size": 1}
    return {"sip_timestamp": at, "participant_timestamp": at, "sequence_number": second + 1, **book, **changed}


def answer_with(gate: Gate, kind: TapeKind, *pages: list[Row]) -> None:
    """The exchange answers requests for `kind` with these pages."""

    def rule(path: str, query: Mapping[str, str]) -> Reply | None:
        if not path.startswith(f"/v3/{kind}/"):
            return None
        number = int(query.get("cursor", "0"))
        document: Row = {"status": "OK", "request_id": f"r{number}", "results": pages[number]}
        if number + 1 < len(pages):
            document["next_url"] = f"{gate.base_url}{path}?cursor={number + 1}"
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(document).encode())

    gate.rule = rule


def captured(lake: Lake, client: MarketDataClient, kind: TapeKind = "trades") -> Outcome:
    work = Capture(kind, TapeStore(lake, "core", CORE), client, 1, "abc", log=lambda line: None)  # noqa: ARG005
    (outcome,) = work.run(MANIFEST, [("AVLO", "RTH")])
    assert outcome.problems == ()
    return outcome


def tape_of(lake: Lake, kind: TapeKind = "trades") -> pl.DataFrame:
    (path,) = TapeStore(lake, "core", CORE).published(kind)["path"]
    return pl.read_parquet(path, hive_partitioning=False)


def test_pages_that_overlap_give_each_trade_once_and_the_others_are_counted(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    answer_with(gate, "trades", [trade(0), trade(1), trade(2)], [trade(1), trade(2), trade(3)], [trade(3), trade(4)])
    outcome = captured(lake, client)
    assert tape_of(lake)["trade_id"].to_list() == ["t0", "t1", "t2", "t3", "t4"]
    # t1, t2 and t3 came twice
    assert outcome.figures["repeats_removed"] == 3
    store = TapeStore(lake, "core", CORE)
    (path,) = lake.tape("core", "trades").rglob("*.parquet")
    said = provenance_of(path) or {}
    assert (said["repeats"], said["received"], said["rows"], said["pages"]) == (3, 5, 5, 3)
    ledger = build_ledger(MANIFEST, store)
    assert ledger.select("trades_rows", "trades_repeats", "quotes_repeats").row(0) == (5, 3, None)


def test_a_last_page_that_only_repeats_the_one_before_it_adds_nothing(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    answer_with(gate, "trades", [trade(0), trade(1)], [trade(0), trade(1)])
    assert captured(lake, client).figures["repeats_removed"] == 2
    assert tape_of(lake)["trade_id"].to_list() == ["t0", "t1"]


@pytest.mark.parametrize("make", [unnamed, nameless])
def test_equal_trades_without_number_and_id_all_stay(
    lake: Lake, client: MarketDataClient, gate: Gate, make: Any
) -> None:
    answer_with(gate, "trades", [make(0), make(0), make(1)], [make(1)], [make(1)], [make(2)])
    outcome = captured(lake, client)
    at = (tape_of(lake)["timestamp"].to_physical() - FIRST_NS) // 1_000_000_000
    assert at.to_list() == [0, 0, 1, 1, 1, 2]
    assert "repeats_removed" not in outcome.figures
    captured(lake, client, "quotes")
    store = TapeStore(lake, "core", CORE)
    ledger = build_ledger(MANIFEST, store, "m")
    assert ledger.select("state", "trades_rows", "trades_repeats").row(0) == ("complete", 6, 0)
    lake.ledger("core").parent.mkdir(parents=True, exist_ok=True)
    ledger.write_parquet(lake.ledger("core"))
    assert not [found for found in verify(store).findings if "ledger" not in found.file]


def test_a_number_or_an_id_alone_names_a_trade(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    rows = [trade(0, id=""), trade(0, id=""), trade(1, sequence_number=0), trade(1, sequence_number=0)]
    answer_with(gate, "trades", rows)
    assert captured(lake, client).figures["repeats_removed"] == 2
    assert tape_of(lake).height == 2


def test_named_and_unnamed_trades_of_one_instant_keep_their_order(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    rows = [trade(0), unnamed(0, price=4.0), unnamed(0, price=4.0), trade(0), unnamed(0, price=3.0)]
    answer_with(gate, "trades", rows)
    assert captured(lake, client).figures["repeats_removed"] == 1
    assert tape_of(lake)["price"].to_list() == [4.0, 4.0, 3.0, 5.0]


def test_quotes_are_named_by_their_number_alone(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    zero = quote(3, sequence_number=0)
    answer_with(gate, "quotes", [quote(0), quote(1), zero], [zero, quote(4), quote(4)])
    outcome = captured(lake, client, "quotes")
    # quote 4 came twice; of the two equal quotes without number thinning keeps the last of its interval
    assert outcome.figures["repeats_removed"] == 1
    (path,) = lake.tape("core", "quotes").rglob("*.parquet")
    assert (provenance_of(path) or {})["received"] == 5
    assert tape_of(lake, "quotes").height == 4


def test_an_endless_page_of_unnamed_trades_ends_after_a_few(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    answer_with(gate, "trades", *([[unnamed(0)]] * 50))
    work = Capture("trades", TapeStore(lake, "core", CORE), client, 1, "abc", log=lambda line: None)  # noqa: ARG005
    (outcome,) = work.run(MANIFEST, [("AVLO", "RTH")])
    assert "page 11 repeats the page before it" in outcome.problems[0]
    assert len(gate.requests) == 11


def test_bars_without_number_and_id_are_named_by_their_minute() -> None:
    bars = pl.DataFrame({"timestamp": [1, 1, 2], "close": [5.0, 5.0, 5.0]})
    found = drop_repeats(bars)
    assert (found.rows.height, found.removed) == (2, 1)


def table(schema: pl.Schema, *rows: Row) -> pl.DataFrame:
    known = pl.DataFrame(rows)
    missing = (pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in known)
    return known.with_columns(missing).select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def test_files_that_overlap_share_their_rows_however_often_these_are_in_each() -> None:
    def row(at: int, number: int | None, conditions: list[int] | None = None) -> Row:
        return {"timestamp": at, "price": 5.0, "sequence_number": number, "conditions": conditions}

    # minute 2 is in both files: there are two equal trades without number, and one of another condition
    one = table(TRADES, row(1, 1), row(1, None), row(2, None, [12]), row(2, None, [12]), row(2, 7))
    other = table(TRADES, row(2, None, [12]), row(2, None, [12]), row(2, None, [37]), row(2, 7), row(3, None))
    merged = merge_overlapping([one, other])
    assert merged.sort("timestamp", "sequence_number").select(
        pl.col("timestamp").to_physical(), "sequence_number", "conditions"
    ).rows() == [
        (1, None, None),
        (1, 1, None),
        (2, None, [12]),
        (2, None, [12]),
        (2, None, [37]),
        (2, 7, None),
        (3, None, None),
    ]
    quotes = [table(QUOTES, {"timestamp": 1, "bid_price": 5.0, "sequence_number": 0})] * 2
    assert merge_overlapping(quotes).height == 1


@pytest.mark.parametrize(
    "none", [None, "", "  ", "0", "0.0", "-1", "-1.0", "nan", "NaN", "None", "null", "<NA>", "N/A"]
)
@pytest.mark.parametrize("number", [None, 0, -1, 2**63 - 1])
def test_values_that_mean_no_number_and_no_id_name_no_trade(none: str | None, number: int | None) -> None:
    """Two equal trades may both have happened; with an id, or a number, one of them is a repeat."""
    equal = pl.DataFrame([{"sequence_number": number, "trade_id": none, "price": 5.0}] * 2, schema_overrides=_NAMED)
    assert drop_repeats(equal).removed == 0
    assert drop_repeats(equal.with_columns(trade_id=pl.lit("71697201"))).removed == 1
    assert drop_repeats(equal.with_columns(sequence_number=pl.lit(7, pl.Int64))).removed == 1
    assert merge_overlapping([equal, equal]).height == 2
