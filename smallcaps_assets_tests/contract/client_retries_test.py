"""Failures that pass are retried, others are reported, and throttling is respected."""

import json
import socket
from datetime import UTC, datetime, timedelta

import pytest

from smallcaps_assets.errors import (
    BadPage,
    MarketDataError,
    NotAuthenticated,
    NotEntitled,
    RequestRejected,
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
    TOO_MANY,
    Reply,
    Rig,
    Script,
    http_date,
    refusal,
    trade,
    trades,
    zipped,
)

PASSING = {
    "500": Reply(b"oops", 500),
    "502 with HTML": Reply(b"<html>bad gateway</html>", 502),
    "503": refusal(503, error="maintenance"),
    "504": Reply(b"", 504),
    "a short body": Reply(GOOD.body[:40], declared=len(GOOD.body)),
    "a reset amid the body": Reply(GOOD.body[:40], declared=len(GOOD.body), reset=True),
    "a truncated gzip": zipped(GOOD, keep=60),
    "a body that is no gzip": Reply(GOOD.body, headers={"Content-Encoding": "gzip"}),
    "an empty body": Reply(b""),
    "a body that ends with the connection": Reply(GOOD.body[:-3], declared=-1),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_temporary_failure_is_retried(script: Script, rig: Rig, name: str) -> None:
    script.replies = [PASSING[name], PASSING[name], GOOD]
    fetched = trades(rig)
    assert fetched.frame.height == 2
    assert (fetched.requests, fetched.retries, fetched.throttled) == (3, 2, 0)
    assert rig.slept == [0.5, 1.0]


@pytest.mark.parametrize("name", PASSING)
def test_a_lasting_failure_raises_after_five_retries(script: Script, rig: Rig, name: str) -> None:
    script.replies = [PASSING[name]]
    with pytest.raises(VendorUnavailable, match="GET /v3/trades/AEMD for trades failed 6 times, the last time with"):
        trades(rig)
    assert rig.slept == [0.5, 1.0, 2.0, 4.0, 8.0]
    totals = rig.client.totals()
    assert (totals.requests_sent, totals.retries, totals.throttled) == (6, 5, 0)


def test_a_refused_connection_is_unavailable() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        client = MarketDataClient(Transport(base, KEY, bucket=TokenBucket(None), max_retries=1, sleep=lambda _: None))
        with client, pytest.raises(VendorUnavailable, match=r"2 times.*ConnectionRefusedError while connecting"):
            client.trades("AEMD", START, END)


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        base = f"http://127.0.0.1:{mute.getsockname()[1]}"
        client = MarketDataClient(Transport(base, KEY, bucket=TokenBucket(None), max_retries=0, timeout_s=0.05))
        with client, pytest.raises(VendorUnavailable, match=r"a silence of 0.05 s \(within its headers\)"):
            client.trades("AEMD", START, END)


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({}, 2.0),
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": "86400"}, 300.0),
        ({"Retry-After": "0"}, 2.0),
        ({"Retry-After": "-5"}, 2.0),
        ({"Retry-After": "soon"}, 2.0),
        ({"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}, 300.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 2.0),
        ({"Retry-After": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, 2.0),
        ({"Retry-After": "Wed, 21 Oct 2099 99:99:99 GMT"}, 2.0),
        ({"Retry-After": "9" * 400}, 300.0),
    ],
)
def test_throttling_waits_as_long_as_requested_and_pauses_all_threads(
    script: Script, rig: Rig, headers: dict[str, str], waited: float
) -> None:
    script.replies = [Reply(TOO_MANY.body, 429, headers), GOOD]
    fetched = trades(rig)
    assert (fetched.requests, fetched.retries, fetched.throttled) == (2, 1, 1)
    assert rig.slept == pytest.approx([waited])


@pytest.mark.parametrize("days_off", [-400, 400])
def test_a_retry_after_date_is_compared_with_the_servers_clock(script: Script, rig: Rig, days_off: int) -> None:
    server_now = datetime.now(UTC) + timedelta(days=days_off)
    headers = {"Date": http_date(server_now), "Retry-After": http_date(server_now + timedelta(seconds=90))}
    script.replies = [Reply(b"", 429, headers), GOOD]
    trades(rig)
    assert rig.slept == pytest.approx([90.0])


def test_a_retry_after_date_without_a_date_header_is_compared_with_our_clock(script: Script, rig: Rig) -> None:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    script.replies = [Reply(b"", 429, {"Retry-After": http_date(in_an_hour)}, dated=False), GOOD]
    trades(rig)
    # the longest wait that is accepted; without a usable date it would be the backoff of 2 s
    assert rig.slept == pytest.approx([300.0])


def test_retry_after_of_an_unavailable_service_is_respected(script: Script, rig: Rig) -> None:
    script.replies = [Reply(b"", 503, {"Retry-After": "7"}), GOOD]
    trades(rig)
    assert rig.slept == [7.0]


def test_every_attempt_reserves_a_token(script: Script) -> None:
    slept: list[float] = []
    bucket = TokenBucket(60, clock=lambda: sum(slept))
    script.replies = [Reply(b"", 500), GOOD]
    with MarketDataClient(
        Transport(script.base, KEY, bucket=bucket, sleep=slept.append, jitter=lambda: 0.25)
    ) as client:
        client.trades("AEMD", START, END)
    assert slept == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (refusal(401, error="Unknown API Key"), NotAuthenticated, ["Unknown API Key", "MASSIVE_API_KEY", "r9"]),
        (
            refusal(403, message="You are not entitled"),
            NotEntitled,
            ["You are not entitled", "trades", "separate", "r9"],
        ),
        (refusal(400, error="bad timestamp"), RequestRejected, ["HTTP 400", "bad timestamp"]),
        (refusal(404, message="Ticker not found."), RequestRejected, ["HTTP 404", "Ticker not found."]),
        (Reply(b"[" * 5000, 418), RequestRejected, ["HTTP 418"]),
        (Reply(b"", 302, {"Location": "http://127.0.0.2/v3/trades/AEMD"}), RequestRejected, ["HTTP 302", "base_url"]),
        (Reply(b"", 204), BadPage, ["HTTP 204"]),
    ],
)
def test_a_rejected_request_is_not_retried_and_names_the_reason(
    script: Script, rig: Rig, reply: Reply, error: type[MarketDataError], words: list[str]
) -> None:
    script.replies = [reply]
    with pytest.raises(error) as caught:
        trades(rig)
    for word in ["GET /v3/trades/AEMD", *words]:
        assert word in str(caught.value)
    assert (len(script.seen), rig.slept) == (1, [])


