import hashlib
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.symbols import check_symbol
from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL
from smallcaps_assets.errors import InputError
from smallcaps_assets.simulated.hours import midnight_ns, trading_dates
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at

CONDITION_RULES = {  # sets high and low, sets open and close, counts for volume
    2: (False, False, True),
    8: (True, True, True),
    9: (True, True, True),
    10: (True, False, True),
    12: (False, False, True),
    14: (True, True, True),
    16: (False, False, False),
    32: (True, False, True),
    37: (False, False, True),
    41: (True, True, True),
}


def day_of_ticks(fetch, symbol, day):
    return fetch(symbol, midnight_ns(day), midnight_ns(day + timedelta(days=1)))


def bars_by_hand(trades, rth_open, rth_close):
    """Minute bars from trades, one trade after the other, under the vendor's rules."""
    bars = {}
    for trade in trades.iter_rows(named=True):
        minute = trade["timestamp"].replace(second=0, microsecond=0)
        extended = not rth_open <= trade["timestamp"] < rth_close
        effects = [CONDITION_RULES[one] for one in trade["conditions"] if not (one == 12 and extended)]
        high_low, open_close, volume = (all(effect[i] for effect in effects) for i in range(3))
        bar = bars.setdefault(minute, {"volume": 0.0, "paid": 0.0, "transactions": 0})
        if high_low:
            bar["high"] = max(bar.get("high", trade["price"]), trade["price"])
            bar["low"] = min(bar.get("low", trade["price"]), trade["price"])
        if open_close:
            bar.setdefault("open", trade["price"])
            bar["close"] = trade["price"]
        if volume:
            bar["volume"] += trade["size"]
            bar["paid"] += trade["size"] * trade["price"]
            bar["transactions"] += 1
    return {minute: bar for minute, bar in bars.items() if "open" in bar}


@pytest.mark.parametrize(
    ("symbol", "day", "close_hour_utc"),
    [
        ("CRVO", date(2025, 10, 29), 20),
        ("GRVE.B", date(2025, 11, 28), 18),  # fractional sizes, early close
        ("HLXA", date(2025, 11, 13), 21),
    ],
)
def test_bars_are_the_aggregation_of_the_trades(market, symbol, day, close_hour_utc):
    open_hour = 13 if day < date(2025, 11, 2) else 14
    rth_open = datetime(day.year, day.month, day.day, open_hour, 30, tzinfo=UTC)
    rth_close = datetime(day.year, day.month, day.day, close_hour_utc, tzinfo=UTC)
    expected = bars_by_hand(day_of_ticks(market.trades, symbol, day), rth_open, rth_close)
    bars = market.bars(symbol, day, day)
    assert bars["timestamp"].to_list() == sorted(expected)
    for bar in bars.iter_rows(named=True):
        by_hand = expected[bar["timestamp"]]
        for name in ("open", "high", "low", "close", "transactions"):
            assert bar[name] == by_hand[name], (bar["timestamp"], name)
        assert bar["volume"] == pytest.approx(by_hand["volume"], rel=1e-12)
        assert bar["vwap"] == pytest.approx(by_hand["paid"] / by_hand["volume"], abs=6e-5)


def test_a_day_is_the_same_for_ever(market):
    """A change of numpy, platform or of the drawing itself shows here; only the last may change the digest."""
    trades = day_of_ticks(market.trades, "GRVE.B", date(2025, 11, 13))
    text = trades.select(
        pl.col("timestamp").dt.epoch("ns"),
        (pl.col("price") * 10_000).round().cast(pl.Int64),
        (pl.col("size") * 1_000_000).round().cast(pl.Int64),
        "exchange",
        pl.col("conditions").cast(pl.List(pl.String)).list.join("+"),
        "sequence_number",
        "trade_id",
        pl.col("participant_timestamp").dt.epoch("ns"),
        pl.col("trf_timestamp").dt.epoch("ns"),
        "trf_id",
    ).write_csv()
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN_TRADES
    quotes = day_of_ticks(market.quotes, "GRVE.B", date(2025, 11, 13))
    text = quotes.select(
        pl.col("timestamp").dt.epoch("ns"),
        (pl.col("bid_price") * 100).round().cast(pl.Int64),
        (pl.col("ask_price") * 100).round().cast(pl.Int64),
        pl.col("bid_size").cast(pl.Int64),
        pl.col("ask_size").cast(pl.Int64),
        "sequence_number",
    ).write_csv()
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN_QUOTES


