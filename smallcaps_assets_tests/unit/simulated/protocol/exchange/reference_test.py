"""Tickers, details, short interest, floats, splits, holidays, market status and conditions."""

from datetime import UTC, datetime

import pytest

from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets_tests.unit.simulated.conftest import at
from smallcaps_assets_tests.unit.simulated.protocol.exchange.asked import follow, get, rows_of


def test_tickers_page_in_order(exchange, market):
    pages = follow(exchange, "/v3/reference/tickers", limit=5)
    assert [page["count"] for page in pages] == [5, 5, 2]
    assert [row["ticker"] for row in rows_of(pages)] == sorted(market.symbols())


def test_tickers_are_filtered(exchange, market):
    def tickers(**query):
        return [row["ticker"] for row in get(exchange, "/v3/reference/tickers", **query)["results"]]

    assert tickers(ticker="NA") == ["NA"]
    assert tickers(type="ADRC") == ["IRVN"]
    assert tickers(**{"ticker.gte": "HLXA", "ticker.lt": "NA"}) == ["HLXA", "IRVN", "KLMpA"]
    assert tickers(search="grve") == ["GRVE.B"]
    assert tickers(active="false") == []
    assert tickers(market="otc") == []
    assert len(tickers(exchange="XNAS")) + len(tickers(exchange="XNYS")) + len(tickers(exchange="XASE")) == 12
    assert tickers(order="desc") == sorted(market.symbols(), reverse=True)


def test_details_are_those_of_the_date(exchange):
    before = get(exchange, "/v3/reference/tickers/DRFT", date="2025-11-04")["results"]
    after = get(exchange, "/v3/reference/tickers/DRFT", date="2025-11-05", ticker="DRFT")["results"]
    assert before["weighted_shares_outstanding"] == 8 * after["weighted_shares_outstanding"]
    assert before["market_cap"] == pytest.approx(after["market_cap"], rel=0.5)


def test_short_interest_is_filtered_sorted_and_paged(exchange):
    rows = rows_of(follow(exchange, "/stocks/v1/short-interest", limit=50))
    assert len(rows) == 10 * len({row["settlement_date"] for row in rows})
    assert [row["ticker"] for row in rows] == sorted(row["ticker"] for row in rows)
    some = get(
        exchange,
        "/stocks/v1/short-interest",
        **{"ticker.any_of": "NA,CRVO", "settlement_date.gte": "2025-11-01"},
        limit=100,
    )
    assert {row["ticker"] for row in some["results"]} == {"NA", "CRVO"}
    assert all(row["settlement_date"] >= "2025-11-01" for row in some["results"])
    latest = get(exchange, "/stocks/v1/short-interest", ticker="NA", sort="settlement_date", order="desc", limit=1)[
        "results"
    ]
    assert latest[0]["settlement_date"] == "2025-12-15"
    crowded = get(exchange, "/stocks/v1/short-interest", **{"days_to_cover.gt": 5}, limit=500)["results"]
    assert "KLMpA" in {row["ticker"] for row in crowded}
    assert all(row["days_to_cover"] > 5 for row in crowded)


def test_floats_and_splits(exchange):
    rows = rows_of(follow(exchange, "/stocks/vX/float", limit=3))
    assert "FNTA" not in {row["ticker"] for row in rows}
    assert all(0 < row["free_float_percent"] <= 100 for row in rows)
    old = get(exchange, "/v3/reference/splits", ticker="DRFT", reverse_split="true")["results"]
    assert old[0].keys() == {"id", "execution_date", "split_from", "split_to", "ticker"}
    assert get(exchange, "/v3/reference/splits", reverse_split="false")["results"] == []


def test_holidays_are_a_bare_array(exchange):
    rows = get(exchange, "/v1/marketstatus/upcoming")
    assert rows[0] == {
        "exchange": "NYSE",
        "name": "Martin Luther King, Jr. Day",
        "date": "2026-01-19",
        "status": "closed",
    }
    early = [row for row in rows if row["status"] == "early-close"]
    assert early[0]["date"] == "2026-11-27"
    assert early[0]["close"] == "2026-11-27T18:00:00.000Z"


@pytest.mark.parametrize(
    ("now", "market_is"),
    [
        (datetime(2025, 11, 13, 8, 59, tzinfo=UTC), "closed"),
        (datetime(2025, 11, 13, 9, 0, tzinfo=UTC), "extended-hours"),
        (datetime(2025, 11, 13, 14, 30, tzinfo=UTC), "open"),
        (datetime(2025, 11, 13, 21, 0, tzinfo=UTC), "extended-hours"),
        (datetime(2025, 11, 28, 18, 0, tzinfo=UTC), "extended-hours"),
        (datetime(2025, 11, 28, 22, 0, tzinfo=UTC), "closed"),
        (datetime(2025, 11, 27, 17, 0, tzinfo=UTC), "closed"),
    ],
)
def test_the_market_status_follows_the_session(now, market_is):
    exchange = Exchange(SimulatedMarket(symbols=1, clock=at(now)), clock=at(now))
    assert get(exchange, "/v1/marketstatus/now")["market"] == market_is


def test_conditions_carry_their_rules(exchange):
    rows = get(exchange, "/v3/reference/conditions", asset_class="stocks", data_type="trade", limit=1000)["results"]
    rules = {row["id"]: tuple(row["update_rules"]["consolidated"].values()) for row in rows if "update_rules" in row}
    assert rules[12] == rules[37] == rules[2] == (False, False, True)
    assert rules[16] == (False, False, False)
    assert rules[32] == rules[10] == (True, False, True)
    assert rules[38] == (True, True, False)
    assert 60 in {row["id"] for row in rows}
    assert 60 not in rules