def test_a_download_reports_its_waiting_time_and_the_request_id_of_the_header(script: Script, rig: Rig) -> None:
    body = json.dumps({"results": [trade(0)], "status": "OK"}).encode()
    script.replies = [Reply(b"", 503, {"Retry-After": "7"}), Reply(body, headers={"X-Request-Id": "h1"})]
    fetched = trades(rig)
    assert (fetched.waited_s, fetched.request_ids) == (7.0, ("h1",))


def test_a_request_waits_again_after_another_was_throttled(script: Script) -> None:
    slept: list[float] = []
    bucket = TokenBucket(60, clock=lambda: sum(slept))

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:  # meanwhile another thread receives a Retry-After of 30 s
            bucket.penalise(30)

    script.replies = [GOOD]
    bucket.reserve()
    with MarketDataClient(Transport(script.base, KEY, bucket=bucket, sleep=sleep)) as client:
        client.trades("AEMD", START, END)
    assert slept == pytest.approx([1.0, 30.0])
    assert len(script.seen) == 1


@pytest.mark.parametrize(
    ("headers", "jitter", "waited"),
    [
        ({}, 1.0, 4.0),  # the backoff
        ({}, 0.0, 2.0),  # the rate, which was one request a second, is halved
        ({"Retry-After": "1"}, 1.0, 1.0),  # neither
    ],
)
def test_a_429_without_a_hint_also_slows_down(
    script: Script, headers: dict[str, str], jitter: float, waited: float
) -> None:
    slept: list[float] = []
    script.replies = [Reply(TOO_MANY.body, 429, headers), GOOD]
    bucket = TokenBucket(None, clock=lambda: sum(slept))
    transport = Transport(script.base, KEY, bucket=bucket, sleep=slept.append, jitter=lambda: jitter)
    with MarketDataClient(transport) as client:
        client.trades("AEMD", START, END)
    assert slept == pytest.approx([waited])


def test_answers_with_429_do_not_count_as_failed_attempts(script: Script, rig: Rig) -> None:
    script.replies = [*[TOO_MANY] * 3, *[Reply(b"", 503)] * 3, *[TOO_MANY] * 3, GOOD]
    fetched = trades(rig)
    assert (fetched.requests, fetched.retries, fetched.throttled) == (10, 9, 6)


def test_a_pause_before_a_retry_grows_to_a_minute_at_most(script: Script) -> None:
    slept: list[float] = []
    script.replies = [Reply(b"", 503)] * 9 + [GOOD]
    bucket = TokenBucket(None, clock=lambda: sum(slept))
    transport = Transport(script.base, KEY, bucket=bucket, max_retries=9, sleep=slept.append, jitter=lambda: 1.0)
    with MarketDataClient(transport) as client:
        assert client.trades("AEMD", START, END).retries == 9
    assert slept == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])
