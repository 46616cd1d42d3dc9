"""Which symbols are followed, why others are not, and what is kept of symbols that left."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.domain.universe import UNIVERSE, UniverseParams
from smallcaps_assets.errors import InputError, MarketDataError, RequestRejected, VendorUnavailable
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.imports import ImportKind, record_import
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.source import require_payable, require_real, require_same_source, source_identity
from smallcaps_assets.pipeline.universe.ticker_details import BATCH
from smallcaps_assets.pipeline.universe.universe import UniverseBuilder
from smallcaps_assets.settings.sections import SourceParams
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, files_below, new_lake, refusal
from smallcaps_assets_tests.listings import BIG, DETAILS_OF, Listings, ticker
from smallcaps_assets_tests.scenarios import default_settings

DAY = date(2025, 12, 1)
TICKERS = "/v3/reference/tickers"


def builder(
    lake: Lake, client: MarketDataClient, log: list[str] | None = None, seed: int = 7, **changes: Any
) -> UniverseBuilder:
    source = default_settings().source.model_dump()
    source["embedded"] |= {"seed": seed}
    params = UniverseParams.model_validate(default_settings().universe.model_dump() | changes)
    return UniverseBuilder(
        store=UniverseStore(lake),
        client=client,
        params=params,
        source=SourceParams.model_validate(source),
        file=lake.root.parent / params.file if params.file else None,
        first_session=date(2025, 11, 3),
        threads=2,
        log=([] if log is None else log).append,
    )


def made(lake: Lake, client: MarketDataClient, as_of: date = DAY, **changes: Any) -> pl.DataFrame:
    return builder(lake, client, **changes).run(as_of).rows


def reasons_of(universe: pl.DataFrame) -> dict[str, str | None]:
    """Each symbol with the reason why it is not followed, None if it is."""
    assert (universe["active"] == universe["reason"].is_null()).all()
    assert (universe["active"] == universe["excluded_by"].is_null()).all()
    return dict(universe.select("symbol", "reason").iter_rows())


def followed(universe: pl.DataFrame) -> list[str]:
    return universe.filter("active")["symbol"].to_list()


def details_requested(gate: Gate) -> list[str]:
    return sorted(path.removeprefix(DETAILS_OF) for path, _ in gate.requests if path.startswith(DETAILS_OF))


@pytest.fixture
def listings(gate: Gate) -> Listings:
    """A list of tickers written by the test, in place of the exchange's."""
    written = Listings()
    gate.rule = written.reply
    return written


# ------------------------------------------------------------------------------------------------- the vendor's list


def test_the_universe_has_the_vendors_list_and_reference_data(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = made(lake, client)
    assert universe.schema == UNIVERSE
    assert universe["symbol"].to_list() == sorted(gate.exchange._market.symbols())
    assert universe["active"].all()
    assert universe["ticker_type"].unique().to_list() == ["CS"]
    assert universe["float_shares"].drop_nulls().len() > 0
    assert universe["short_interest_shares"].drop_nulls().len() > 0
    (avlo,) = universe.filter(symbol="AVLO").to_dicts()
    details = gate.exchange._market.details("AVLO", DAY)
    assert details is not None
    assert (avlo["market_cap_usd"], avlo["market_cap_date"]) == (details["market_cap"], DAY)
    assert (avlo["first_seen"], avlo["last_seen"]) == (DAY, DAY)
    assert UniverseStore(lake).read().equals(universe)
    (listing,) = [query for path, query in gate.requests if path == TICKERS]
    assert (listing["market"], listing["active"]) == ("stocks", "true")
    assert "type" not in listing, "who is of another type has a row with the reason"


def test_the_same_request_is_sent_once(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = made(lake, client)
    before = files_below(lake.root)
    gate.requests.clear()
    assert builder(lake, client).run(DAY).rows.equals(universe)
    limits = default_settings().universe.limits.model_dump() | {"max_large_cap_share": 0.5}
    again = builder(lake, client, limits=limits, test_symbols=["ZVZZT"]).run(DAY)
    assert again.rows.equals(universe)
    assert (again.added, again.left) == ([], [])
    assert gate.requests == []
    assert files_below(lake.root) == before
    made(lake, client, date(2025, 12, 2))
    assert gate.requests


LISTED = (
    ticker("GOOD"),
    ticker("ADR", type="ADRC"),
    ticker("FUND", type="ETF"),
    ticker("ODD", type=None),
    ticker("ELSE", primary_exchange="LTSE"),
    ticker("NOWHERE", primary_exchange=None),
    ticker("A|B"),
)


def test_every_listed_symbol_has_a_row_and_every_excluded_one_a_reason(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [*LISTED]
    universe = made(lake, client)
    assert reasons_of(universe) == {
        "ADR": "type ADRC",
        "A|B": "not usable as a name",
        "ELSE": "exchange LTSE",
        "FUND": "type ETF",
        "GOOD": None,
        "NOWHERE": "exchange unknown",
        "ODD": "type unknown",
    }
    by = dict(universe.select("symbol", "excluded_by").iter_rows())
    assert (by["ADR"], by["A|B"], by["ELSE"]) == ("type", "symbol", "exchange")
    assert details_requested(gate) == ["GOOD"], "an excluded symbol costs no request"
    (floats,) = [query for path, query in gate.requests if path == "/stocks/vX/float"]
    assert floats["ticker.any_of"] == "GOOD"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["GOOD"]),
        ({"ticker_types": None}, ["ADR", "FUND", "GOOD", "ODD"]),
        ({"ticker_types": ["CS", "ADRC"]}, ["ADR", "GOOD"]),
        ({"exchanges": None}, ["ELSE", "GOOD", "NOWHERE"]),
        ({"exchanges": ["LTSE"]}, ["ELSE"]),
    ],
)
def test_filters_by_type_and_exchange(
    lake: Lake, client: MarketDataClient, listings: Listings, changes: dict[str, Any], expected: list[str]
) -> None:
    listings.rows = [*LISTED]
    assert followed(made(lake, client, max_market_cap_usd=None, **changes)) == expected