def test_a_day_does_not_depend_on_the_requested_range(market):
    first, last = date(2025, 11, 3), date(2025, 11, 14)
    whole = SimulatedMarket(clock=at(LATER)).bars("NA", first, last)
    days = pl.concat([market.bars("NA", day, day) for day in trading_dates(first, last)])
    assert whole.equals(days)
    start, end = midnight_ns(date(2025, 11, 5)), midnight_ns(date(2025, 11, 8))
    cut = start + (end - start) // 3
    parts = [market.trades("NA", start, cut), market.trades("NA", cut, end)]
    assert pl.concat(parts).equals(market.trades("NA", start, end))


def test_schemas_and_order(market):
    day = date(2025, 11, 28)
    bars = market.bars("BNRX", day, day)
    trades, quotes = (day_of_ticks(fetch, "BNRX", day) for fetch in (market.trades, market.quotes))
    assert bars.schema == BARS
    assert trades.schema == TRADES_ALL
    assert quotes.schema == QUOTES_ALL
    for frame in (trades, quotes):
        assert frame["timestamp"].is_sorted()
        assert frame["sequence_number"].is_sorted()
        assert frame["sequence_number"].is_unique().all()
    for empty in ("ZZRO", "UNKNOWN"):
        assert market.bars(empty, day, day).schema == BARS
        assert day_of_ticks(market.trades, empty, day).schema == TRADES_ALL
        assert day_of_ticks(market.quotes, empty, day).is_empty()
        assert market.daily(empty, day, day).is_empty()


def test_trades_share_timestamps_and_come_with_every_kind_of_condition(market, month):
    days = trading_dates(*month)[:6]
    trades = pl.concat([day_of_ticks(market.trades, "FNTA", day) for day in days])
    assert trades["timestamp"].is_duplicated().mean() > 0.1
    seen = set(trades["conditions"].explode().drop_nulls())
    assert seen == set(CONDITION_RULES)
    assert (trades["participant_timestamp"] <= trades["timestamp"]).all()
    off_exchange = trades.filter(pl.col("exchange") == 4)
    assert off_exchange["trf_id"].null_count() == 0
    assert trades.filter(pl.col("exchange") != 4)["trf_timestamp"].is_null().all()


@pytest.mark.parametrize("symbol", ["AVLO", "DRFT", "GRVE.B", "HLXA", "NA"])
@pytest.mark.parametrize("day", [date(2025, 10, 31), date(2025, 11, 12), date(2025, 11, 28)])
def test_trades_lie_within_the_quotes_in_force(market, symbol, day):
    trades, quotes = (day_of_ticks(fetch, symbol, day) for fetch in (market.trades, market.quotes))
    assert (quotes["ask_price"] > quotes["bid_price"]).all()
    assert len(quotes) > len(trades)
    lawless = pl.col("conditions").list.eval(pl.element().is_in([12, 16, 32, 37])).list.any()
    lawful = trades.filter(~lawless)
    assert len(lawful) > 500
    joined = lawful.join_asof(quotes.select("timestamp", "bid_price", "ask_price"), on="timestamp")
    assert joined["bid_price"].null_count() == 0
    assert joined.filter(~pl.col("price").is_between("bid_price", "ask_price")).is_empty()


def test_quotes_repeat_now_and_then(market):
    quotes = day_of_ticks(market.quotes, "CRVO", date(2025, 11, 13))
    shown = ["bid_price", "ask_price", "bid_size", "ask_size"]
    same = quotes.select(pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in shown)).to_series()
    assert 0.02 < same.mean() < 0.3


