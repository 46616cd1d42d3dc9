"""The client of flat files against the bucket of the exchange in a box, over HTTP."""

import socket
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from smallcaps_assets.errors import (
    BadPage,
    NotAuthenticated,
    NotEntitled,
    NotFound,
    Stopped,
    VendorUnavailable,
)
from smallcaps_assets.market_data.flat_files.bucket import Keys
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.market_data.flat_files.keys import remote_key
from smallcaps_assets.simulated.bucket.files import GivenFiles
from smallcaps_assets.simulated.bucket.service import EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.faults import Fault
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.contract.bucket_bench import DAY, NOISE, PREFIX, Bench, client_of, csv_of, opened, prepared

FAILED = ["500", "502", "503", "429", "reset"]


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


_KEY = f"<Contents><Key>{remote_key(PREFIX, DAY)}</Key><LastModified>2025-11-27T10:00:00.000Z</LastModified>"
_END = "<ETag>&quot;a&quot;</ETag><Size>5</Size></Contents>"


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (f"<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>{_KEY}{_END}", "same keys"),
        (f"{_KEY}{_END}{_KEY}{_END}", "same keys again"),
        (f"{_KEY}<ETag>&quot;&quot;</ETag><Size>5</Size></Contents>", "without an ETag"),
        (f"{_KEY}<ETag>a</ETag><Size>-5</Size></Contents>", "no list of a bucket"),
        ("<p>", "no list of a bucket"),
    ],
)
def test_a_list_that_cannot_be_is_named_and_ends(listed: str, words: str) -> None:
    """The first one names its next page for ever."""
    body = f"<ListBucketResult>{listed}</ListBucketResult>".encode()

    class Listing:
        def reply(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:  # noqa: ARG002
            return Reply(200, {"Content-Type": "application/xml"}, body)

    with serve(Listing()) as server, pytest.raises(BadPage, match=words):
        client_of(server).list_days(DAY, DAY)


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


def test_an_answer_without_end_is_left_and_what_arrived_is_kept(
    bench: Bench, to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallcaps_assets.market_data.flat_files.client._PIECE_BYTES", 1000)
    file = bench.only()
    bench.fail(Fault("drip", rate=1.0, seconds=3.0))
    with pytest.raises(VendorUnavailable, match="no answer in time"):
        client_of(bench.server, deadline_s=0.3, max_retries=1).download(file, to)
    bench.fail()
    assert 0 < bench.client.download(file, to).resumed_bytes < file.size
    assert to.read_bytes() == csv_of(NOISE)


def test_a_page_of_a_proxy_is_not_a_file(bench: Bench, to: Path) -> None:
    file = bench.only()
    bench.fail(Fault("html", rate=1.0))
    with pytest.raises(BadPage, match="without an ETag"):
        bench.client.download(file, to)


def test_another_size_than_listed_is_not_kept(bench: Bench, to: Path) -> None:
    file = bench.only()
    with pytest.raises(BadPage, match=rf"has {file.size:,} bytes, {file.size + 1:,} were listed"):
        bench.client.download(file._replace(size=file.size + 1), to)
    with pytest.raises(BadPage, match=rf"has more than {file.size - 1:,} bytes, {file.size - 1:,} were listed"):
        bench.client.download(file._replace(size=file.size - 1), to)
    with pytest.raises(BadPage, match="was listed with 0 bytes: it is empty"):
        bench.client.download(file._replace(size=0), to)
    assert [*to.parent.iterdir()] == []


def test_a_file_without_end_is_left_at_its_listed_size(bench: Bench, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallcaps_assets.market_data.flat_files.client._PIECE_BYTES", 1000)
    ticks: list[int] = []
    with pytest.raises(BadPage, match="has more than 5,000 bytes, 5,000 were listed"):
        bench.client.download(bench.only()._replace(size=5000), to, lambda: ticks.append(1))
    assert len(ticks) <= 5  # pieces of at least 1,000 bytes


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


@pytest.mark.parametrize(("excluded", "proxied"), [("", True), ("bucket.test", False)])
def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, excluded: str, proxied: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0.5)
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://user:password@127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, excluded)
        keys = Keys(EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY)
        client = FlatFiles(
            "https://bucket.test", bucket="flatfiles", prefix=PREFIX, keys=keys, timeout_s=0.3, max_retries=0
        )
        asked: list[bytes] = []

        def answer() -> None:
            with suppress(TimeoutError):
                connection, _ = proxy.accept()
                with connection:
                    asked.append(connection.recv(4096))

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(VendorUnavailable) as caught:
            client.list_days(DAY, DAY)
        thread.join()
        assert "password" not in "".join(traceback.format_exception(caught.value))
    assert [text.split(b" HTTP")[0] for text in asked] == [b"CONNECT bucket.test:443"] * proxied
    if proxied:
        assert b"Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==" in asked[0].replace(b"proxy-auth", b"Proxy-Auth")


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
