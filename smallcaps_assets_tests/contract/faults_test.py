"""Each fault that the exchange can simulate: what a user sees, and what the ledger records."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.simulated.bucket.faults import FILE_FAULTS
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.faults import FAULT_KINDS, FaultyExchange, fault_script
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets_tests.conftest import event, manifest_of
from smallcaps_assets_tests.scenarios import default_settings

MANIFEST = manifest_of(event("2025-11-26 10:00", event_id="a1", symbol="AVLO"))
RETRIES = 2
# a drip takes 10 s; no other answer may come near the deadline, however busy the machine
IMPATIENT_S, PATIENT_S = 1.0, 60.0
TRADES, QUOTES = "/v3/trades/", "/v3/quotes/"


@dataclass(frozen=True)
class Shown:
    """Ledger, files and log after a capture of both kinds under a fault."""

    ledger: dict[str, Any]
    problems: list[str]
    frames: dict[str, pl.DataFrame]
    requests: int
    retries: int


@contextmanager
def client_under(market: SimulatedMarket, script: list[dict[str, Any]]) -> Iterator[MarketDataClient]:
    faulty = FaultyExchange(Exchange(market), fault_script(json.dumps(script)))
    with (
        serve(faulty) as server,
        MarketDataClient(
            Transport(
                server.base_url,
                "a-key-of-tests",
                bucket=TokenBucket(None),
                timeout_s=PATIENT_S,
                deadline_s=IMPATIENT_S if any(rule["fault"] == "drip" for rule in script) else PATIENT_S,
                max_retries=RETRIES,
                sleep=lambda seconds: None,  # noqa: ARG005
            )
        ) as client,
    ):
        yield client


def shown(market: SimulatedMarket, lake: Lake, *script: dict[str, Any]) -> Shown:
    tape = TapeStore(lake, "core", default_settings().profiles["core"])
    problems: list[str] = []
    with client_under(market, list(script)) as client:
        for kind in TAPE_KINDS:
            capture = Capture(kind, tape, client, 1, "abc", log=lambda line: None)  # noqa: ARG005
            for outcome in capture.run(MANIFEST, [("AVLO", "RTH")]):
                problems += outcome.problems
        totals = client.totals()
    frames = {
        kind: pl.read_parquet(path, hive_partitioning=False)
        for kind in TAPE_KINDS
        for path in tape.published(kind)["path"]
    }
    ledger = build_ledger(MANIFEST, tape).row(0, named=True)
    return Shown(ledger, problems, frames, totals.requests_sent, totals.retries)


# temporary faults: the first request fails twice
PASSING = ["429", "429_retry_after", "500", "502", "503", "reset", "truncated_gzip", "drip"]
# faults of every request for trades: the state, and part of its cause
LASTING = {
    "500": ("failed", "failed 3 times, the last time with HTTP 500"),
    "502": ("failed", "failed 3 times, the last time with HTTP 502"),
    "503": ("failed", "failed 3 times, the last time with HTTP 503"),
    "reset": ("failed", "failed 3 times, the last time with"),
    "truncated_gzip": ("failed", "a body cut short after"),
    "drip": ("failed", "an answer without end after 1 s"),
    "html": ("failed", "bytes that are not a JSON object"),
    "no_results": ("failed", "no `results`, which is not the same as an empty list"),
    "loop": ("failed", "repeats the page before it"),
    "endless": ("failed", "repeats the page before it"),
    "impossible": ("failed", "price is not above 0"),
    "403": ("denied", "Trades require the plan Stocks Developer or above"),
}
# faults that do not change what is published
HARMLESS = ["latency", "repeat"]


@pytest.fixture(scope="module")
def undisturbed(small_market: SimulatedMarket, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    found = shown(small_market, Lake(tmp_path_factory.mktemp("undisturbed")))
    assert found.ledger["state"] == "complete"
    assert (found.requests, found.retries) == (2, 0)
    return found


def test_every_fault_has_a_test_here() -> None:
    # those of flat files have theirs in flat_files_test.py
    assert {*PASSING, *LASTING, *HARMLESS, "republish", "bad_row", *FILE_FAULTS} == set(FAULT_KINDS)


@pytest.mark.parametrize("fault", PASSING)
def test_a_temporary_fault_changes_only_the_retry_count(
    small_market: SimulatedMarket, lake: Lake, undisturbed: Shown, fault: str
) -> None:
    found = shown(small_market, lake, {"fault": fault, "requests": [1, 2]})
    assert found.problems == []
    assert found.ledger["state"] == "complete"
    assert found.ledger["trades_requests"] == 3
    assert (found.requests, found.retries) == (4, 2)
    for kind, frame in undisturbed.frames.items():
        assert_frame_equal(found.frames[kind], frame)


@pytest.mark.parametrize("fault", sorted(LASTING))
def test_a_lasting_fault_fails_the_window_with_its_reason(
    small_market: SimulatedMarket, lake: Lake, fault: str
) -> None:
    state, cause = LASTING[fault]
    found = shown(small_market, lake, {"fault": fault, "rate": 1, "path": TRADES})
    assert found.ledger["state"] == state
    assert cause in found.ledger["cause"]
    (problem,) = found.problems
    assert problem.startswith("AVLO RTH 20251126T145700_20251126T150700: ")
    assert cause in problem
    # the quotes of the window are published, the trades are not
    assert set(found.frames) == {"quotes"}
    assert not list(lake.tape("core", "trades").rglob("*.p*"))


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_harmless_fault_changes_nothing(
    small_market: SimulatedMarket, lake: Lake, undisturbed: Shown, fault: str
) -> None:
    found = shown(small_market, lake, {"fault": fault, "rate": 1})
    assert found.ledger["state"] == "complete"
    assert (found.problems, found.retries) == ([], 0)
    for kind, frame in undisturbed.frames.items():
        assert_frame_equal(found.frames[kind], frame)
    pages = 2 if fault == "repeat" else 1
    assert (found.ledger["trades_pages"], found.ledger["quotes_pages"]) == (pages, pages)


def test_quotes_not_in_the_plan_cost_one_request_and_name_the_plan(small_market: SimulatedMarket, lake: Lake) -> None:
    found = shown(small_market, lake, {"fault": "403", "rate": 1, "path": QUOTES})
    assert found.ledger["state"] == "denied"
    assert found.ledger["trades_rows"] > 0
    assert "Quotes require the plan Stocks Advanced or above" in found.ledger["cause"]
    assert "https://massive.com/pricing" in found.ledger["cause"]
    assert found.requests == 2


def test_rows_that_the_vendor_republishes_are_stored_unchanged(
    small_market: SimulatedMarket, lake: Lake, undisturbed: Shown
) -> None:
    found = shown(small_market, lake, {"fault": "republish", "rate": 1})
    assert found.ledger["state"] == "complete"
    assert not found.frames["trades"].equals(undisturbed.frames["trades"])
    keys = found.frames["trades"].select("timestamp", "sequence_number")
    assert_frame_equal(keys, keys.sort("timestamp", "sequence_number"))


def test_an_impossible_row_is_set_aside_and_costs_nothing_else(
    small_market: SimulatedMarket, lake: Lake, undisturbed: Shown
) -> None:
    found = shown(small_market, lake, {"fault": "bad_row", "rate": 1})
    assert (found.ledger["state"], found.problems) == ("complete", [])
    assert (found.ledger["trades_rejected"], found.ledger["quotes_rejected"]) == (1, 1)
    trades = undisturbed.frames["trades"]
    middle = trades.height // 2
    assert_frame_equal(found.frames["trades"], pl.concat([trades[:middle], trades[middle + 1 :]]))
    paths = sorted(lake.quarantine.rglob("*.parquet"))
    quotes, rejected = (pl.read_parquet(path, hive_partitioning=False) for path in paths)
    expected = trades[middle : middle + 1].with_columns(price=-1.0, reason=pl.lit("price is not above 0"))
    assert_frame_equal(rejected, expected)
    assert quotes["reason"].to_list() == ["bid_price is below 0"]
