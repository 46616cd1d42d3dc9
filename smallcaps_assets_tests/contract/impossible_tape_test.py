"""Impossible tape over HTTP: set aside row by row, or failed as a whole, asked for again, and never believed."""

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.lake.files.publish import provenance_of, publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.verify import verify
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.tape.audit import Audit
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets_tests.conftest import Gate
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.lake.verification.tape.damage import freeze
from smallcaps_assets_tests.unit.pipeline.tape.repeats_test import MANIFEST, Row, answer_with, trade
from smallcaps_assets_tests.unit.pipeline.tape.repeats_test import quote as quote_at

PROFILES = default_settings().profiles
SECONDS = range(200)


def store(lake: Lake, profile: str = "core") -> TapeStore:
    return TapeStore(lake, profile, PROFILES[profile])  # type: ignore[index]


def captured(lake: Lake, client: MarketDataClient, kind: TapeKind, profile: str = "core") -> Outcome:
    work = Capture(kind, store(lake, profile), client, 1, "abc", log=lambda line: None)  # noqa: ARG005
    (outcome,) = work.run(MANIFEST, [("AVLO", "RTH")])
    return outcome


def ledger_row(lake: Lake, profile: str = "core") -> dict[str, Any]:
    return build_ledger(MANIFEST, store(lake, profile)).row(0, named=True)


def certified(lake: Lake) -> list[str]:
    """What `verify` finds after the ledger was made."""
    manifest_id = freeze(lake, MANIFEST) if not lake.manifests("core").is_dir() else None
    manifest_id = manifest_id or str(ManifestStore.in_lake(lake, "core").sidecar()["manifest_id"])
    publish_frame(lake.ledger("core"), build_ledger(MANIFEST, store(lake), manifest_id), below=lake.root)
    return [found.what for found in verify(store(lake)).findings]


def quote(second: int, **changed: object) -> Row:
    return quote_at(second, **{"ask_price": 9.0, **changed})


def sideless(second: int) -> Row:
    sides = ("bid_price", "bid_size", "ask_price", "ask_size")
    return {name: value for name, value in quote(second).items() if name not in sides}


WHOLE: list[tuple[TapeKind, Callable[[int], Row], str]] = [
    ("trades", lambda second: trade(second, price=-1.0), "price is not above 0: 200 of 200"),
    ("trades", lambda second: trade(second, price=0), "price is not above 0: 200 of 200"),
    ("trades", lambda second: trade(second, size=-5), "size is below 0: 200 of 200"),
    ("trades", lambda second: trade(second, price=1e308), "price is above 1,000,000: 200 of 200"),
    ("trades", lambda second: trade(second, sequence_number=7), "all rows have one sequence_number: 200 of 200"),
    (
        "trades",
        lambda second: trade(second, sequence_number=999 - second),
        "sequence_number contradicts the order of time: 199 of 200",
    ),
    ("quotes", sideless, "both sides are missing: 200 of 200"),
    ("quotes", lambda second: quote(second, bid_price=0, ask_price=0), "the book is empty: 200 of 200"),
    ("quotes", lambda second: quote(second, bid_size=-1), "bid_size is below 0: 200 of 200"),
    ("quotes", lambda second: quote(second, sequence_number=7), "all rows have one sequence_number: 200 of 200"),
    ("quotes", lambda second: quote(second, bid_price=8.0, ask_price=7.0), "the book is crossed: 200 of 200"),
]


@pytest.mark.parametrize(("kind", "make", "words"), WHOLE, ids=[words for *_, words in WHOLE])
def test_an_impossible_answer_fails_and_is_asked_for_again(
    lake: Lake, client: MarketDataClient, gate: Gate, *, kind: TapeKind, make: Callable[[int], Row], words: str
) -> None:
    answer_with(gate, kind, [make(second) for second in SECONDS])
    (problem,) = captured(lake, client, kind).problems
    for text in (problem, ledger_row(lake)["cause"]):
        assert words in text
        assert "such as 2025-11-26 15:57:" in text
        assert "Nothing of it was kept; the next run asks again." in text
    assert ledger_row(lake)["state"] == "failed"
    assert not [*lake.root.rglob("*.parquet")]
    answer_with(gate, kind, [(trade if kind == "trades" else quote)(second) for second in SECONDS])
    assert captured(lake, client, kind).problems == ()
    assert ledger_row(lake)[f"{kind}_rejected"] == 0
    # both requests count
    assert ledger_row(lake)[f"{kind}_requests"] == 2


