"""The way to a vendor that the environment names: through a proxy, with certificates of its own."""

import base64
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smallcaps_assets.errors import SettingsError, VendorUnavailable
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets_tests.hostile_server import Answer, HostileServer, drip, hostile_server, reply

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate")

KEY = "a-key-of-tests"
START, END = datetime(2025, 11, 26, 14, 57, tzinfo=UTC), datetime(2025, 11, 26, 15, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of vendor.test and of a proxy, signed by itself, with its private key."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    names = ["-subj", "/CN=vendor.test", "-addext", "subjectAltName=DNS:vendor.test,IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", *curve, *names]
    subprocess.run([*command, "-keyout", file, "-out", f"{file}.crt"], check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@contextmanager
def proxy_to_vendor(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    """A proxy, named in the environment, behind which every host answers with the certificate."""
    with hostile_server(lambda: [reply()], tunnel=server_tls(certificate)) as proxy:
        name_proxy(f"http://user:hunter%202@{proxy.address}", certificate, monkeypatch)
        yield proxy


def server_tls(certificate: Path) -> ssl.SSLContext:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    return tls


def name_proxy(url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a proxy and the certificates that are trusted in the environment."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{certificate}.crt")


def client_of(base_url: str, deadline_s: float = 10.0) -> MarketDataClient:
    transport = Transport(base_url, KEY, bucket=TokenBucket(None), deadline_s=deadline_s, max_retries=0)
    return MarketDataClient(transport)


def test_requests_go_through_the_proxy_encrypted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy_to_vendor(certificate, monkeypatch) as proxy, client_of("https://vendor.test/data") as client:
        for _ in range(2):
            assert client.trades("AVLO", START, END).frame.is_empty()
    connect, *heads = proxy.heads
    assert connect.startswith(b"CONNECT vendor.test:443 HTTP/1.")
    password = base64.b64encode(b"user:hunter 2")
    assert b"Basic " + password in connect
    assert KEY.encode() not in connect
    assert len(heads) == 2
    for head in heads:
        assert head.startswith(b"GET /data/v3/trades/AVLO?")
        assert b"\r\nHost: vendor.test\r\n" in head
        assert b"\r\nAuthorization: Bearer a-key-of-tests\r\n" in head
        assert password not in head


def test_the_key_is_not_sent_to_a_host_with_a_certificate_of_another(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        proxy_to_vendor(certificate, monkeypatch) as proxy,
        client_of("https://other.test") as client,
        pytest.raises(VendorUnavailable, match="SSLCertVerificationError while connecting"),
    ):
        client.trades("AVLO", START, END)
    assert [head.split()[1] for head in proxy.heads] == [b"other.test:443"]


def test_a_certificate_that_nobody_trusts_is_rejected(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy_to_vendor(certificate, monkeypatch) as proxy, client_of("https://vendor.test") as client:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(VendorUnavailable, match="SSLCertVerificationError while connecting"):
            client.trades("AVLO", START, END)
    assert len(proxy.heads) == 1


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with (
        client_of("https://vendor.test") as client,
        pytest.raises(SettingsError, match=r"gone\.pem: no certificates can be read .* REQUESTS_CA_BUNDLE"),
    ):
        client.trades("AVLO", START, END)


def test_the_deadline_ends_a_proxy_that_drips(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = drip(b"HTTP/1.1 200 Connected\r\n", b"X-Drip: 1\r\n", b"\r\n")
    with hostile_server(answer) as proxy, client_of("https://vendor.test", deadline_s=0.3) as client:
        name_proxy(proxy.address_of("http"), certificate, monkeypatch)
        with pytest.raises(VendorUnavailable, match=r"an answer without end after 0\.3 s \(while connecting\)"):
            client.trades("AVLO", START, END)


def test_the_deadline_ends_a_handshake_after_a_slow_proxy(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handshake has what the proxy's answer has left of the deadline, not `timeout_s`."""

    def answer() -> Iterator[bytes | float]:
        yield b"HTTP/1.1 200 Connected\r\n"
        yield 0.9
        yield b"\r\n"
        yield 0.8  # too late for the deadline, but not for what one operation may take
        yield b"no handshake\r\n"

    with hostile_server(answer) as proxy, client_of("https://vendor.test", deadline_s=1.0) as client:
        name_proxy(proxy.address_of("http"), certificate, monkeypatch)
        with pytest.raises(VendorUnavailable, match=r"an answer without end after 1 s \(while connecting\)"):
            client.trades("AVLO", START, END)


CONNECTED = b"HTTP/1.1 200 Connected\r\n"
HELLO = drip(b"\x16\x03\x03\x40\x00\x02\x00", b"\x00", b"")
ENCRYPTED_DRIPS: dict[str, Answer] = {
    "the proxy's answer": drip(CONNECTED, b"X-Drip: 1\r\n", b"\r\n"),
    "the handshake behind it": lambda: [CONNECTED + b"\r\n", *HELLO(), None],
}


@pytest.mark.parametrize("name", ENCRYPTED_DRIPS)
def test_the_deadline_ends_an_encrypted_proxy_that_drips(
    name: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handshake with the vendor is encrypted twice, and each of its bytes is a record of the outer connection."""
    with (
        hostile_server(ENCRYPTED_DRIPS[name], tls=server_tls(certificate)) as proxy,
        client_of("https://vendor.test", deadline_s=0.3) as client,
    ):
        name_proxy(proxy.address_of("https"), certificate, monkeypatch)
        with pytest.raises(VendorUnavailable, match=r"an answer without end after 0\.3 s \(while connecting\)"):
            client.trades("AVLO", START, END)
