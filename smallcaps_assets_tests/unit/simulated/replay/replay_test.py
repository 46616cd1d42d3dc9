import json
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tables import BARS, QUOTES, TRADES
from smallcaps_assets.errors import InputError
from smallcaps_assets.simulated.hours import midnight_ns
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.replay.market import ReplayMarket
from smallcaps_assets_tests.scenarios import bars_from
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at

FIRST, LAST = date(2025, 11, 12), date(2025, 11, 14)
START, END = midnight_ns(FIRST), midnight_ns(LAST + timedelta(days=1))
KEY = {"Authorization": "Bearer key"}
# columns of the files of trades: all of the tape's but those that have a default
WRITTEN = [name for name in TRADES if name not in ("participant_timestamp", "correction")]


@pytest.fixture(scope="module")
def folder(market, tmp_path_factory):
    """Bars in two files of different units and zones; trades and quotes of two symbols."""
    folder = tmp_path_factory.mktemp("replay")
    bars = pl.concat([market.bars(symbol, FIRST, LAST) for symbol in ("NA", "CRVO")])
    new_york = pl.col("timestamp").dt.cast_time_unit("ms").dt.convert_time_zone("America/New_York")
    bars.filter(pl.col("symbol") == "NA").drop("vwap").write_parquet(folder / "bars_1.parquet")
    bars.filter(pl.col("symbol") == "CRVO").with_columns(new_york).write_parquet(folder / "bars_2.parquet")
    for kind, fetch, names in (("trades", market.trades, WRITTEN), ("quotes", market.quotes, QUOTES)):
        parts = [fetch(symbol, START, END).select(pl.lit(symbol).alias("symbol"), *names) for symbol in ("NA", "CRVO")]
        pl.concat(parts).write_parquet(folder / f"{kind}.parquet")
    return folder


@pytest.fixture(scope="module")
def replay(folder):
    return ReplayMarket(folder, clock=at(LATER))


def test_what_was_written_is_served(replay, market):
    assert replay.symbols() == ["CRVO", "NA"]
    assert replay.sessions() == (FIRST, LAST)
    assert_frame_equal(replay.bars("CRVO", FIRST, LAST), market.bars("CRVO", FIRST, LAST))
    assert_frame_equal(replay.bars("NA", FIRST, FIRST).drop("vwap"), market.bars("NA", FIRST, FIRST).drop("vwap"))
    assert replay.bars("NA", FIRST, LAST)["vwap"].null_count() == len(replay.bars("NA", FIRST, LAST))
    start = START + 11 * 3600 * 10**9
    assert_frame_equal(replay.trades("NA", start, END).select(WRITTEN), market.trades("NA", start, END).select(WRITTEN))
    assert_frame_equal(replay.quotes("NA", start, END).select(*QUOTES), market.quotes("NA", start, END).select(*QUOTES))


def test_missing_columns_of_the_full_schema_have_defaults(replay):
    trades = replay.trades("NA", START, END)
    assert trades["participant_timestamp"].equals(trades["timestamp"].alias("participant_timestamp"))
    assert trades["tape"].null_count() == len(trades)


def test_a_replayed_symbol_is_listed_and_otherwise_unknown(replay):
    assert [(row["ticker"], row["type"]) for row in replay.tickers()] == [("CRVO", "CS"), ("NA", "CS")]
    assert replay.details("NOPE", FIRST) is None
    assert replay.splits() == replay.floats() == replay.short_interest() == []
    assert replay.truth(FIRST, LAST).is_empty()
    assert replay.bars("NOPE", FIRST, LAST).is_empty()


