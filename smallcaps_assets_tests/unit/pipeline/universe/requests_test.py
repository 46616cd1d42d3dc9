"""Which requests a universe takes, what is requested again, and what missing answers mean."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl
import pytest

from smallcaps_assets.errors import InputError, MarketDataError, VendorUnavailable
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.universe.ticker_details import BATCH
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, new_lake, refusal
from smallcaps_assets_tests.listings import DETAILS_OF, Listings, ticker
from smallcaps_assets_tests.unit.pipeline.universe.builds import (
    DAY,
    builder,
    details_requested,
    followed,
    made,
    reasons_of,
)


def test_market_caps_are_requested_again_when_they_are_too_old(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [ticker("A"), ticker("B")]
    listings.caps = {"A": 1e9, "B": 1e9}
    made(lake, client, market_cap_max_age_days=7)
    listings.rows.append(ticker("C"))
    listings.caps |= {"A": 3e9, "C": 1e6}
    gate.requests.clear()
    assert followed(made(lake, client, date(2025, 12, 5), market_cap_max_age_days=7)) == ["A", "B", "C"]
    assert details_requested(gate) == ["C"]
    gate.requests.clear()
    # an answer is valid for four of the seven days for A, for six for B
    universe = made(lake, client, date(2025, 12, 6), market_cap_max_age_days=7)
    assert details_requested(gate) == ["A"]
    assert reasons_of(universe)["A"] == "market cap 3 B above 2 B"
    assert universe["market_cap_date"].to_list() == [date(2025, 12, 6), DAY, date(2025, 12, 5)]
    gate.requests.clear()
    made(lake, client, date(2025, 12, 8), market_cap_max_age_days=7)
    assert details_requested(gate) == ["B"]


def test_market_caps_of_one_night_expire_on_different_days(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    symbols = [f"S{number:03}" for number in range(64)]
    listings.rows = [ticker(symbol) for symbol in symbols]
    made(lake, client)
    requested = []
    for days in (15, 20, 25, 30, 31):
        gate.requests.clear()
        made(lake, client, DAY + timedelta(days=days))
        requested.append(details_requested(gate))
    assert requested[0] == [], "no request before half of the thirty days"
    assert all(0 < len(some) < 48 for some in requested[1:4])
    assert sorted({symbol for some in requested for symbol in some}) == symbols, "every symbol was requested in the end"


@pytest.mark.parametrize("broken", [refusal(500), refusal(400), Reply(200, {}, b"<html>")])
def test_one_symbol_without_a_usable_answer_does_not_stop_the_others(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings, broken: Reply
) -> None:
    listings.rows = [ticker("BAD"), ticker("GOOD")]
    listings.caps = {"BAD": 3e9, "GOOD": 1e9}
    gate.rule = lambda path, query: broken if path == f"{DETAILS_OF}BAD" else listings.reply(path, query)
    log: list[str] = []
    universe = builder(lake, client, log).run(DAY).rows
    assert reasons_of(universe) == {"BAD": None, "GOOD": None}
    assert universe["market_cap_usd"].to_list() == [None, 1e9]
    assert [line for line in log if line.startswith("BAD: type and market cap are unchanged or unknown")]
    gate.rule = listings.reply
    gate.requests.clear()
    assert reasons_of(made(lake, client))["BAD"] == "market cap 3 B above 2 B", (
        "it was not an answer: requested again the same day"
    )
    assert details_requested(gate) == ["BAD"]


@pytest.mark.parametrize("case", [(400, 70, 7), (400, 10, 5), (503, 70, 5), (401, 10, 0)])
def test_the_number_of_symbols_without_a_usable_answer_is_limited(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings, case: tuple[int, int, int]
) -> None:
    status, symbols, few = case
    names = [f"S{number:02}" for number in range(symbols)]
    listings.rows = [ticker(name) for name in names]
    broken = {f"{DETAILS_OF}{name}" for name in names[symbols - few - 1 :]}
    gate.rule = lambda path, query: refusal(status) if path in broken else listings.reply(path, query)
    with pytest.raises(MarketDataError):
        made(lake, client)
    assert not lake.universe.exists()
    lake.ticker_details.unlink()
    broken.remove(f"{DETAILS_OF}{names[-1]}")
    assert followed(made(lake, client)) == names


def test_an_interrupted_run_continues_where_it_stopped(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    symbols = [f"S{number:03}" for number in range(3 * BATCH)]
    listings.rows = [ticker(symbol) for symbol in symbols]
    listings.caps = dict.fromkeys(symbols, 1e9)
    broken = symbols[2 * BATCH :]
    gate.rule = lambda path, query: (
        refusal(503) if path.removeprefix(DETAILS_OF) in broken else listings.reply(path, query)
    )
    log: list[str] = []
    with pytest.raises(VendorUnavailable):
        builder(lake, client, log).run(DAY)
    assert log[0] == f"requesting type and market cap of {3 * BATCH} symbols, one request each"
    assert not lake.universe.exists(), "half a universe is none"
    kept = set(UniverseStore(lake).details()["symbol"])
    assert len(kept) >= 2 * BATCH - 2, "all but what was under way"
    gate.rule = listings.reply
    gate.requests.clear()
    assert followed(made(lake, client)) == symbols
    assert details_requested(gate) == [symbol for symbol in symbols if symbol not in kept]


# builds the universe of a lake, in a process that can be killed
ALONE = """
import sys
from pathlib import Path
from smallcaps_assets.lake.imports import ImportKind, record_import
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets_tests.unit.pipeline.universe.builds import DAY, builder
client = MarketDataClient(Transport(sys.argv[2], "a-key-of-tests", bucket=TokenBucket(None)))
builder(Lake(Path(sys.argv[1])), client).run(DAY)
"""


@pytest.mark.slow
def test_a_killed_run_continues_where_it_stopped(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    symbols = [f"S{number:03}" for number in range(3 * BATCH)]
    listings.rows = [ticker(symbol) for symbol in symbols]
    running: list[subprocess.Popen[bytes]] = []

    def killing(path: str, query: Mapping[str, str]) -> Reply | None:
        if path == f"{DETAILS_OF}{symbols[-1]}":
            running[0].kill()
        return listings.reply(path, query)

    gate.rule = killing
    command = [sys.executable, "-c", ALONE, str(lake.root), gate.base_url]
    running.append(subprocess.Popen(command, stderr=subprocess.PIPE))
    _, error = running[0].communicate(timeout=120)
    assert not lake.universe.exists(), error
    assert symbols[-1] in details_requested(gate), error
    kept = set(UniverseStore(lake).details()["symbol"])
    assert len(kept) in (BATCH, 2 * BATCH, 3 * BATCH)
    assert len(kept) >= 3 * BATCH - BATCH - 2, "all but a batch and what was under way"
    gate.rule = listings.reply
    gate.requests.clear()
    assert followed(made(lake, client)) == symbols
    assert details_requested(gate) == [symbol for symbol in symbols if symbol not in kept]


def test_details_of_another_source_are_not_used(lake: Lake, client: MarketDataClient, listings: Listings) -> None:
    listings.rows = [ticker("A")]
    made(lake, client)
    lake.universe.unlink()
    with pytest.raises(InputError, match="holds data of another source"):
        made(lake, client, seed=8)


def test_a_plan_without_details_costs_one_request_and_counts_as_unknown(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [ticker(symbol) for symbol in "ABCDEFGH"]
    gate.rule = lambda path, query: refusal(403) if path.startswith(DETAILS_OF) else listings.reply(path, query)
    log: list[str] = []
    assert len(followed(builder(lake, client, log).run(DAY).rows)) == 8
    assert len(details_requested(gate)) == 1
    assert any("types and market caps of 8 symbols count as unknown" in line for line in log)


def test_without_the_filter_no_market_cap_is_requested(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = made(lake, client, max_market_cap_usd=None)
    assert details_requested(gate) == []
    assert universe["market_cap_usd"].null_count() == 4


def test_a_plan_without_reference_data_leaves_it_unknown_and_reports_it(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    gate.rule = lambda path, query: refusal(403) if path.startswith("/stocks/") else None  # noqa: ARG005
    log: list[str] = []
    universe = builder(lake, client, log).run(DAY).rows
    assert universe.height == 4
    assert universe.select("float_shares", "short_interest_shares", "days_to_cover").null_count().row(0) == (4, 4, 4)
    assert any(line.startswith("float_shares count as unknown") for line in log)


@pytest.mark.parametrize(
    ("denied", "column"),
    [
        (DETAILS_OF, "market_cap_usd"),
        ("/v2/aggs/grouped", "price_usd"),
        ("/stocks/vX/float", "float_shares"),
        ("/stocks/v1/short-interest", "days_to_cover"),
    ],
)
def test_denied_data_are_requested_again_once_the_plan_includes_them(
    lake: Lake, client: MarketDataClient, gate: Gate, denied: str, column: str
) -> None:
    gate.rule = lambda path, query: refusal(403) if path.startswith(denied) else None  # noqa: ARG005
    assert made(lake, client, min_price_usd=0.01)[column].null_count() == 4
    gate.rule = lambda path, query: None  # noqa: ARG005
    assert made(lake, client, min_price_usd=0.01)[column].null_count() < 4
    gate.requests.clear()
    made(lake, client, min_price_usd=0.01)
    assert gate.requests == []


def test_included_reference_data_are_used_if_others_are_denied(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    whole = made(new_lake(lake.root.with_name("whole")), client)
    gate.rule = lambda path, query: refusal(403) if path.endswith("/short-interest") else None  # noqa: ARG005
    without_short = made(new_lake(lake.root.with_name("a")), client)
    assert without_short["float_shares"].to_list() == whole["float_shares"].to_list()
    assert without_short["days_to_cover"].null_count() == 4
    gate.rule = lambda path, query: refusal(403) if path.endswith("/float") else None  # noqa: ARG005
    without_float = made(new_lake(lake.root.with_name("b")), client)
    assert without_float["float_shares"].null_count() == 4
    assert without_float["days_to_cover"].to_list() == whole["days_to_cover"].to_list()


def test_a_symbol_with_a_bad_answer_is_unknown_and_requested_again(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    whole = made(new_lake(lake.root.with_name("whole")), client)
    (known, *_) = whole.filter(pl.col("float_shares").is_not_null())["symbol"]

    def bad_for_one(path: str, query: Mapping[str, str]) -> Reply | None:
        is_bad = path.endswith("/float") and known in query["ticker.any_of"].split(",")
        return Reply(200, {}, b'{"status": "OK", "results": [{"ticker": 7}]}') if is_bad else None

    gate.rule = bad_for_one
    log: list[str] = []
    spoiled = builder(lake, client, log).run(DAY).rows
    assert spoiled.filter(symbol=known)["float_shares"].to_list() == [None]
    others = pl.col("symbol") != known
    assert spoiled.filter(others)["float_shares"].to_list() == whole.filter(others)["float_shares"].to_list()
    assert f"float_shares of {known} count as unknown: the vendor's answer for them is bad" in log
    gate.rule = lambda path, query: None  # noqa: ARG005
    assert made(lake, client)["float_shares"].to_list() == whole["float_shares"].to_list()