def test_price_filters_take_one_request_and_keep_symbols_without_trades(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [ticker(symbol) for symbol in ("CENT", "DEAR", "ONE", "TEN", "STILL")]
    listings.closes = {"CENT": 0.4, "DEAR": 10.01, "ONE": 1.0, "TEN": 10.0}
    assert all(reason is None for reason in reasons_of(made(lake, client, max_market_cap_usd=None)).values())
    assert not [path for path, _ in gate.requests if "grouped" in path]
    universe = made(lake, client, min_price_usd=1.0, max_price_usd=10.0, max_market_cap_usd=None)
    assert reasons_of(universe) == {
        "CENT": "price 0.4 below 1",
        "DEAR": "price 10.01 above 10",
        "ONE": None,
        "STILL": None,
        "TEN": None,
    }
    assert universe["excluded_by"].drop_nulls().to_list() == ["price", "price"]
    assert dict(universe.select("symbol", "price_usd").iter_rows())["STILL"] is None
    (grouped,) = [path for path, _ in gate.requests if "grouped" in path]
    assert grouped.endswith(f"/{DAY}"), "the last session that is over"


def test_prices_are_the_last_closes(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = made(lake, client, min_price_usd=0.01, max_market_cap_usd=None)
    market = gate.exchange._market
    closes = [market.daily(symbol, DAY, DAY)["close"].item() for symbol in universe["symbol"]]
    assert universe["price_usd"].to_list() == closes


def test_the_market_cap_limit_is_inclusive(lake: Lake, client: MarketDataClient, listings: Listings) -> None:
    listings.rows = [ticker(symbol) for symbol in ("EDGE", "HUGE", "NONE", "OVER")]
    listings.caps = {"EDGE": 2e9, "OVER": 2.004e9, "HUGE": 5.1e9}
    universe = made(lake, client)
    assert reasons_of(universe) == {
        "EDGE": None,
        "HUGE": "market cap 5.1 B above 2 B",
        "NONE": None,
        "OVER": "market cap 2.004 B above 2 B",
    }
    strict = made(lake, client, unknown_market_cap="exclude")
    assert reasons_of(strict)["NONE"] == "market cap unknown"
    assert strict.filter(symbol="NONE")["excluded_by"].item() == "market_cap"


def test_a_ticker_without_details_counts_as_unknown(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [ticker("KNOWN"), ticker("GONE")]
    listings.unknown = {"GONE"}
    assert reasons_of(made(lake, client)) == {"GONE": None, "KNOWN": None}
    gate.requests.clear()
    made(lake, client, date(2025, 12, 2))
    assert details_requested(gate) == [], "not found is an answer too"


def test_delisted_symbols_are_followed_to_their_last_day(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [
        ticker("LIVE"),
        ticker("AGAIN"),
        ticker("AGAIN", active=False, delisted_utc="2025-11-20T00:00:00Z"),
        ticker("LATE", active=False, delisted_utc="2025-11-18T00:00:00Z"),
        ticker("LATE", active=False, delisted_utc="2011-01-03T00:00:00Z", type="ETF"),
        ticker("OLD", active=False, delisted_utc="2019-05-01T00:00:00Z"),
        ticker("WHEN", active=False),
    ]
    assert set(reasons_of(made(lake, client))) == {"AGAIN", "LIVE"}
    gate.requests.clear()
    universe = made(lake, client, include_delisted=True)
    assert reasons_of(universe) == {
        "AGAIN": None,
        "LATE": None,
        "LIVE": None,
        "OLD": "delisted 2019-05-01, before history begins",
        "WHEN": "delisted, the vendor gives no date",
    }
    assert UniverseStore(lake).followed() == {"AGAIN": date.max, "LATE": date(2025, 11, 18), "LIVE": date.max}
    # on the day of its delisting the vendor no longer lists a symbol
    assert [query["date"] for path, query in gate.requests if path == f"{DETAILS_OF}LATE"] == ["2025-11-17"]
    gate.requests.clear()
    made(lake, client, date(2026, 12, 1), include_delisted=True)
    assert details_requested(gate) == ["AGAIN", "LIVE"], "past symbols do not expire"


def test_symbols_that_differ_only_in_case_or_name_a_device_of_windows_are_followed(
    lake: Lake, client: MarketDataClient
) -> None:
    made(lake, client, symbols=["KIMpL", "KIMPL", "CON", "PRN"], reference_data=False)
    assert list(UniverseStore(lake).followed()) == ["CON", "KIMPL", "KIMpL", "PRN"]


def test_an_empty_universe_is_rejected_with_the_reason(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    listings.rows = [ticker(symbol) for symbol in "ABCD"]
    with pytest.raises(InputError, match="no usable symbol: of 4 listed, 4 by type are excluded"):
        made(lake, client, ticker_types=["WARRANT"])
    listings.rows = []
    with pytest.raises(InputError, match="no usable symbol: no symbol is listed"):
        made(lake, client)


# ------------------------------------------------------------------------------------- requests and their repetition


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
from smallcaps_assets.market_data.pacing import TokenBucket
from smallcaps_assets.market_data.transport import Transport
from smallcaps_assets_tests.unit.pipeline.universe.universe_test import DAY, builder
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


def test_a_ticker_with_rows_of_two_types_or_exchanges_is_left_out_with_the_reason(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    """A row that repeats another exactly is none, and a row of another name only is logged."""
    listings.rows = [
        *(ticker("A"), ticker("B"), ticker("A", type="ETF"), ticker("B")),
        *(ticker("C"), ticker("C", name="Other"), ticker("D"), ticker("D", primary_exchange=None)),
    ]
    log: list[str] = []
    built = builder(lake, client, log).run(DAY)
    of_a, of_d = (
        f"the vendor lists it as {rows}"
        for rows in ("CS on XNAS and as ETF on XNAS", "CS on XNAS and as CS on unknown")
    )
    assert reasons_of(built.rows) == {"A": of_a, "B": None, "C": None, "D": of_d}
    assert built.rows.filter(~pl.col("active"))["excluded_by"].to_list() == ["source"] * 2
    assert built.bad_rows == (f"tickers of A, {of_a}", f"tickers of D, {of_d}")
    assert f"left out of the vendor's list: A, {of_a}" in log
    assert "the vendor lists C several times with different details; the first ones count" in log
    # it is followed as soon as its rows agree
    listings.rows = [ticker("A"), ticker("B")]
    assert followed(made(lake, client, date(2025, 12, 2))) == ["A", "B"]


def test_of_delisted_companies_of_a_ticker_only_rows_of_the_same_day_contradict_each_other(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    def gone(symbol: str, day: str | None, **changes: Any) -> dict[str, Any]:
        return ticker(symbol, active=False, delisted_utc=None if day is None else f"{day}T00:00:00Z", **changes)

    listings.rows = [
        *(ticker("A"), gone("A", "2025-11-20", type="ETF")),
        *(gone("B", "2025-11-20"), gone("B", "2025-11-10", type="ETF")),
        *(gone("C", "2025-11-20"), gone("C", "2025-11-20", type="ETF")),
        *(gone("D", None), gone("D", None, type="ETF")),
    ]
    assert reasons_of(made(lake, client, include_delisted=True)) == {
        "A": None,
        "B": None,
        "C": "the vendor lists it as CS on XNAS and as ETF on XNAS",
        "D": "delisted, the vendor gives no date",
    }


def test_a_ticker_without_capitals_beside_the_same_in_capitals_is_left_out(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    """Files of users that say brk.a mean BRK.A; a preferred share, and a lone name without capitals, are clear."""
    listings.rows = [ticker(symbol) for symbol in ("BRK.A", "brk.a", "BCPC", "BCpC", "abc")]
    built = builder(lake, client).run(DAY)
    reason = "the vendor lists BRK.A as well, which differs only in case"
    assert reasons_of(built.rows) == {"BCPC": None, "BCpC": None, "BRK.A": None, "abc": None, "brk.a": reason}
    assert built.bad_rows == (f"tickers of brk.a, {reason}",)


def test_a_symbol_with_a_bad_row_in_the_list_is_named_and_one_that_is_followed_stays(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    listings.rows = [ticker("A"), ticker("B"), ticker("C")]
    assert followed(made(lake, client)) == ["A", "B", "C"]
    listings.rows = [ticker("A"), ticker("B", name=5), ticker("C")]
    log: list[str] = []
    later = date(2025, 12, 2)
    built = builder(lake, client, log).run(later)
    assert followed(built.rows) == ["A", "B", "C"]
    assert built.bad_rows == ("tickers of B, row 2: `name` is 5",)
    assert "a bad row in the vendor's list is left out: tickers of B, row 2: `name` is 5" in log
    # it is asked for again, although nothing else changed
    listings.rows = [ticker("A"), ticker("B"), ticker("C"), ticker("D", name=5)]
    universe = made(lake, client, later)
    assert reasons_of(universe) == {"A": None, "B": None, "C": None, "D": "the vendor's row is bad, row 4: `name` is 5"}
    assert universe.filter(symbol="D")["excluded_by"].to_list() == ["source"]


def test_a_failed_request_for_the_list_changes_nothing(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    made(lake, client)
    before = files_below(lake.root)
    gate.rule = lambda path, query: refusal(400)  # noqa: ARG005
    with pytest.raises(RequestRejected):
        made(lake, client, date(2025, 12, 2))
    assert files_below(lake.root) == before


# ------------------------------------------------------------------------------------------ symbols named by the user


def test_named_symbols_need_no_list(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = made(lake, client, symbols=["CRVO", "AVLO", "CRVO"], reference_data=False)
    assert gate.requests == []
    assert universe["symbol"].to_list() == ["AVLO", "CRVO"]
    assert universe["float_shares"].null_count() == 2


def test_named_symbols_are_followed_regardless_of_filters_and_have_their_details(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [ticker("AAPL"), ticker("SPY", type="ETF", primary_exchange="ARCX")]
    listings.caps = {"AAPL": 3.4e12}
    listings.unknown = {"TYPO"}
    universe = made(lake, client, symbols=["spy", "AAPL", "TYPO"])
    assert reasons_of(universe) == {"AAPL": None, "SPY": None, "TYPO": None}
    assert universe["ticker_type"].to_list() == ["CS", "ETF", None]
    assert universe["market_cap_usd"].to_list() == [3.4e12, None, None]
    assert universe["primary_exchange"].to_list() == ["XNAS", "ARCX", None]
    assert not [path for path, _ in gate.requests if path == TICKERS]


def test_only_values_missing_in_the_file_are_requested(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [ticker("AEMD"), ticker("ATRA", type="ADRC"), ticker("BNRX")]
    listings.caps = {"ATRA": 7e6, "BNRX": 8e6}
    (lake.root.parent / "mine.csv").write_text(
        "symbol,ticker_type,market_cap_usd,float_shares,active\n"
        "AEMD,CS,5e6,1000000,yes\nATRA,CS,,,\nBNRX,,9e6,,\nCRVO,,,,no\nA|B,,,,\n"
    )
    universe = made(lake, client, file="mine.csv")
    assert reasons_of(universe) == {
        "A|B": "not usable as a name",
        "AEMD": None,
        "ATRA": None,
        "BNRX": None,
        "CRVO": "inactive in mine.csv",
    }
    assert details_requested(gate) == ["ATRA", "BNRX"]
    rows = universe.filter("active").select("symbol", "ticker_type", "market_cap_usd", "market_cap_date").rows()
    assert rows == [("AEMD", "CS", 5e6, DAY), ("ATRA", "CS", 7e6, DAY), ("BNRX", "CS", 9e6, DAY)]
    (floats,) = [query for path, query in gate.requests if path == "/stocks/vX/float"]
    assert floats["ticker.any_of"] == "ATRA,BNRX"
    assert universe.filter(symbol="AEMD")["float_shares"].item() == 1e6


def test_an_edited_file_is_read_again_and_an_unchanged_one_costs_no_request(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    file = lake.root.parent / "mine.csv"
    file.write_text("ticker\nAVLO\nBNRX\n")
    made(lake, client, file="mine.csv")
    gate.requests.clear()
    assert builder(lake, client, file="mine.csv").run(DAY).added == []
    assert gate.requests == []
    file.write_text("ticker\nAVLO\nCRVO\n")
    again = builder(lake, client, file="mine.csv").run(DAY)
    assert (again.added, again.left) == (["CRVO"], ["BNRX"])
    assert reasons_of(again.rows) == {"AVLO": None, "BNRX": "no longer in mine.csv", "CRVO": None}
    assert details_requested(gate) == ["CRVO"]


def test_a_missing_file_is_named(lake: Lake, client: MarketDataClient) -> None:
    with pytest.raises(InputError, match=r"mine\.csv: cannot be read .*Correct universe\.file"):
        made(lake, client, file="mine.csv")


# ------------------------------------------------------------------------------------------ symbols that join and leave


def test_a_symbol_that_left_stays_inactive_with_a_reason_and_may_return(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    listings.rows = [ticker("A"), ticker("B")]
    first = builder(lake, client).run(DAY)
    assert (first.added, first.left) == (["A", "B"], [])
    listings.rows = [ticker("A")]
    left = builder(lake, client).run(date(2025, 12, 2))
    assert (left.added, left.left) == ([], ["B"])
    assert reasons_of(left.rows) == {"A": None, "B": "no longer listed"}
    assert left.rows["excluded_by"].to_list() == [None, "gone"]
    assert left.rows.select("first_seen", "last_seen").rows() == [(DAY, date(2025, 12, 2)), (DAY, DAY)]
    listings.rows = [ticker("B"), ticker("C")]
    back = builder(lake, client).run(date(2025, 12, 3))
    assert (back.added, back.left) == (["B", "C"], ["A"])
    assert reasons_of(back.rows) == {"A": "no longer listed", "B": None, "C": None}
    assert back.rows["first_seen"].to_list() == [DAY, DAY, date(2025, 12, 3)]


def test_excluded_symbols_keep_the_reference_data_used_for_their_events(lake: Lake, client: MarketDataClient) -> None:
    before = made(lake, client)
    largest = before.sort("market_cap_usd")["symbol"][-1]
    caps = before["market_cap_usd"].sort()
    after = made(lake, client, max_market_cap_usd=(caps[-2] + caps[-1]) / 2)
    assert reasons_of(after)[largest] is not None
    assert after.select(*REFERENCE).equals(before.select(*REFERENCE))
    assert before.filter(symbol=largest)["float_shares"].item() is not None


def test_a_universe_of_an_earlier_version_is_read(lake: Lake, client: MarketDataClient) -> None:
    earlier = ["market_cap_usd", "market_cap_date", "price_usd", "listed", "delisted"]
    earlier += ["excluded_by", "first_seen", "last_seen"]
    universe = made(lake, client, symbols=["AVLO"])
    publish_frame(lake.universe, universe.drop(earlier), {"source": "simulated market, seed 7"})
    assert UniverseStore(lake).read().drop(earlier).equals(universe.drop(earlier))
    assert UniverseStore(lake).followed() == {"AVLO": date.max}
    assert followed(made(lake, client, symbols=["AVLO"])) == ["AVLO"]


def test_data_of_another_source_are_rejected(lake: Lake, client: MarketDataClient) -> None:
    made(lake, client)
    before = files_below(lake.root)
    with pytest.raises(InputError, match=r"holds data of another source .*seed 7, not simulated market, seed 8"):
        made(lake, client, seed=8)
    assert files_below(lake.root) == before


# ------------------------------------------------------------------------------------------------- before paid work


def payable(lake: Lake, **limits: Any) -> None:
    changes = {"source": {"embedded": {"seed": 7}}, "universe": {"limits": limits}}
    require_payable(UniverseStore(lake), load_settings(overrides=changes))


def test_paid_work_stops_if_too_many_are_large_caps(lake: Lake, client: MarketDataClient, listings: Listings) -> None:
    symbols = [f"S{number:02}" for number in range(38)]
    listings.rows = [ticker(symbol) for symbol in (*symbols, "AAPL", "MSFT")]
    listings.caps = dict.fromkeys(symbols, 1e9) | {"AAPL": 3.4e12, "MSFT": 3.1e12, "S00": BIG - 1}
    made(lake, client, symbols=[*symbols, "AAPL", "MSFT"])
    payable(lake)  # 2 of 40 is 5 %, which is allowed
    with pytest.raises(InputError) as caught:
        payable(lake, max_large_cap_share=0.04)
    for words in (
        "universe.parquet: 2 of 40 symbols (5.0 %) have a market cap of 10 B and more",
        "universe.limits.max_large_cap_share allows 4 %",
        "such as AAPL (3400 B), MSFT (3100 B). No request was sent",
        "materialize universe again",
    ):
        assert words in str(caught.value)
    payable(lake, max_large_cap_share=0.04, from_symbols=41)
    with pytest.raises(InputError, match=r"3 of 40 symbols \(7\.5 %\)"):
        payable(lake, large_cap_usd=BIG - 1)


def test_paid_work_stops_if_too_many_are_of_unknown_type(lake: Lake, client: MarketDataClient) -> None:
    symbols = [f"S{number:02}" for number in range(20)]
    made(lake, client, symbols=symbols, reference_data=False)
    with pytest.raises(InputError, match=r"20 of 20 symbols \(100\.0 %\) are of unknown type.*such as S00, S01, S02"):
        payable(lake)
    payable(lake, max_unknown_type_share=1.0, max_unknown_market_cap_share=1.0)
    made(lake, client, symbols=symbols[:19], reference_data=False)
    payable(lake)  # too few to judge; S19 left and no longer counts


def test_paid_work_stops_if_too_many_market_caps_are_unknown(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    symbols = [f"S{number:02}" for number in range(20)]
    listings.rows = [ticker(symbol) for symbol in symbols]
    listings.caps = dict.fromkeys(symbols[:10], 1e9)
    made(lake, client)
    payable(lake)  # 10 of 20 is 50 %, which is allowed
    with pytest.raises(InputError, match=r"10 of 20 symbols \(50\.0 %\) are of unknown market cap.*such as S10, S11"):
        payable(lake, max_unknown_market_cap_share=0.49)
    made(lake, client, max_market_cap_usd=None)
    remedy = r"20 of 20 .*max_unknown_market_cap_share allows 50 %.*universe\.max_market_cap_usd.*universe\.file"
    with pytest.raises(InputError, match=remedy):
        payable(lake)
    payable(lake, from_symbols=21)


def test_a_lake_without_a_universe_is_not_judged(lake: Lake) -> None:
    payable(lake)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"embedded": {"symbols": 99}}, True),
        ({"embedded": {"seed": 8}}, False),
        ({"embedded": {"replay": "somewhere"}}, False),
        ({"kind": "vendor"}, False),
    ],
)
def test_data_of_different_sources_are_never_mixed_in_a_lake(
    tmp_path: Path, changes: dict[str, Any], same: bool
) -> None:
    store = UniverseStore(Lake(tmp_path))
    source = load_settings(overrides={"source": {"embedded": {"seed": 7}}}).source
    store.replace(UNIVERSE.to_frame(), {"as_of": "", "settings": "", "source": source_identity(source)})
    other = load_settings(overrides={"source": changes}).source
    if same:
        require_same_source(store, other)
    else:
        with pytest.raises(InputError, match="holds data of another source"):
            require_same_source(store, other)


@pytest.mark.parametrize(
    ("changes", "rejected"),
    [({}, True), ({"embedded": {"replay": "somewhere"}}, False), ({"kind": "vendor"}, False)],
)
def test_imported_data_are_never_mixed_with_a_simulated_market(
    tmp_path: Path, changes: dict[str, Any], rejected: bool
) -> None:
    store = UniverseStore(Lake(tmp_path))
    kinds: list[ImportKind] = ["windows", "bars", "bars"]
    for kind in kinds:
        record_import(store.lake, kind)
    source = load_settings(overrides={"source": changes}).source
    require_real(store, source, "events")
    if rejected:
        with pytest.raises(InputError, match="imported bars, windows of a real market, not simulated market, seed"):
            require_same_source(store, source)
    else:
        require_same_source(store, source)


def test_both_domains_of_the_vendor_are_the_same_source() -> None:
    def named(url: str) -> str:
        return source_identity(load_settings(overrides={"source": {"kind": "vendor", "base_url": url}}).source)

    assert named("https://api.massive.com") == named("https://api.polygon.io")
    assert named("https://api.massive.com") != named("http://127.0.0.1:8900")