def test_an_early_close_moves_after_hours(market):
    bars = market.bars("CRVO", date(2025, 11, 28), date(2025, 11, 28))
    local = bars["timestamp"].dt.convert_time_zone("America/New_York")
    assert local.min().hour == 4
    assert local.max().hour == 16
    trades = day_of_ticks(market.trades, "CRVO", date(2025, 11, 28))
    extended = trades.filter(
        ~pl.col("timestamp")
        .dt.convert_time_zone("America/New_York")
        .dt.time()
        .is_between(pl.time(9, 30), pl.time(13, 0), closed="left")
    )
    form_t = extended["conditions"].list.contains(12)
    assert form_t.sum() >= len(extended) - 1  # all but the closing print


def test_regular_hours_follow_the_new_york_clock_through_both_changes():
    market = SimulatedMarket(clock=at(datetime(2026, 4, 1, tzinfo=UTC)))
    for day, hour in [
        (date(2025, 10, 31), 13),
        (date(2025, 11, 3), 14),
        (date(2026, 3, 6), 14),
        (date(2026, 3, 9), 13),
    ]:
        trades = day_of_ticks(market.trades, "CRVO", day)
        cross = trades.filter(pl.col("conditions").list.contains(9))
        assert len(cross) == 1
        assert cross["timestamp"][0].replace(second=0, microsecond=0) == datetime(
            day.year, day.month, day.day, hour, 30, tzinfo=UTC
        )


def test_nothing_after_the_clock_is_served(market):
    day = date(2025, 11, 13)
    now = datetime(2025, 11, 13, 15, 30, 20, 500_000, tzinfo=UTC)
    present = SimulatedMarket(clock=at(now))
    bars = present.bars("CRVO", day, day + timedelta(days=3))
    assert bars["timestamp"].max() <= datetime(2025, 11, 13, 15, 29, tzinfo=UTC)
    assert bars.equals(
        market.bars("CRVO", day, day).filter(pl.col("timestamp") < datetime(2025, 11, 13, 15, 30, tzinfo=UTC))
    )
    for now_served, later in ((present.trades, market.trades), (present.quotes, market.quotes)):
        ticks = day_of_ticks(now_served, "CRVO", day)
        assert ticks.equals(day_of_ticks(later, "CRVO", day).filter(pl.col("timestamp") <= now))
    assert present.daily("CRVO", day, day).is_empty()
    assert present.truth(day, day + timedelta(days=5))["timestamp"].max() < now
    assert SimulatedMarket(clock=at(datetime(2025, 11, 5, 4, tzinfo=UTC))).splits() == []


def test_the_minute_that_ends_now_is_complete():
    day = date(2025, 11, 13)
    bars = SimulatedMarket(clock=at(datetime(2025, 11, 13, 15, 30, tzinfo=UTC))).bars("CRVO", day, day)
    assert bars["timestamp"].max() == datetime(2025, 11, 13, 15, 29, tzinfo=UTC)


@pytest.mark.slow
def test_ordinary_days_are_ordinary(market, month):
    bars = pl.concat([market.bars(symbol, *month) for symbol in market.symbols()])
    days = (
        bars.with_columns(date=pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.date())
        .group_by("symbol", "date")
        .agg(pl.col("transactions").sum(), dollars=(pl.col("close") * pl.col("volume")).sum(), n=pl.len())
    )
    assert len(days) == 330
    assert days["transactions"].is_between(1_400, 8_500).mean() > 0.9
    assert days["dollars"].is_between(1e6, 3e7).mean() > 0.85
    assert bars["close"].is_between(1.0, 45.0).all()
    assert (bars["volume"] % 1 != 0).any()
    assert days["n"].min() > 300


@pytest.mark.slow
def test_one_symbol_day_has_a_stampede_around_a_planted_event(market, month):
    bars = pl.concat([market.bars(symbol, *month) for symbol in market.symbols()])
    crowded = (
        bars.sort("symbol", "timestamp")
        .rolling("timestamp", period="10m", group_by="symbol")
        .agg(pl.col("transactions").sum())
    )
    crowded = crowded.filter(pl.col("transactions") > 50_000)
    assert crowded["symbol"].unique().to_list() == ["AVLO"]
    event = market.truth(*month).filter(pl.col("story").str.contains("stampede"))
    assert event["date"].unique().to_list() == ["2025-11-12"]
    start = int(event["timestamp"].dt.epoch("us")[0]) * 1000 - 3 * 60 * 10**9
    assert len(market.trades("AVLO", start, start + 10 * 60 * 10**9)) > 50_000


