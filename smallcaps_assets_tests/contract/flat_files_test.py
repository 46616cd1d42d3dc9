"""The client of flat files against the bucket of the exchange in a box, over HTTP."""

import gzip
import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.errors import (
    BadPage,
    NotAuthenticated,
    NotEntitled,
    NotFound,
    Stopped,
    VendorUnavailable,
)
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.flat_files.client import FlatFiles, Keys
from smallcaps_assets.market_data.flat_files.keys import RemoteFile, remote_key
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.simulated.bucket.faults import FILE_FAULTS
from smallcaps_assets.simulated.bucket.files import GivenFiles, MarketFiles
from smallcaps_assets.simulated.bucket.folder import FolderFiles
from smallcaps_assets.simulated.bucket.service import EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.faults import Fault, FaultyExchange
from smallcaps_assets.simulated.protocol.server import ExchangeServer, serve
from smallcaps_assets_tests.scenarios import new_york

PREFIX = "us_stocks_sip/minute_aggs_v1"
DAY = date(2025, 11, 26)
LATER = datetime(2026, 1, 5, 12, tzinfo=UTC)
FIRST_BAR = 1_764_147_600_000_000_000  # 2025-11-26 04:00 in New York, which is 09:00 UTC
# of text that no compression shortens, so that half of it is not nothing
NOISE = random.Random(1).randbytes(40_000).hex()  # noqa: S311
FAILED = ["500", "502", "503", "429", "reset"]


def csv_of(*rows: str) -> bytes:
    header = "ticker,volume,open,close,high,low,window_start,transactions"
    return gzip.compress("\n".join([header, *rows, ""]).encode(), mtime=0)


def prepared(*days: date) -> dict[str, bytes | None]:
    return {remote_key(PREFIX, day): csv_of(f"A,{day.toordinal()},1,1,1,1,{FIRST_BAR},1") for day in days}


def client_of(server: ExchangeServer, **changes: Any) -> FlatFiles:
    keys = Keys(EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY, "ACCESS_VARIABLE", "SECRET_VARIABLE")
    given = {"bucket": "flatfiles", "prefix": PREFIX, "keys": keys, "timeout_s": 20.0, "max_retries": 1} | changes
    return FlatFiles(server.base_url, **given)


class Bench:
    """An exchange with given flat files, whose faults can be switched, and a client."""

    def __init__(self, exchange: Exchange, server: ExchangeServer, faulty: FaultyExchange) -> None:
        self.exchange, self.server, self._faulty = exchange, server, faulty
        self.client = client_of(server)

    def fail(self, *faults: Fault) -> None:
        self._faulty._script = faults

    def only(self) -> RemoteFile:
        (file,) = self.client.list_days(DAY, DAY).values()
        return file


@contextmanager
def opened(market: SimulatedMarket, files: dict[str, bytes | None], **changes: Any) -> Iterator[Bench]:
    exchange = Exchange(market, clock=lambda: LATER, files=GivenFiles(files), **changes)
    faulty = FaultyExchange(exchange, ())
    with serve(faulty) as server:
        yield Bench(exchange, server, faulty)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallcaps_assets.market_data.flat_files.store._FIRST_BACKOFF", timedelta(milliseconds=1))


@pytest.fixture
def bench(small_market: SimulatedMarket) -> Iterator[Bench]:
    with opened(small_market, {remote_key(PREFIX, DAY): csv_of(NOISE)}) as made:
        yield made


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "2025-11-26.csv.gz"


# ----------------------------------------------------------------------------------------------------------- listing


def test_a_range_is_listed_by_year_and_month_with_all_pages(small_market: SimulatedMarket) -> None:
    days = [date(2023, 12, 29), date(2024, 1, 2), date(2024, 7, 1), date(2024, 12, 31), date(2025, 1, 2)]
    with opened(small_market, prepared(*days, date(2025, 1, 3))) as bench:
        bench.exchange.files._page = 2
        found = bench.client.list_days(date(2023, 12, 29), date(2025, 1, 2))
        # December 2023: one page; 2024: three files on two pages; January 2025: two files on one page
        assert bench.server.requests == 4
        assert bench.client.requests == 3
    assert list(found) == days
    file = found[date(2024, 7, 1)]
    body = prepared(file.day)[file.key]
    assert body is not None
    assert (file.key, file.size) == (f"{PREFIX}/2024/07/2024-07-01.csv.gz", len(body))
    assert file.modified == datetime(2025, 1, 1, tzinfo=UTC)
    assert '"' not in file.etag


