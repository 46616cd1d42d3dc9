"""Bars of minutes, of wider windows and of days."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from smallcaps_assets_tests.unit.simulated.protocol.exchange.asked import DAY, follow, get, rows_of


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("limit", [333, 50_000])
def test_minute_pages_join_to_exactly_the_market(exchange, market, sort, limit):
    first, last = date(2025, 10, 30), date(2025, 11, 5)
    path = f"/v2/aggs/ticker/GRVE.B/range/1/minute/{first}/{last}"
    rows = rows_of(follow(exchange, path, sort=sort, limit=limit))
    bars = market.bars("GRVE.B", first, last)
    bars = bars.reverse() if sort == "desc" else bars
    assert [row["t"] for row in rows] == bars["timestamp"].dt.epoch("ms").to_list()
    for key, name in {
        "o": "open",
        "h": "high",
        "l": "low",
        "c": "close",
        "v": "volume",
        "vw": "vwap",
        "n": "transactions",
    }.items():
        assert [row[key] for row in rows] == bars[name].to_list()


def test_the_envelope_of_aggregates(exchange):
    body = get(exchange, f"/v2/aggs/ticker/NA/range/1/minute/{DAY}/{DAY}", limit=10)
    assert body["ticker"] == "NA"
    assert body["queryCount"] == body["resultsCount"] == body["count"] == 10
    assert body["adjusted"] is True
    assert "/range/1/minute/" in body["next_url"]
    for symbol in ("ZZRO", "NOPE"):
        body = get(exchange, f"/v2/aggs/ticker/{symbol}/range/1/minute/{DAY}/{DAY}")
        assert "results" not in body
        assert body["resultsCount"] == body["queryCount"] == 0


def test_milliseconds_bound_both_ends(exchange):
    whole = get(exchange, f"/v2/aggs/ticker/NA/range/1/minute/{DAY}/{DAY}", limit=50_000)["results"]
    low, high = whole[50]["t"], whole[80]["t"]
    part = get(exchange, f"/v2/aggs/ticker/NA/range/1/minute/{low}/{high}")["results"]
    assert part == whole[50:81]


@pytest.mark.parametrize("end", ["9999-12-31", "99999999999999"])
def test_a_range_may_end_in_the_far_future(exchange, market, end):
    rows = get(exchange, f"/v2/aggs/ticker/NA/range/1/minute/2025-12-31/{end}", limit=50_000)["results"]
    assert len(rows) == len(market.bars("NA", date(2025, 12, 31), date(2026, 1, 5)))
    ticks = get(exchange, "/v3/trades/NA", **{"timestamp.gte": DAY, "timestamp.lte": "9999-12-31"}, limit=5)["results"]
    assert len(ticks) == 5
    assert get(exchange, "/v3/trades/NA", **{"timestamp.lt": "0001-01-01"})["results"] == []


@pytest.mark.parametrize("limit", [7, 100, 50_000])
@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_wider_windows_are_whole_on_every_page(exchange, market, limit, sort):
    rows = rows_of(follow(exchange, f"/v2/aggs/ticker/CRVO/range/15/minute/{DAY}/{DAY}", limit=limit, sort=sort))
    bars = market.bars("CRVO", date(2025, 11, 13), date(2025, 11, 13))
    wide = bars.group_by_dynamic("timestamp", every="15m").agg(
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
    )
    wide = wide.reverse() if sort == "desc" else wide
    assert [(row["t"], row["o"], row["h"], row["l"], row["c"]) for row in rows] == list(
        wide.select(pl.col("timestamp").dt.epoch("ms"), "open", "high", "low", "close").iter_rows()
    )
    assert [row["v"] for row in rows] == pytest.approx(wide["volume"].to_list())


def test_day_bars_page_and_begin_at_midnight_in_new_york(exchange):
    rows = rows_of(follow(exchange, "/v2/aggs/ticker/CRVO/range/1/day/2025-10-27/2025-11-07", limit=4))
    assert len(rows) == 10
    assert [row["t"] for row in rows[4:6]] == [
        int(datetime(2025, 10, 31, 4, tzinfo=UTC).timestamp() * 1000),
        int(datetime(2025, 11, 3, 5, tzinfo=UTC).timestamp() * 1000),
    ]


def test_prices_are_split_adjusted_by_default(exchange):
    split = get(exchange, "/stocks/v1/splits", ticker="DRFT")["results"][0]
    assert (split["split_from"], split["split_to"], split["adjustment_type"]) == (8, 1, "reverse_split")
    path = "/v2/aggs/ticker/DRFT/range/1/minute/2025-11-04/2025-11-05"
    traded = get(exchange, path, adjusted="false", limit=50_000)["results"]
    adjusted = get(exchange, path, limit=50_000)["results"]
    assert adjusted[0]["c"] == pytest.approx(traded[0]["c"] * 8)
    assert adjusted[0]["v"] == pytest.approx(traded[0]["v"] / 8)
    assert adjusted[-1] == traded[-1]
    assert abs(adjusted[-1]["c"] / adjusted[0]["c"] - 1) < 0.5


def test_the_whole_market_on_one_day(exchange):
    body = get(exchange, "/v2/aggs/grouped/locale/us/market/stocks/2025-11-28", adjusted="false")
    assert {row["T"] for row in body["results"]} >= {"AVLO", "NA", "GRVE.B"}
    assert body["resultsCount"] == 11
    assert body["results"][0]["t"] == int(datetime(2025, 11, 28, 18, tzinfo=UTC).timestamp() * 1000)
    holiday = get(exchange, "/v2/aggs/grouped/locale/us/market/stocks/2025-11-27")
    assert holiday["resultsCount"] == 0
    assert "results" not in holiday


def test_previous_day_and_open_close(exchange):
    previous = get(exchange, "/v2/aggs/ticker/NA/prev")["results"]
    assert [row["T"] for row in previous] == ["NA"]
    assert previous[0]["t"] == int(datetime(2026, 1, 2, 5, tzinfo=UTC).timestamp() * 1000)
    day = get(exchange, f"/v1/open-close/NA/{DAY}")
    assert day["symbol"] == "NA"
    assert day["low"] <= day["open"] <= day["high"]
    get(exchange, "/v1/open-close/NA/2025-11-15", 404)
