"""How fast the simulated exchange makes days and serves them over HTTP. The last line is one JSON object.

Usage: python benchmarks/exchange.py [seconds per measurement, default 3]
"""

import gzip
import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from itertools import cycle
from urllib.parse import urlsplit

from smallcaps_assets.simulated.hours import midnight_ns, trading_dates
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve

FIRST, LAST = date(2025, 10, 20), date(2025, 12, 1)
CROWDED_DAY = "2025-11-12"


def clock() -> datetime:
    return datetime(2026, 1, 5, 12, tzinfo=UTC)


def rate(work: Callable[[], int], seconds: float) -> tuple[float, float]:
    """Units per second, and milliseconds per call."""
    units = calls = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        units += work()
        calls += 1
    spent = time.perf_counter() - start
    return units / spent, 1000 * spent / calls


def fresh_days(seconds: float) -> dict[str, float]:
    """Days that nothing has cached: bars, then trades and quotes."""
    market = SimulatedMarket(symbols=2000, clock=clock)
    days: Iterator[tuple[str, date]] = (
        (symbol, day) for day in trading_dates(FIRST, LAST) for symbol in market.symbols()
    )

    def bars() -> int:
        symbol, day = next(days)
        return len(market.bars(symbol, day, day))

    def ticks() -> int:
        symbol, day = next(days)
        start = midnight_ns(day)
        end = start + 86_400 * 10**9
        return len(market.trades(symbol, start, end)) + len(market.quotes(symbol, start, end))

    bars_per_second, bars_ms = rate(bars, seconds)
    ticks_per_second, ticks_ms = rate(ticks, seconds)
    return {
        "generated_bars_per_second": bars_per_second,
        "bars_of_a_day_ms": bars_ms,
        "generated_ticks_per_second": ticks_per_second,
        "ticks_of_a_day_ms": ticks_ms,
    }


class Client:
    """One kept-alive connection that asks for gzip and unpacks it."""

    def __init__(self, base_url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(base_url).netloc)

    def rows(self, path: str) -> int:
        headers = {"Authorization": "Bearer key", "Accept-Encoding": "gzip"}
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.getheader("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return body.count(b'"t":') if "/aggs/" in path else body.count(b'"sip_timestamp":')


def served(seconds: float) -> dict[str, float]:
    """Over HTTP from one client: a month of bars, a page of 50,000 ticks, an event window, a small answer."""
    market = SimulatedMarket(clock=clock)
    with serve(Exchange(market, clock=clock)) as server:
        client = Client(server.base_url)
        symbols = cycle(symbol for symbol in market.symbols() if symbol != "ZZRO")
        month = f"range/1/minute/{FIRST}/{LAST}?limit=50000&adjusted=false"
        window_start = midnight_ns(date(2025, 11, 13)) + 10 * 3600 * 10**9
        window = f"timestamp.gte={window_start}&timestamp.lt={window_start + 600 * 10**9}&limit=50000&order=asc"
        crowded = f"AVLO?timestamp={CROWDED_DAY}&limit=50000"
        asked: dict[str, Callable[[], int]] = {
            "bars": lambda: client.rows(f"/v2/aggs/ticker/{next(symbols)}/{month}"),
            "trades": lambda: client.rows(f"/v3/trades/{crowded}"),
            "quotes": lambda: client.rows(f"/v3/quotes/{crowded}"),
            "window": lambda: client.rows(f"/v3/quotes/{next(symbols)}?{window}"),
        }
        result: dict[str, float] = {}
        for name, ask in asked.items():
            ask()
            result[f"served_{name}_per_second"], result[f"served_{name}_ms_per_request"] = rate(ask, seconds)
        return result


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    figures = {name: round(value, 2) for name, value in (fresh_days(seconds) | served(seconds)).items()}
    for name, value in figures.items():
        print(f"{name:34} {value:>16,.2f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
