"""A server that answers from a script, and a client of it."""

import threading
from collections.abc import Iterator

import pytest

from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets_tests.contract.scripted_server import KEY, Rig, Script, Server


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    server = Server(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    script.base = f"http://127.0.0.1:{server.server_address[1]}"
    yield script
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def rig(script: Script) -> Iterator[Rig]:
    slept: list[float] = []
    bucket = TokenBucket(None, clock=lambda: sum(slept))
    with MarketDataClient(
        Transport(script.base, KEY, bucket=bucket, timeout_s=2, sleep=slept.append, jitter=lambda: 0.5)
    ) as client:
        yield Rig(client, slept)