def test_a_halt_is_at_least_five_empty_minutes_and_a_gap(market, month):
    halted = market.truth(*month).filter(pl.col("story").str.contains("halt"), pl.col("event_type") == "volume_spike")
    assert len(halted) >= 5
    for event in halted.iter_rows(named=True):
        day = date.fromisoformat(event["date"])
        bars = market.bars(event["symbol"], day, day)
        i = bars["timestamp"].index_of(event["timestamp"])
        assert bars["timestamp"][i + 1] - bars["timestamp"][i] >= timedelta(minutes=6)
        assert abs(bars["open"][i + 1] / bars["close"][i] - 1) >= 0.03
        start = int(event["timestamp"].timestamp()) * 10**9 + 60 * 10**9
        assert market.trades(event["symbol"], start, start + 300 * 10**9).is_empty()


def test_names_are_unique_and_safe_for_any_count():
    names = SimulatedMarket(symbols=3000).symbols()
    assert names[:12] == SimulatedMarket().symbols()
    assert len({name.lower() for name in names}) == 3000
    for name in names:
        check_symbol(name)
    assert {"GRVE.B", "NA", "KLMpA", "ZZRO"} <= set(names)


@pytest.mark.parametrize("symbols", [0, -1, 100_001])
def test_a_market_of_an_invalid_size_is_rejected(symbols):
    with pytest.raises(InputError, match="symbols="):
        SimulatedMarket(symbols=symbols)


def test_another_seed_is_another_market(market):
    day = date(2025, 11, 13)
    other = SimulatedMarket(seed=8, clock=at(LATER)).bars("CRVO", day, day)
    assert not other.equals(market.bars("CRVO", day, day))


def test_the_day_bar_takes_prices_from_regular_hours_and_volume_from_all(market):
    day = date(2025, 11, 13)
    daily, minutes = market.daily("CRVO", day, day).row(0, named=True), market.bars("CRVO", day, day)
    local = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.time()
    regular = minutes.filter(local.is_between(pl.time(9, 30), pl.time(16, 0), closed="left"))
    assert daily["open"] == regular["open"][0]
    assert daily["high"] >= regular["high"].max()
    assert daily["volume"] >= minutes["volume"].sum()
    assert daily["timestamp"] == datetime(2025, 11, 13, 5, tzinfo=UTC)


def test_floats_are_mixed(market):
    floats = np.array([row["free_float"] for row in market.floats()])
    assert len(floats) < len(market.symbols())
    assert ((floats >= 12e6) & (floats <= 60e6)).mean() > 0.6
    assert (floats < 5e6).any()
    crowded = [row for row in market.short_interest() if row["days_to_cover"] > 5]
    assert crowded


@pytest.mark.parametrize("days", [30, 200, 400])
def test_float_and_short_interest_do_not_depend_on_the_day_of_the_request(days):
    """Otherwise the events that pass the filters, and every table made of them, would change with the date."""
    figures = [
        {
            row["ticker"]: [row[name] for name in names]
            for row in sorted(rows, key=lambda row: str(row[dated]))  # the latest one counts
        }
        for moment in (LATER, LATER + timedelta(days=days))
        for market in (SimulatedMarket(7, 44, at(moment)),)
        for rows, dated, names in (
            (market.floats(), "effective_date", ["free_float"]),
            (market.short_interest(), "settlement_date", ["short_interest", "days_to_cover"]),
        )
    ]
    assert all(figures)
    assert figures[:2] == figures[2:]


GOLDEN_TRADES = "a75ba99f291665acb983ac1b45c4d9006b723ee422b127c525a4e8791f606f93"
GOLDEN_QUOTES = "7069906e98491cb60e2c286d44168d4c39863eb9a32b56c8677bfdcf0eb8dca4"