def test_the_exchange_pages_over_a_replay(replay, market):
    exchange = Exchange(replay, clock=at(LATER))
    query = {"limit": "500", "order": "asc"}
    timestamps = []
    while query:
        body = json.loads(exchange.reply("/v3/trades/CRVO", query, KEY).body)
        timestamps += [row["sip_timestamp"] for row in body["results"]]
        query = {"cursor": body["next_url"].partition("cursor=")[2]} if "next_url" in body else {}
    assert timestamps == market.trades("CRVO", START, END)["timestamp"].dt.epoch("ns").to_list()
    path = f"/v2/aggs/ticker/NA/range/1/minute/{FIRST}/{LAST}"
    rows = json.loads(exchange.reply(path, {"limit": "50000"}, KEY).body)["results"]
    assert len(rows) == len(market.bars("NA", FIRST, LAST))
    assert "vw" not in rows[0]
    daily = json.loads(exchange.reply(f"/v2/aggs/ticker/NA/range/1/day/{FIRST}/{LAST}", {}, KEY).body)["results"]
    assert len(daily) == 3
    assert daily[0]["v"] == pytest.approx(market.bars("NA", FIRST, FIRST)["volume"].sum())


def test_faulty_rows_and_repeats_are_served_as_they_are(tmp_path):
    timestamps = [datetime(2025, 11, 12, 15, minute, tzinfo=UTC) for minute in (3, 1, 1, 1, 2)]
    bars = pl.DataFrame(
        {
            "symbol": ["BAD"] * 5,
            "timestamp": timestamps,
            "open": [1.0, 2.0, 3.0, 4.0, None],
            "high": [0.5, 2.0, 3.0, 4.0, 5.0],
            "low": [1.0, 2.0, 3.0, float("nan"), 5.0],
            "close": [1.0, 2.0, 3.0, 4.0, 5.0],
            "volume": [-1, 0, 3, 4, 5],
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )
    bars.write_parquet(tmp_path / "bars.parquet")
    exchange = Exchange(ReplayMarket(tmp_path, clock=at(LATER)), clock=at(LATER))
    for limit in ("1", "2", "3", "4", "5000"):
        rows, path, query = [], "/v2/aggs/ticker/BAD/range/1/minute/2025-11-12/2025-11-12", {"limit": limit}
        while path:
            body = json.loads(exchange.reply(path, query, KEY).body)
            rows += body["results"]
            path, _, cursor = body.get("next_url", "").removeprefix("https://api.massive.com").partition("?cursor=")
            query = {"cursor": cursor}
        assert [row["o"] for row in rows] == [2.0, 3.0, 4.0, None, 1.0], limit
        assert rows[2]["l"] is None
        assert rows[-1]["v"] == -1


@pytest.mark.parametrize("numbered", [True, False])
def test_rows_that_repeat_exactly_are_all_given_across_pages(tmp_path, market, numbered):
    trades = market.trades("NA", START, END).head(5).select(pl.lit("NA").alias("symbol"), *TRADES)
    if not numbered:
        trades = trades.with_columns(sequence_number=pl.lit(None, pl.Int64))
    repeated = pl.concat([trades, trades, trades]).sort("timestamp", "sequence_number")
    repeated.write_parquet(tmp_path / "trades.parquet")
    market.bars("NA", FIRST, FIRST).write_parquet(tmp_path / "bars.parquet")
    exchange = Exchange(ReplayMarket(tmp_path, clock=at(LATER)), clock=at(LATER))
    for order in ("asc", "desc"):
        for limit in (1, 2, 4, 7):
            ids, query = [], {"limit": str(limit), "order": order}
            while query:
                body = json.loads(exchange.reply("/v3/trades/NA", query, KEY).body)
                ids += [row["id"] for row in body["results"]]
                query = {"cursor": body["next_url"].partition("cursor=")[2]} if "next_url" in body else {}
            expected = repeated["trade_id"].to_list()
            assert ids == (expected if order == "asc" else expected[::-1])


def test_nothing_after_the_clock_is_replayed(folder):
    now = datetime(2025, 11, 13, 15, 30, tzinfo=UTC)
    replay = ReplayMarket(folder, clock=at(now))
    assert replay.bars("CRVO", FIRST, LAST)["timestamp"].max() == datetime(2025, 11, 13, 15, 29, tzinfo=UTC)
    assert replay.trades("CRVO", START, END)["timestamp"].max() <= now
    assert len(replay.daily("CRVO", FIRST, LAST)) == 1


def good_bars():
    timestamps = pl.Series([datetime(2025, 11, 12, 15, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            name: ["X"] if dtype == pl.String else timestamps if name == "timestamp" else [1]
            for name, dtype in BARS.items()
        }
    )


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda bars: bars.drop("volume"), "no column volume"),
        (lambda bars: bars.drop("symbol"), "no column symbol"),
        (lambda bars: bars.with_columns(pl.col("timestamp").dt.replace_time_zone(None)), "time zone"),
        (lambda bars: bars.with_columns(pl.col("timestamp").cast(pl.String)), "timestamp"),
        (lambda bars: bars.with_columns(pl.col("open").cast(pl.String)), r"open is String.*Float64"),
        (lambda bars: bars.with_columns(pl.col("symbol").cast(pl.Categorical).to_physical()), "must be text"),
        (lambda bars: bars.with_columns(transactions=1.5), "must be an integer"),
    ],
)
def test_a_problem_of_a_file_names_the_file(tmp_path, spoil, complaint):
    spoil(good_bars()).write_parquet(tmp_path / "bars_x.parquet")
    with pytest.raises(InputError, match=complaint) as caught:
        ReplayMarket(tmp_path)
    assert "bars_x.parquet" in str(caught.value)


