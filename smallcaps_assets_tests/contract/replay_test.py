"""A user's own bars and tape, replayed over HTTP and captured: in years that the simulated market does not know."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tables import BARS, QUOTES, TRADES
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.replay.market import ReplayMarket
from smallcaps_assets_tests.conftest import event, manifest_of, quotes_at, trades_at
from smallcaps_assets_tests.scenarios import default_settings, new_york

# before the simulated market begins, before the calendars of 20 years that libraries ship, and years from now
DAYS = [date(2010, 6, 15), date(2003, 9, 10), date(2031, 6, 17)]
PARAMS = default_settings().profiles["core"]


class Replayed(NamedTuple):
    """A replayed day with five bars from 10:00, six trades and six quotes around it, and what serves it."""

    day: date
    opening: datetime
    bars: pl.DataFrame
    trades: pl.DataFrame
    quotes: pl.DataFrame
    client: MarketDataClient
    exchange: Exchange


@pytest.fixture(params=DAYS, ids=str)
def replayed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replayed]:
    day: date = request.param
    opening = new_york(f"{day} 10:00").astimezone(UTC)
    stamps = [opening + timedelta(minutes=minute) for minute in range(5)]
    bars = pl.DataFrame(
        {
            "symbol": ["OWN"] * 5,
            "timestamp": stamps,
            **{name: [2.0, 2.1, 2.2, 2.3, 2.4] for name in ("open", "high", "low", "close", "vwap")},
            "volume": [100.0, 200.0, 300.0, 400.0, 500.0],
            "transactions": [1, 2, 3, 4, 5],
        },
        schema_overrides=BARS,
    ).select(*BARS)
    moments = [opening + timedelta(seconds=second) for second in (-120, -1, 0, 30, 90, 240)]
    trades, quotes = trades_at(*moments), quotes_at(*moments)
    own = {"participant_timestamp": pl.col("timestamp")}
    trades = trades.with_columns(exchange=pl.lit(4), trade_id=pl.col("sequence_number").cast(pl.String), **own)
    quotes = quotes.with_columns(**own)
    folder = tmp_path / "own"
    folder.mkdir()
    bars.write_parquet(folder / "bars.parquet")
    for name, rows in (("trades", trades), ("quotes", quotes)):
        rows.select(pl.lit("OWN").alias("symbol"), pl.all()).write_parquet(folder / f"{name}.parquet")

    def clock() -> datetime:
        return opening + timedelta(days=30)

    exchange = Exchange(ReplayMarket(folder, clock=clock), clock=clock)
    with (
        serve(exchange) as server,
        MarketDataClient(
            Transport(server.base_url, "any-key-of-tests", bucket=TokenBucket(None), max_retries=1)
        ) as client,
    ):
        yield Replayed(day, opening, bars, trades, quotes, client, exchange)


def test_replayed_bars_of_any_year_are_fetched(replayed: Replayed, lake: Lake) -> None:
    (outcome,) = ingest_bars(["OWN"], [replayed.day], replayed.client, BarsStore(lake), threads=1)
    assert outcome.problems == ()
    assert_frame_equal(BarsStore(lake).read("OWN"), replayed.bars)


@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_replayed_tape_of_any_year_is_captured(replayed: Replayed, lake: Lake, kind: TapeKind) -> None:
    tape = TapeStore(lake, "core", PARAMS)
    manifest = manifest_of(event(f"{replayed.day} 10:00", event_id="own", symbol="OWN"))
    capture = Capture(kind, tape, replayed.client, 1, "abc", log=lambda line: None)  # noqa: ARG005
    (outcome,) = capture.run(manifest, [("OWN", "RTH")])
    assert (outcome.problems, outcome.rows) == ((), 6)
    (path,) = lake.tape_wave("core", kind, "RTH", "OWN").glob("*.parquet")
    published = pl.read_parquet(path, hive_partitioning=False)
    expected = replayed.trades.select(*TRADES) if kind == "trades" else replayed.quotes.select(*QUOTES)
    assert_frame_equal(published, expected, check_dtypes=False)


def test_a_request_without_a_first_moment_reaches_all_that_is_replayed(replayed: Replayed) -> None:
    for path in ("/v3/trades/OWN", "/v3/quotes/OWN"):
        reply = replayed.exchange.reply(path, {"order": "asc"}, {"Authorization": "Bearer key"})
        assert reply.body.count(b'"sip_timestamp"') == 6


def test_a_replayed_day_of_any_year_has_a_day_bar_and_a_close(replayed: Replayed) -> None:
    assert replayed.client.reference.closes(replayed.day).frame.rows() == [("OWN", 2.4)]
    path = f"/v2/aggs/ticker/OWN/range/1/day/{replayed.day}/{replayed.day}"
    reply = replayed.exchange.reply(path, {}, {"Authorization": "Bearer key"})
    assert reply.body.count(b'"v":1500.0') == 1