def test_other_keys_are_no_sessions(small_market: SimulatedMarket) -> None:
    files = prepared(DAY) | {
        f"{PREFIX}/2025/11/2025-12-01.csv.gz": b"wrong folder",
        f"{PREFIX}/2025/11/2025-11-31.csv.gz": b"no date",
        f"{PREFIX}/2025/11/README.txt": b"text",
        f"{PREFIX}/2025/11/old/2025-11-25.csv.gz": b"deeper",
    }
    with opened(small_market, files) as bench:
        assert list(bench.client.list_days(date(2025, 11, 1), date(2025, 12, 31))) == [DAY]


def test_months_without_files_are_empty_but_a_bucket_is_not(small_market: SimulatedMarket) -> None:
    with opened(small_market, prepared(DAY)) as bench:
        assert bench.client.list_days(date(2025, 12, 1), date(2026, 1, 31)) == {}
        with pytest.raises(ValueError, match="the last day must not be before the first"):
            bench.client.list_days(DAY, DAY - timedelta(days=1))
        with pytest.raises(BadPage, match=r"without files.*prefix is wrong, or a proxy"):
            client_of(bench.server, prefix="us_stocks_sip/minutes").list_days(DAY, DAY)


@pytest.mark.parametrize("path", ["/flatfiles", "prefix=", ""])
def test_a_page_of_a_proxy_is_not_an_empty_month(bench: Bench, path: str) -> None:
    bench.fail(Fault("html", rate=1.0, path=path if path != "prefix=" else ""))
    with pytest.raises(BadPage, match="a proxy or firewall answered instead"):
        bench.client.list_days(DAY, DAY)


def test_one_page_of_a_proxy_among_right_answers_is_noticed(bench: Bench) -> None:
    bench.fail(Fault("html", requests=(1,)))
    with pytest.raises(BadPage, match=r"LIST us_stocks_sip/minute_aggs_v1/2025/11 .*although there must be some"):
        bench.client.list_days(DAY, DAY)
    assert list(bench.client.list_days(DAY, DAY)) == [DAY]


# ---------------------------------------------------------------------------------------------------------- downloads


def test_a_download_appears_whole(bench: Bench, to: Path) -> None:
    file = bench.only()
    ticks: list[int] = []
    found = bench.client.download(file, to, lambda: ticks.append(1))
    assert found == (file, to, 0)
    assert to.read_bytes() == csv_of(NOISE)
    assert [path.name for path in to.parent.iterdir()] == [to.name]
    assert ticks
    assert bench.client.requests == 2