def test_conditions_as_text_are_rejected(tmp_path, market):
    good_bars().write_parquet(tmp_path / "bars.parquet")
    trades = market.trades("NA", START, END).select(pl.lit("NA").alias("symbol"), *TRADES)
    trades.with_columns(conditions=pl.lit("12,37")).write_parquet(tmp_path / "trades.parquet")
    with pytest.raises(InputError, match="list of integers"):
        ReplayMarket(tmp_path)


def test_a_folder_without_bars_and_an_invalid_file_are_rejected(tmp_path):
    with pytest.raises(InputError, match=r"no bars\*\.parquet"):
        ReplayMarket(tmp_path)
    (tmp_path / "bars.parquet").write_text("not Parquet")
    with pytest.raises(InputError, match="cannot be read"):
        ReplayMarket(tmp_path)


def test_bars_without_rows_have_no_sessions(tmp_path):
    good_bars().clear().write_parquet(tmp_path / "bars.parquet")
    with pytest.raises(InputError, match="nothing to replay"):
        ReplayMarket(tmp_path).sessions()


@pytest.mark.parametrize("unknown", [0, -1, None])
def test_bars_of_days_and_hours_leave_out_what_a_file_does_not_know(unknown, tmp_path):
    """100 shares at 5 dollars in 10 trades, and 300 of which vwap and count are unknown: 5 dollars, count unknown."""
    rows = [(5.0, 5.0, 5.0, 5.0, 100.0, 10), (6.0, 6.0, 6.0, 6.0, 300.0, unknown)]
    bars = bars_from(f"{FIRST} 09:30", rows, "NA")
    bars = bars.with_columns(vwap=pl.Series([5.0, unknown], dtype=pl.Float64))
    pl.concat([bars, bars]).write_parquet(tmp_path / "bars.parquet")
    replay = ReplayMarket(tmp_path, clock=at(LATER))
    day = replay.daily("NA", FIRST, FIRST).row(0, named=True)
    assert (day["volume"], day["vwap"], day["transactions"]) == (400.0, 5.0, None)
    bars.write_parquet(tmp_path / "bars.parquet")
    path = f"/v2/aggs/ticker/NA/range/1/hour/{FIRST}/{FIRST}"
    body = Exchange(ReplayMarket(tmp_path, clock=at(LATER)), clock=at(LATER)).reply(path, {}, KEY).body
    (hour,) = json.loads(body)["results"]
    assert (hour["v"], hour["vw"]) == (400.0, 5.0)
    assert "n" not in hour
