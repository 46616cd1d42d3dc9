"""The flat files of the exchange in a box: the bars that REST serves, its faults, prepared folders."""

import gzip
from datetime import UTC, date, time, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.flat_files.keys import remote_key
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.simulated.aliases import ODD_TICKERS, AliasedMarket
from smallcaps_assets.simulated.bucket.faults import FILE_FAULTS
from smallcaps_assets.simulated.bucket.files import GivenFiles, MarketFiles
from smallcaps_assets.simulated.bucket.folder import FolderFiles
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.faults import Fault
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets_tests.contract.bucket_bench import (
    DAY,
    LATER,
    NOISE,
    PREFIX,
    client_of,
    csv_of,
    opened,
)
from smallcaps_assets_tests.scenarios import new_york


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "2025-11-26.csv.gz"


@pytest.fixture(scope="module")
def file_of_market(small_market: SimulatedMarket) -> bytes:
    body = MarketFiles(small_market, lambda: LATER).read(remote_key(PREFIX, DAY))
    assert body is not None
    return body


def table(body: bytes) -> pl.DataFrame:
    names = pl.read_csv(body, n_rows=0).columns
    assert names == ["ticker", "volume", "open", "close", "high", "low", "window_start", "transactions"]
    types = dict.fromkeys(("volume", "open", "close", "high", "low"), pl.Float64())
    schema = {"ticker": pl.String(), **types, "window_start": pl.Int64(), "transactions": pl.Int64()}
    return pl.read_csv(body, schema=schema, null_values=[])


def test_flat_files_hold_the_bars_that_rest_serves(small_market: SimulatedMarket, to: Path) -> None:
    market_files = MarketFiles(small_market, lambda: LATER)
    # only one session is drawn
    others = {key: None for key in market_files.keys(f"{PREFIX}/2025/11/") if key != remote_key(PREFIX, DAY)}
    with (
        serve(Exchange(small_market, clock=lambda: LATER, files=GivenFiles(others, market_files))) as server,
        MarketDataClient(Transport(server.base_url, "embedded", bucket=TokenBucket(None))) as rest,
    ):
        files = client_of(server)
        (file,) = files.list_days(DAY, DAY).values()
        files.download(file, to)
        over_rest = pl.concat([rest.minute_bars(symbol, DAY, DAY).frame for symbol in sorted(small_market.symbols())])
    rows = table(gzip.decompress(to.read_bytes()))
    at = pl.from_epoch("window_start", time_unit="ns").cast(UTC_US)
    bars = rows.select(pl.col("ticker").alias("symbol"), at.alias("timestamp"), pl.exclude("ticker", "window_start"))
    assert rows.height > 100
    assert_frame_equal(bars.select(over_rest.drop("vwap").columns), over_rest.drop("vwap"))
    assert file.modified == new_york("2025-11-27 11:00").astimezone(UTC)


def test_a_session_has_a_file_from_eleven_of_the_next_day(small_market: SimulatedMarket) -> None:
    key = remote_key(PREFIX, DAY)
    noon = new_york("2025-11-27 11:00").astimezone(UTC)
    before = MarketFiles(small_market, lambda: noon - timedelta(seconds=1))
    assert (before.keys(key), before.stat(key), before.read(key)) == ([], None, None)
    assert MarketFiles(small_market, lambda: noon).keys(f"{PREFIX}/2025/11/")[-1] == key
    assert MarketFiles(small_market, lambda: noon).keys(f"{PREFIX}/2025/11/2025-11-2")[-1] == key
    assert time(11) == noon.astimezone(new_york("2025-11-27 11:00").tzinfo).time()


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_faults_of_files_are_the_same_in_list_and_file(
    small_market: SimulatedMarket, file_of_market: bytes, to: Path, fault: str
) -> None:
    key, other = remote_key(PREFIX, DAY), remote_key(PREFIX, date(2025, 11, 25))
    given = {key: file_of_market, other: csv_of("A,1,1,1,1,1,0,1")}
    with opened(small_market, given, file_faults=[Fault(fault, rate=1.0, path="2025-11-26")]) as bench:  # type: ignore[arg-type]
        found = bench.client.list_days(date(2025, 11, 25), DAY)
        if fault == "file_missing":
            assert list(found) == [date(2025, 11, 25)]
            return
        assert bench.client.download(found[DAY], to).file == found[DAY]
    body = to.read_bytes()
    if fault == "file_cut":
        assert body == file_of_market[: len(file_of_market) // 2]
    elif fault == "file_swapped":
        assert body == given[other]
    else:
        was, now = table(gzip.decompress(file_of_market)), table(gzip.decompress(body))
        keys = ["ticker", "window_start"]
        same = was.join(now, on=was.columns, how="inner")
        gone = was.join(now, on=keys, how="anti")
        assert now.join(was, on=keys, how="anti").is_empty()
        assert 0 < gone.height < was.height / 20
        assert 0 < now.height - same.height < was.height / 10


def test_a_folder_is_served_by_path(small_market: SimulatedMarket, tmp_path: Path, to: Path) -> None:
    path = tmp_path / "served" / remote_key(PREFIX, DAY)
    path.parent.mkdir(parents=True)
    path.write_bytes(csv_of(NOISE))
    with serve(Exchange(small_market, files=FolderFiles(tmp_path / "served"))) as server:
        client = client_of(server)
        (file,) = client.list_days(DAY, DAY).values()
        client.download(file, to)
        assert to.read_bytes() == csv_of(NOISE)
        path.write_bytes(csv_of("another", NOISE))
        assert client.list_days(DAY, DAY)[DAY].etag != file.etag
        assert FolderFiles(tmp_path / "served").read("../2025-11-26.csv.gz") is None


def test_odd_tickers_are_text(small_market: SimulatedMarket) -> None:
    market = AliasedMarket(small_market, dict.fromkeys([*ODD_TICKERS, "NA"], "AVLO"))
    body = MarketFiles(market, lambda: LATER).read(remote_key(PREFIX, DAY))
    assert body is not None
    counts = dict(table(gzip.decompress(body))["ticker"].value_counts().iter_rows())
    assert counts == dict.fromkeys([*ODD_TICKERS, "NA"], counts["AVLO"]) | {
        symbol: small_market.bars(symbol, DAY, DAY).height for symbol in small_market.symbols()
    }
    assert market.bars("1E5", DAY, DAY).height == counts["1E5"]
    assert market.bars("1E5", DAY, DAY)["symbol"].unique().to_list() == ["1E5"]
    assert [row["ticker"] for row in market.tickers() if row["ticker"] in ODD_TICKERS] == sorted(ODD_TICKERS)