def test_rows_set_aside_are_certified_counted_and_verified(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    rows = [trade(second, **({"price": -1} if second in (5, 150) else {})) for second in SECONDS]
    answer_with(gate, "trades", rows)
    outcome = captured(lake, client, "trades")
    assert (outcome.problems, outcome.figures["rows_rejected"], outcome.figures["rows"]) == ((), 2, 198)
    gate.rule = lambda path, query: None  # noqa: ARG005
    assert captured(lake, client, "quotes").problems == ()
    (path,) = store(lake).published("trades")["path"]
    footer = provenance_of(lake.root / path) or {}
    assert (footer["received"], footer["rows"], footer["rejected"]) == (200, 198, 2)
    row = ledger_row(lake)
    assert (row["state"], row["trades_received"], row["trades_rejected"]) == ("complete", 200, 2)
    (aside,) = lake.quarantine.rglob("*.parquet")
    rejected = pl.read_parquet(aside, hive_partitioning=False)
    assert rejected.select("trade_id", "price", "reason").rows() == [
        ("t5", -1.0, "price is not above 0"),
        ("t150", -1.0, "price is not above 0"),
    ]
    assert certified(lake) == []
    # the vendor sends the same again: no difference
    answer_with(gate, "trades", rows)
    audit = Audit(store(lake), client, 1, log=lambda line: None).run(9, 0)  # noqa: ARG005
    assert audit.filter(kind="trades").select("rows", "added", "removed", "altered").row(0) == (198, 0, 0, 0)
    aside.unlink()
    assert certified(lake) == ["its rejected rows are not in the quarantine"]


def test_rows_set_aside_go_along_with_a_copy_for_another_profile(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    answer_with(gate, "trades", [trade(second, **({"size": -1} if second == 5 else {})) for second in SECONDS])
    captured(lake, client, "trades", "premium")
    gate.requests.clear()
    outcome = captured(lake, client, "trades")
    assert gate.requests == []
    assert (outcome.figures["rows"], outcome.figures["rows_rejected"]) == (199, 1)
    asides = [pl.read_parquet(path, hive_partitioning=False) for path in lake.quarantine.rglob("*.parquet")]
    assert [aside["trade_id"].to_list() for aside in asides] == [["t5"], ["t5"]]
    row = ledger_row(lake)
    assert (row["trades_received"], row["trades_rejected"]) == (200, 1)


@pytest.mark.parametrize(("spoiled", "requests"), [(1, 0), (200, 1)])
def test_what_an_earlier_release_published_is_judged_before_it_is_copied(
    lake: Lake, client: MarketDataClient, gate: Gate, spoiled: int, requests: int
) -> None:
    """Its impossible rows are set aside; tape that is wrong as a whole is fetched instead."""
    answer_with(gate, "trades", [trade(second) for second in SECONDS])
    captured(lake, client, "trades", "premium")
    (path,) = store(lake, "premium").published("trades")["path"]
    rows = pl.read_parquet(path, hive_partitioning=False)
    is_bad = pl.int_range(pl.len()) < spoiled
    footer = {name: value for name, value in (provenance_of(lake.root / path) or {}).items() if name != "rejected"}
    publish_frame(
        lake.root / path, rows.with_columns(pl.when(is_bad).then(-1.0).otherwise("price").alias("price")), footer
    )
    gate.requests.clear()
    outcome = captured(lake, client, "trades")
    assert (outcome.problems, len(gate.requests)) == ((), requests)
    row = ledger_row(lake)
    assert (row["trades_rows"], row["trades_rejected"]) == ((199, 1) if spoiled == 1 else (200, 0))
    assert bool(row["trades_taken_from"]) == (spoiled == 1)


def test_a_span_fetched_anew_without_bad_rows_leaves_none_in_the_quarantine(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    answer_with(gate, "trades", [trade(second, **({"size": -1} if second == 5 else {})) for second in SECONDS])
    captured(lake, client, "trades")
    (path,) = store(lake).published("trades")["path"]
    (lake.root / path).unlink()
    answer_with(gate, "trades", [trade(second) for second in SECONDS])
    captured(lake, client, "trades")
    assert not [*lake.quarantine.rglob("*.parquet")]
    assert {kind: ledger_row(lake)[f"{kind}_rejected"] for kind in TAPE_KINDS} == {"trades": 0, "quotes": None}


def test_the_key_is_never_quoted(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    """An example names times, numbers, prices and sizes only."""
    answer_with(gate, "trades", [trade(second, price=-1, id="a-key-of-tests") for second in SECONDS])
    captured(lake, client, "trades")
    assert "a-key-of-tests" not in json.dumps(ledger_row(lake), default=str)