def test_a_stopped_download_is_continued(bench: Bench, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallcaps_assets.market_data.flat_files.client._PIECE_BYTES", 1000)
    file = bench.only()

    def stop() -> None:
        raise Stopped("enough")

    with pytest.raises(Stopped):
        bench.client.download(file, to, stop)
    (part,) = to.parent.iterdir()
    assert part.name.endswith(".part")
    brought = part.stat().st_size
    assert 0 < brought < file.size
    assert bench.client.download(file, to) == (file, to, brought)
    assert to.read_bytes() == csv_of(NOISE)
    assert [*to.parent.iterdir()] == [to]


def test_a_part_of_another_version_is_not_continued(bench: Bench, to: Path) -> None:
    (to.parent / f"{to.name}.0123456789ab.part").write_bytes(b"of another version")
    assert bench.client.download(bench.only(), to).resumed_bytes == 0
    assert to.read_bytes() == csv_of(NOISE)
    assert [*to.parent.iterdir()] == [to]


def test_a_file_replaced_after_it_was_listed_is_downloaded_in_its_new_version(bench: Bench, to: Path) -> None:
    listed = bench.only()
    later = csv_of("B", NOISE)
    bench.exchange.files.bucket = GivenFiles({listed.key: later})
    found = bench.client.download(listed, to)
    assert found.file.etag != listed.etag
    assert (found.file, to.read_bytes()) == (bench.only(), later)


def test_a_broken_connection_is_continued(bench: Bench, to: Path) -> None:
    file = bench.only()
    bench.fail(Fault("reset", requests=(2,)))
    bench.client.download(file, to)
    assert to.read_bytes() == csv_of(NOISE)
    assert bench.server.requests == 3  # the list, the file up to its middle, the rest


def test_connections_that_always_break_leave_what_arrived(bench: Bench, to: Path) -> None:
    file = bench.only()
    bench.fail(Fault("reset", rate=1.0))
    with pytest.raises(VendorUnavailable, match=r"failed at every attempt, the last time with: .*[Rr]eset"):
        bench.client.download(file, to)
    assert not to.exists()
    bench.fail()
    bench.client.download(file, to)
    assert to.read_bytes() == csv_of(NOISE)


@pytest.mark.parametrize("fault", FAILED)
def test_what_fails_once_is_repeated(bench: Bench, to: Path, fault: str) -> None:
    bench.fail(Fault(fault, requests=(1, 3)))  # type: ignore[arg-type]
    bench.client.download(bench.only(), to)
    assert to.read_bytes() == csv_of(NOISE)
    assert bench.server.requests == 4


@pytest.mark.parametrize("fault", FAILED)
def test_what_always_fails_is_unavailable(bench: Bench, to: Path, fault: str) -> None:
    file = bench.only()
    bench.fail(Fault(fault, rate=1.0))  # type: ignore[arg-type]
    for ask in (lambda: bench.client.download(file, to), lambda: bench.client.list_days(DAY, DAY)):
        with pytest.raises(VendorUnavailable, match="at every attempt"):
            ask()
    assert not to.exists()


def test_a_silent_server_is_left(bench: Bench) -> None:
    bench.fail(Fault("latency", rate=1.0, seconds=30.0))
    with pytest.raises(VendorUnavailable, match="no answer in time"):
        client_of(bench.server, timeout_s=0.1, max_retries=0).list_days(DAY, DAY)


def test_a_page_of_a_proxy_is_not_a_file(bench: Bench, to: Path) -> None:
    file = bench.only()
    bench.fail(Fault("html", rate=1.0))
    with pytest.raises(BadPage, match="without an ETag"):
        bench.client.download(file, to)


def test_another_size_than_listed_is_not_kept(bench: Bench, to: Path) -> None:
    file = bench.only()
    with pytest.raises(BadPage, match=rf"has {file.size:,} bytes, {file.size + 1:,} were listed"):
        bench.client.download(file._replace(size=file.size + 1), to)
    assert [*to.parent.iterdir()] == []


def test_a_file_that_is_gone(bench: Bench, to: Path) -> None:
    file = bench.only()
    bench.exchange.files.bucket = GivenFiles({})
    with pytest.raises(NotFound, match=r"HTTP 404 NoSuchKey.*not, or no longer, published"):
        bench.client.download(file, to)


# --------------------------------------------------------------------------------------------------------------- keys


def test_a_plan_without_flat_files_lists_and_denies(small_market: SimulatedMarket, to: Path) -> None:
    with opened(small_market, prepared(DAY), denied=["flat_files"]) as bench:
        file = bench.only()
        for ask in (lambda: bench.client.download(file, to), lambda: bench.client.require_access(file)):
            with pytest.raises(NotEntitled, match=r"not include the files of minute_aggs_v1.*source\.bars to rest"):
                ask()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (Keys("AKIAWRONGACCESS", EMBEDDED_SECRET_KEY, "A", "S"), "does not know the access key: correct A"),
        (Keys(EMBEDDED_ACCESS_KEY, "wrong/secret+key", "A", "S"), "does not belong to the access key: correct S"),
    ],
)
def test_wrong_keys_are_named_and_never_quoted(bench: Bench, to: Path, keys: Keys, words: str) -> None:
    client = client_of(bench.server, keys=keys)
    file = bench.only()
    for ask in (lambda: client.list_days(DAY, DAY), lambda: client.download(file, to)):
        with pytest.raises(NotAuthenticated, match=words) as caught:
            ask()
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.facts) + repr(client) + repr(keys)
        assert keys.access not in shown.replace("AccessKeyId", "")
        assert keys.secret not in shown
    assert client.clean(f"{keys.secret}\n{keys.access} http://user:pass@host") == "*** *** http://***@host"


def test_variables_of_other_buckets_have_no_effect(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = "http://127.0.0.1:9"
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROXY_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, elsewhere)
        monkeypatch.setenv(name.lower(), elsewhere)
    true = ("AWS_SKIP_SIGNATURE", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "AWS_REQUEST_PAYER", "AWS_S3_EXPRESS")
    for name in (*true, "AWS_UNSIGNED_PAYLOAD", "AWS_ALLOW_INVALID_CERTIFICATES"):
        monkeypatch.setenv(name, "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_BUCKET"):
        monkeypatch.setenv(name, "other")
    assert list(client_of(bench.server).list_days(DAY, DAY)) == [DAY]


# ------------------------------------------------------------------------------------------------ the market's files


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
