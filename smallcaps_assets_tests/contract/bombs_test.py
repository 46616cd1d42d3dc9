"""Answers that become far longer than they are, several at once, in a process whose memory is measured."""

import gzip
import subprocess
import sys
from typing import Final

import pytest

from smallcaps_assets_tests.hostile_server import hostile_server, reply

PEAK: Final = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from smallcaps_assets.errors import MarketDataError
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport

START, END = datetime(2025, 11, 26, 14, 57, tzinfo=UTC), datetime(2025, 11, 26, 15, 7, tzinfo=UTC)
transport = Transport(sys.argv[1], "a-key-of-tests", bucket=TokenBucket(None), max_retries=0, max_body_bytes=4_000_000)
client, failures = MarketDataClient(transport), []

def download():
    try:
        client.trades("AVLO", START, END)
    except MarketDataError as error:
        failures.append(type(error).__name__)

def peak_kb():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

before = peak_kb()
threads = [threading.Thread(target=download) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print((peak_kb() - before) // 1024, *failures)
"""
BOMB: Final = gzip.compress(bytes(1 << 26), 1)
MEMORY: Final = {
    "BadPage": reply(BOMB, "200 OK", "Content-Encoding: gzip"),
    "NotEntitled": reply(BOMB, "403 Forbidden", "Content-Encoding: gzip"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("error", MEMORY)
def test_bombs_that_arrive_together_stay_within_their_limit(error: str) -> None:
    with hostile_server(lambda: [MEMORY[error]]) as server:
        command = [sys.executable, "-c", PEAK, server.address_of("http")]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    grown_mb, *failures = shown.stdout.split()
    assert failures == [error] * 8
    # one bomb of the eight would take 64 MB, four of them 256 MB
    assert int(grown_mb) < 64
