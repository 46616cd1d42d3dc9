"""An exchange whose flat files are given, whose faults can be switched, and a client of them."""

import gzip
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

from smallcaps_assets.market_data.flat_files.bucket import Keys
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.market_data.flat_files.keys import RemoteFile, remote_key
from smallcaps_assets.simulated.bucket.files import GivenFiles
from smallcaps_assets.simulated.bucket.service import EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.faults import Fault, FaultyExchange
from smallcaps_assets.simulated.protocol.server import ExchangeServer, serve

PREFIX = "us_stocks_sip/minute_aggs_v1"
DAY = date(2025, 11, 26)
LATER = datetime(2026, 1, 5, 12, tzinfo=UTC)
FIRST_BAR = 1_764_147_600_000_000_000  # 2025-11-26 04:00 in New York, which is 09:00 UTC
# of text that no compression shortens, so that half of it is not nothing
NOISE = random.Random(1).randbytes(40_000).hex()  # noqa: S311


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
