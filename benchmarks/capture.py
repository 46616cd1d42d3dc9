"""How full capture fills the vendor's limit, and how fast it is without one. The last line is one JSON object.

python benchmarks/capture.py [--seconds 70] [--steps 1 2] [--only paced,unlimited,memory]

The exchange runs in a separate process. Where a limit is measured, it answers after 40 ms and rejects with 429 what
goes beyond the same limit in any 60 seconds; where speed is, it answers at once and from memory, since waiting is what
threads are for, and what counts is the work that a thread does. Everything that captures runs in separate processes
as well, each a whole capture with certificates, published to disk; the official client only makes its objects.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
from memory import peak_mb

from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.errors import Stopped
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.source import LATE_S, budget_share
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets.simulated.hours import trading_dates
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.faults import FaultyExchange, fault_script
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.protocol.wire import Reply

LATENCY_S = 0.04
PACES = (60, 600, 6_000)
FIRST, LAST = datetime(2025, 10, 20).date(), datetime(2025, 12, 1).date()  # noqa: DTZ001
SYMBOL, CROWDED = "AVLO", datetime(2025, 11, 12, 17, tzinfo=UTC)
REPEATS = 5


class Remembering:
    """The exchange, with answers remembered once given: what is measured is not how it makes them.

    Symbols such as AVLO.3 trade as AVLO does, so that many symbols can be busy.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], Reply] = {}

    def reply(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        question = (path, tuple(sorted(query.items())))
        known = self._known.get(question)
        if known is None:
            symbol = path.rpartition("/")[2]
            twin = symbol.partition(".")[0]
            known = self._exchange.reply(path.replace(symbol, twin), query, headers)
            if known.status == 200:  # noqa: PLR2004
                body = known.body.replace(f"/{twin}?cursor".encode(), f"/{symbol}?cursor".encode())
                packed = gzip.compress(body, compresslevel=6)
                known = Reply(known.status, {**known.headers, "Content-Encoding": "gzip"}, packed)
                self._known[question] = known
        return known


def serving(limit: int, latency_s: float) -> None:
    """The process of the exchange: prints its address, then serves until its input ends."""
    market = SimulatedMarket(clock=lambda: datetime(2026, 1, 5, 12, tzinfo=UTC))
    exchange: Any = Exchange(market, requests_per_minute=limit) if limit else Remembering(Exchange(market))
    slow = json.dumps([{"fault": "latency", "rate": 1, "seconds": latency_s}])
    with serve(FaultyExchange(exchange, fault_script(slow))) as server:
        print(server.base_url, flush=True)
        sys.stdin.read()


@contextmanager
def exchange(limit: int = 0, latency_s: float = 0.0) -> Iterator[str]:
    given = json.dumps({"limit": limit, "latency_s": latency_s})
    command = [sys.executable, __file__, "--child", "serving", given]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout  # noqa: PT018, S101
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def manifest(windows: Iterator[tuple[str, datetime]], before: int, after: int) -> pl.DataFrame:
    """The columns of a manifest that capture looks at; windows that do not touch."""
    rows = [(f"{symbol}_{at:%Y%m%d_%H%M}", symbol, at) for symbol, at in windows]
    return pl.DataFrame(rows, schema=["event_id", "symbol", "timestamp"], orient="row").with_columns(
        session=pl.lit("RTH"),
        timestamp=pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        window_before_min=pl.lit(before, pl.Int64),
        window_after_min=pl.lit(after, pl.Int64),
    )


def small_windows() -> Iterator[tuple[str, datetime]]:
    """One minute each, of few rows: 12 symbols, 30 sessions, 90 windows a day."""
    for day in trading_dates(FIRST, LAST):
        for minute in range(0, 360, 4):
            for symbol in SimulatedMarket().symbols():
                opening = datetime(day.year, day.month, day.day, 15, tzinfo=UTC)
                yield symbol, opening + timedelta(minutes=minute)


def busy_windows(symbol: str = SYMBOL) -> pl.DataFrame:
    """Where the tape runs: eight minutes of one symbol, with about 3,000 trades each."""
    return manifest(((symbol, CROWDED + timedelta(minutes=2 * number)) for number in range(8)), 0, 1)


def crowded_window(symbol: str = SYMBOL) -> pl.DataFrame:
    """60,000 trades and 76,000 quotes, in pages of 50,000."""
    return manifest(iter([(symbol, CROWDED)]), 60, 300)


@lru_cache(maxsize=1)
def settings() -> Settings:
    return load_settings(None, {})


def client_of(base_url: str, limit: float | None) -> MarketDataClient:
    return MarketDataClient(
        Transport(base_url, "a-key-of-benchmarks", bucket=TokenBucket(limit, late_s=LATE_S, fresh=limit is None))
    )


def captured(client: MarketDataClient, rows: pl.DataFrame, kind: TapeKind, threads: int, root: str) -> None:
    tape = TapeStore(Lake(Path(root)), "core", settings().profiles["core"], settings().capture.size_budget)
    capture = Capture(kind, tape, client, threads, "benchmark", log=lambda line: print(line, file=sys.stderr))
    for outcome in capture.run(rows, [(symbol, "RTH") for symbol in rows["symbol"].unique()]):
        if outcome.problems:
            raise SystemExit(str(outcome.problems))


def pacing(base_url: str, limit: float, seconds: float, begin: float) -> dict[str, float]:
    """One step for so many seconds: what it sent."""
    client, stop = client_of(base_url, limit), threading.Event()
    rows = manifest(small_windows(), 0, 1)
    with tempfile.TemporaryDirectory() as root:
        time.sleep(max(0.0, begin - time.time()))
        threading.Timer(begin + seconds - time.time(), stop.set).start()
        try:
            captured(Stoppable(client, stop), rows, "trades", settings().fetch_threads, root)  # type: ignore[arg-type]
        except Stopped:
            pass
        else:
            raise SystemExit("there were not enough windows for the time")
    totals = client.totals()
    return {"requests": totals.requests_sent, "throttled": totals.throttled, "retries": totals.retries}


class Stoppable:
    """A client whose work ends when the time is over."""

    def __init__(self, client: MarketDataClient, stop: threading.Event) -> None:
        self._client, self._stop = client, stop

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    def until(self, stop: threading.Event) -> MarketDataClient:  # noqa: ARG002
        return self._client.until(self._stop)


def workload() -> pl.DataFrame:
    """Windows of busy minutes and crowded ones."""
    busy = [busy_windows(f"{SYMBOL}.{number}") for number in range(8)]
    crowded = [crowded_window(f"{SYMBOL}.{number}") for number in range(8, 12)]
    return pl.concat([*busy, *crowded])


def unlimited(base_url: str, threads: int, kind: TapeKind) -> dict[str, float]:
    """The workload as fast as it goes."""
    client, rows = client_of(base_url, None), workload()
    with tempfile.TemporaryDirectory() as root:  # what is done once in the life of a process
        captured(client, busy_windows(), kind, threads, root)
    with tempfile.TemporaryDirectory() as root:
        began = time.perf_counter()
        captured(client, rows, kind, threads, root)
        seconds = time.perf_counter() - began
        published = TapeStore(Lake(Path(root)), "core", settings().profiles["core"]).published(kind)
    received = int(published["received"].sum())
    return {"rows_per_s": received / seconds, "windows_per_s": rows.height / seconds, "rows": received}


def official(base_url: str, kind: TapeKind) -> dict[str, float]:
    """The official client of the vendor, doing the same requests in one thread."""
    from massive import RESTClient  # noqa: PLC0415

    client = RESTClient("key", base=base_url)
    ask: Callable[..., Any] = client.list_trades if kind == "trades" else client.list_quotes
    rows = workload().select("symbol", "timestamp", "window_before_min", "window_after_min")
    list(ask(SYMBOL, timestamp_gte="2025-11-12", limit=10, params={"timestamp.lt": "2025-11-12"}))
    received, began = 0, time.perf_counter()
    for symbol, at, before, after in rows.iter_rows():
        start, end = (int((at + timedelta(minutes=m)).timestamp()) * 10**9 for m in (-before, after))
        found = list(ask(symbol, timestamp_gte=start, timestamp_lt=end, limit=50_000, order="asc", sort="timestamp"))
        received += len(found)
    seconds = time.perf_counter() - began
    return {"rows_per_s": received / seconds, "windows_per_s": rows.height / seconds, "rows": received}


def memory(base_url: str) -> dict[str, float]:
    """48 crowded windows, as many at once as there are threads by default; each has a separate lake."""
    client, threads = client_of(base_url, None), settings().fetch_threads

    def one(folder: Path) -> None:
        folder.mkdir()
        for kind in ("trades", "quotes"):
            captured(client, crowded_window(), kind, 1, str(folder))  # type: ignore[arg-type]

    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(one, [Path(root) / str(number) for number in range(48)]))
    return {"peak_mb": peak_mb(), "windows": float(len(done))}


