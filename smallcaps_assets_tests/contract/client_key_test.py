"""The key of the vendor and the password of a proxy are shown and sent nowhere else."""

import traceback
from pathlib import Path

import pytest

from smallcaps_assets.errors import (
    MarketDataError,
    NotAuthenticated,
    SettingsError,
    VendorUnavailable,
)
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets_tests.contract.scripted_server import (
    END,
    GOOD,
    KEY,
    START,
    Reply,
    Rig,
    Script,
    page,
    refusal,
    trade,
    trades,
)

ECHOES = {
    "401": [refusal(401, error=f"Unknown API Key {KEY}")],
    "403 in the last characters": [refusal(403, message="x" * 290 + KEY)],
    "a request id": [Reply(b"", 400, {"X-Request-Id": KEY})],
    "every retry": [refusal(500, error=f"cannot serve {KEY}")],
    "a status": [page(status=KEY)],
    "a next_url": [page(trade(0), next_url=f"http://x/{KEY}?token={KEY}")],
    "a value": [page(trade(0, decimal_size=KEY))],
    "HTML": [Reply(f"<html>{KEY}</html>".encode())],
    "broken HTTP": [Reply(f"{KEY}\r\n".encode(), headers={"Transfer-Encoding": "chunked"}, declared=-1)],
    "a redirect": [Reply(b"", 307, {"Location": f"http://127.0.0.2/?apiKey={KEY}"})],
    "a short body": [Reply(KEY.encode(), declared=4000)],
}


@pytest.mark.parametrize("name", ECHOES)
def test_the_key_appears_in_no_error_and_no_log(
    script: Script, rig: Rig, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    script.replies = [*ECHOES[name]]
    with pytest.raises(MarketDataError) as caught:
        trades(rig)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    shown = "".join(traceback.format_exception(caught.value))
    for text in (shown, str(caught.value), repr(caught.value), caplog.text, repr(rig.client), repr(vars(rig.client))):
        assert KEY not in text
        assert KEY[:12] not in text


@pytest.mark.parametrize("reply", [refusal(401, error="Unknown API Key"), Reply(b"", 500), page(status="ERROR")])
def test_the_key_is_in_no_local_variable_of_a_traceback(script: Script, rig: Rig, reply: Reply) -> None:
    script.replies = [reply]
    with pytest.raises(MarketDataError) as caught:
        trades(rig)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert KEY not in "".join(shown.format())


def test_an_echoed_key_reaches_no_result(script: Script, rig: Rig) -> None:
    script.replies = [page(request_id=f"for-{KEY}")]
    assert trades(rig).request_ids == ("for-***",)


def test_a_netrc_does_not_replace_the_key(
    script: Script, rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    script.replies = [GOOD]
    trades(rig)
    assert script.seen[0].authorization == f"Bearer {KEY}"


@pytest.mark.parametrize("key", [" k3y-of-tests", "k3y-of-tests\n", "k3ý-of-tests", "a k3y-of-tests", "k3y", "k3y-of-"])
def test_an_unusable_key_is_rejected_without_being_shown(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        MarketDataClient(Transport("http://127.0.0.1", key, bucket=TokenBucket(None)))
    assert key not in str(caught.value)
    with pytest.raises(NotAuthenticated, match="MASSIVE_API_KEY"):
        MarketDataClient(Transport("http://127.0.0.1", "", bucket=TokenBucket(None)))


@pytest.mark.parametrize(
    "base",
    [
        "",
        "api.massive.com",
        "ftp://x",
        "http://u:p@x",
        f"http://x?apiKey={KEY}",
        "http://x#a",
        "http://x:99999",
        "http://[x",
    ],
)
def test_an_invalid_base_url_is_rejected(base: str) -> None:
    with pytest.raises(SettingsError, match="base_url") as caught:
        MarketDataClient(Transport(base, KEY, bucket=TokenBucket(None)))
    assert KEY not in str(caught.value)


def test_the_key_leaves_this_machine_only_encrypted() -> None:
    for base in ("http://api.massive.com", "http://localhost.evil.com", "http://0.0.0.0"):
        with pytest.raises(SettingsError, match="would send the API key unencrypted"):
            Transport(base, KEY, bucket=TokenBucket(None))
    transport = Transport("https://api.massive.com", KEY, bucket=TokenBucket(None))
    assert transport.target_of("http://evil.com/v3/trades/AEMD?cursor=c") == "/v3/trades/AEMD?cursor=c"
    for outside in ("@evil.com/v3/trades/AEMD", ".evil.com/v3", ":8080/v3", "%2Fv3/trades"):
        with pytest.raises(ValueError, match="no absolute path"):
            transport.target_of(outside)
    transport.close()


@pytest.mark.parametrize("proxy", ["http://user:{}@[proxy", "http://user:{}#@127.0.0.1:9", "ftp://user:{}@proxy"])
def test_the_password_of_a_proxy_is_in_no_error_and_no_log(
    proxy: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy.format("hunter2"))
    transport = Transport("https://vendor.invalid", KEY, bucket=TokenBucket(None), max_retries=0)
    with MarketDataClient(transport) as client, pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        client.trades("AEMD", START, END)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "hunter2" not in shown


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "[::1]"])
def test_no_proxy_is_used_on_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://no-proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    transport = Transport(f"https://{host}:9", KEY, bucket=TokenBucket(None), max_retries=0)
    with MarketDataClient(transport) as client, pytest.raises(VendorUnavailable, match="while connecting"):
        client.trades("AEMD", START, END)


def test_a_proxy_of_the_environment_is_not_used_on_this_machine(
    script: Script, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    script.replies = [GOOD]
    assert trades(rig).requests == 1
