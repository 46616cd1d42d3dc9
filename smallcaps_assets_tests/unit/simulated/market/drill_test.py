"""The company DRILL: the same for ever, beside a market that does not change by it."""

import hashlib
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL
from smallcaps_assets.simulated.hours import midnight_ns
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.source import AGGRESSORS, PLANTS
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at

PAUSED, HALF_DAY = date(2025, 11, 14), date(2024, 11, 29)


@pytest.fixture(scope="module")
def drilled() -> SimulatedMarket:
    return SimulatedMarket(symbols=2, clock=at(LATER), drill=True)


def ticks(market: SimulatedMarket, kind: str, symbol: str = "DRILL", day: date = PAUSED) -> pl.DataFrame:
    fetch = {"trades": market.trades, "quotes": market.quotes}[kind]
    return fetch(symbol, midnight_ns(day), midnight_ns(day + timedelta(days=1)))


def digest(frame: pl.DataFrame) -> str:
    whole = frame.with_columns(
        pl.col(pl.Datetime).dt.epoch("ns"),
        (pl.col(pl.Float64) * 1_000_000).round().cast(pl.Int64),
        pl.col(pl.List(pl.Int64)).cast(pl.List(pl.String)).list.join("+"),
    )
    return hashlib.sha256(whole.write_csv().encode()).hexdigest()


def test_a_day_is_the_same_for_ever(drilled: SimulatedMarket) -> None:
    """Only a change of the drawing itself may change the digests."""
    found = [digest(ticks(drilled, kind)) for kind in ("trades", "quotes")]
    found += [digest(table(PAUSED, PAUSED)) for table in (drilled.plants, drilled.sides)]
    assert found == GOLDEN


def test_other_companies_do_not_change_by_it(drilled: SimulatedMarket) -> None:
    plain = SimulatedMarket(symbols=2, clock=at(LATER))
    assert drilled.symbols() == [*plain.symbols(), "DRILL"]
    assert drilled.bars("AVLO", PAUSED, PAUSED).equals(plain.bars("AVLO", PAUSED, PAUSED))
    for kind in ("trades", "quotes"):
        assert ticks(drilled, kind, "AVLO").equals(ticks(plain, kind, "AVLO"))
    assert [row for row in drilled.tickers() if row["ticker"] != "DRILL"] == plain.tickers()
    for table, schema in ((plain.plants, PLANTS), (plain.sides, AGGRESSORS)):
        assert table(PAUSED, PAUSED).is_empty()
        assert table(PAUSED, PAUSED).schema == schema
    assert ticks(plain, "trades").is_empty()


def test_its_ticks_are_as_those_of_any_company(drilled: SimulatedMarket) -> None:
    trades, quotes = (ticks(drilled, kind) for kind in ("trades", "quotes"))
    assert (trades.schema, quotes.schema) == (TRADES_ALL, QUOTES_ALL)
    assert drilled.bars("DRILL", PAUSED, PAUSED).schema == BARS
    for frame in (trades, quotes):
        assert frame["timestamp"].is_sorted()
        assert frame["sequence_number"].is_sorted()
        assert frame["sequence_number"].is_unique().all()
        assert (frame["participant_timestamp"] <= frame["timestamp"]).all()
    assert set(trades["correction"].drop_nulls()) == {1, 7, 8, 10, 12}
    assert drilled.sides(PAUSED, PAUSED).join(trades, on=["timestamp", "sequence_number"], how="anti").is_empty()
    assert drilled.plants(PAUSED, PAUSED)["start"].is_sorted()


def test_what_is_not_over_is_not_listed() -> None:
    now = datetime(2025, 11, 14, 16, 45, tzinfo=UTC)
    market = SimulatedMarket(symbols=1, clock=at(now), drill=True)
    plants, sides = market.plants(PAUSED, PAUSED), market.sides(PAUSED, PAUSED)
    assert "crossed_book" in plants["kind"]
    assert "halt" not in plants["kind"], "it ends at 16:51"
    assert plants["end"].max() <= now
    assert sides["timestamp"].max() <= now
    assert market.splits() == []


def test_a_half_day_has_its_story_before_the_close(drilled: SimulatedMarket) -> None:
    plants = drilled.plants(HALF_DAY, HALF_DAY).filter(pl.col("kind").str.ends_with("_book"))
    assert plants["end"].max() < datetime(2024, 11, 29, 17, tzinfo=UTC)
    assert not drilled.bars("DRILL", HALF_DAY, HALF_DAY).is_empty()


GOLDEN = [
    # trades, quotes, plants, sides
    "7964bc206ab4b62d730957ee7231a224e7c8ac572818ba57531791392e05f427",
    "1ca6539c92e23204137880e65aeccbba541c104ebc18dcf4249a5f2d3a62ff54",
    "6dddaf7316d51da4d6a33af045f1222585a4c2c0639895ac9b3a0209aeaf9994",
    "61af74ba7f94d7b2bb8a2ca8742c24be78dbb65404e402f2ae9f734f3cd0b3a9",
]