def child(name: str, **arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--child", name, json.dumps(arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args} failed")
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def measure_paced(seconds: float, chosen: list[int]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for steps in chosen:
        limits = PACES if steps == 1 else PACES[1:]
        for limit in limits:
            with exchange(limit, LATENCY_S) as base_url:
                begin = time.time() + 4
                budget = budget_share(limit, steps)
                processes = [
                    child("pacing", base_url=base_url, limit=budget, seconds=seconds, begin=begin) for _ in range(steps)
                ]
                found = [result(process) for process in processes]
            allowed = limit * seconds / 60
            name = f"paced_{limit}_{steps}_steps"
            figures[name] = sum(one["requests"] for one in found) / allowed
            figures[f"{name}_429"] = sum(one["throttled"] for one in found)
            print(f"{name}: {figures[name]:.4f} of what is allowed, {figures[f'{name}_429']:.0f} times 429", flush=True)
    return figures


def measure_unlimited() -> dict[str, float]:
    figures: dict[str, float] = {}
    default = settings().fetch_threads
    with exchange() as base_url:
        for kind in ("trades", "quotes"):
            result(child("unlimited", base_url=base_url, threads=4, kind=kind))  # the exchange learns the answers
            runs = [
                (
                    result(child("official", base_url=base_url, kind=kind)),
                    result(child("unlimited", base_url=base_url, threads=1, kind=kind)),
                    result(child("unlimited", base_url=base_url, threads=default, kind=kind)),
                )
                for _ in range(REPEATS)
            ]
            print([[round(one["rows_per_s"] / 1e3) for one in run] for run in runs], flush=True)
            theirs, alone, ours = (
                sorted((run[place] for run in runs), key=lambda one: one["rows_per_s"])[REPEATS // 2]
                for place in range(3)
            )
            assert theirs["rows"] == alone["rows"] == ours["rows"]  # noqa: S101
            for name, found in (("official", theirs), ("one_thread", alone), ("default", ours)):
                figures[f"{kind}_{name}_rows_per_s"] = found["rows_per_s"]
                figures[f"{kind}_{name}_windows_per_s"] = found["windows_per_s"]
            figures[f"{kind}_one_thread_ratio"] = alone["rows_per_s"] / theirs["rows_per_s"]
            figures[f"{kind}_default_ratio"] = ours["rows_per_s"] / theirs["rows_per_s"]
            print({name: round(value, 2) for name, value in figures.items() if name.startswith(kind)}, flush=True)
    return figures


def measure_memory() -> dict[str, float]:
    with exchange() as base_url:
        found = result(child("memory", base_url=base_url))
    print(f"peak memory {found['peak_mb']:,.0f} MB", flush=True)
    return {"memory_peak_mb": found["peak_mb"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=70.0, help="how long each pace is measured; more than 60")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2], help="how many steps are paced at once")
    parser.add_argument("--only", default="paced,unlimited,memory", help="which parts, with commas between them")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "ARGUMENTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, given = arguments.child
        if name == "serving":
            serving(**json.loads(given))
            return
        works: dict[str, Callable[..., Any]] = {
            "pacing": pacing,
            "unlimited": unlimited,
            "official": official,
            "memory": memory,
        }
        print(json.dumps(works[name](**json.loads(given))))
        return
    parts = {
        "paced": lambda: measure_paced(arguments.seconds, arguments.steps),
        "unlimited": measure_unlimited,
        "memory": measure_memory,
    }
    figures: dict[str, float] = {}
    for part in arguments.only.split(","):
        figures |= parts[part]()
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
