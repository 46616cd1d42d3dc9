"""Minute bars from flat files against REST: an empty lake, and a night.

python benchmarks/flat_files.py [--days 42] [--tickers 12000] [--rows 1800000] [--followed 2000] [--rest 20] [--seed 1]
                                [--bucket DIR] [--only-bucket]

A bucket serves one file per session over HTTP. The files are downloaded, checked and published as tables; then the
months of the followed symbols are made from them; then a night takes one more file and stores it for all symbols. In
the same run `--rest` symbols are fetched over REST from an exchange that answers at once; their time is extrapolated to
all followed symbols. Memory is the peak of the process that does the work. Years of files take an hour to write:
--bucket keeps them, and uses those that are there, and --only-bucket ends when they are written. The last line is one
JSON object.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from memory import peak_mb

from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.flat_files.bucket import Keys
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.market_data.flat_files.keys import remote_key
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.bars.flat_days import FlatDays
from smallcaps_assets.pipeline.bars.flat_months import FlatMonths, FlatRules
from smallcaps_assets.pipeline.bars.flat_road import FlatRoad
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors
from smallcaps_assets.simulated.bucket.folder import FolderFiles
from smallcaps_assets.simulated.bucket.service import EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY
from smallcaps_assets.simulated.hours import trading_dates
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve

PREFIX = "us_stocks_sip/minute_aggs_v1"
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTES = 960
SIZES = {"days": 42, "tickers": 12_000, "rows": 1_800_000, "followed": 2_000, "rest": 20, "seed": 1}


def names(tickers: int) -> list[str]:
    """So many tickers, in order."""
    letters = [chr(ord("A") + number) for number in range(26)]
    return [f"{a}{b}{c}{d}" for a in letters for b in letters for c in letters for d in letters][:: 456976 // tickers][
        :tickers
    ]


def write_file(folder: Path, day: date, tickers: list[str], rows: int, seed: int) -> None:
    """A file with about so many rows: few tickers trade every minute, most trade seldom, as in the market."""
    path = folder / remote_key(PREFIX, day)
    if path.exists():
        return
    rng = np.random.default_rng([seed, day.toordinal()])
    activity = np.minimum(rng.lognormal(0.0, 1.5, len(tickers)), 40.0)
    share = np.minimum(activity / activity.sum() * rows / MINUTES, 1.0)
    place, minute = np.nonzero(rng.random((len(tickers), MINUTES)) < share[:, None])
    level = np.exp(rng.normal(1.5, 1.0, len(tickers)))[place]
    price = np.round(level + rng.normal(0, 0.02, len(place)).cumsum() % 0.5, 4) + 0.5
    start = int(datetime(day.year, day.month, day.day, 4, tzinfo=ZoneInfo("America/New_York")).timestamp())
    table = pl.DataFrame(
        {
            "ticker": pl.Series(tickers)[place],
            "volume": rng.integers(1, 50_000, len(place)),
            "open": price,
            "close": np.round(price + 0.01, 4),
            "high": np.round(price + 0.02, 4),
            "low": np.round(price - 0.01, 4),
            "window_start": (start + minute * 60) * 1_000_000_000,
            "transactions": rng.integers(1, 500, len(place)),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(gzip.compress(table.write_csv().encode(), 1, mtime=0))
    part.replace(path)


def write_bucket(folder: Path, days: list[date], tickers: list[str], rows: int, seed: int) -> None:
    """The files of some days that are not there yet, on all processors."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        written = processes.map(write_file, repeat(folder), days, repeat(tickers), repeat(rows), repeat(seed))
        for number, _ in enumerate(written, 1):
            if number % 50 == 0:
                print(f"{number} of {len(days)} files are there", flush=True)


def scan(path: Path) -> float:
    """Seconds to unpack and parse one file, without checks: nothing reads it faster."""
    began = time.monotonic()
    pl.read_csv(gzip.decompress(path.read_bytes()))
    return time.monotonic() - began


def counted(results: Iterable[Outcome], what: str) -> Iterator[Outcome]:
    """The results, with a line of progress after each 50."""
    for number, result in enumerate(results, 1):
        if number % 50 == 0:
            print(f"{number} {what}, {peak_mb():.0f} MB at most", file=sys.stderr, flush=True)
        yield result


def work(root: Path, url: str, days: list[date], symbols: list[str]) -> None:
    """Take the files and make the months; prints figures."""
    lake, began = Lake(root), time.monotonic()
    keys = Keys(EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY)
    files = FlatFiles(url, bucket="flatfiles", prefix=PREFIX, keys=keys)
    store = FlatBarsStore(lake)
    flat = FlatDays(files, store)
    listed = flat.listed(days[0], days[-1])
    taken = list(counted(flat.take(flat.backlog(listed), listed), "files taken"))
    took = time.monotonic() - began
    began = time.monotonic()
    unexpected, rules = UnexpectedErrors(lake, "minute_bars"), FlatRules(compares=False, prefers_files=True)
    months = FlatMonths(BarsStore(lake), store, store.files().files, rules, lambda line: None, unexpected)  # noqa: ARG005
    with MarketDataClient(Transport(url, "a-key-of-benchmarks", bucket=TokenBucket(None))) as client:
        road = FlatRoad(months, {day: file.size for day, file in listed.items()})
        made = list(counted(ingest_bars(symbols, days, client, BarsStore(lake), 8, flat=road), "symbols made"))
        over_rest = client.totals().requests_sent
    figures = {
        "problems": [str(problem) for one in (*taken, *made) for problem in one.problems][:3],
        "files": len(taken),
        "rows": sum(one.figures.get("rows_in_file", 0) for one in taken),
        "requests": files.requests + over_rest,
        "files_s": round(took, 1),
        "months_s": round(time.monotonic() - began, 1),
        "bars": sum(one.figures["rows"] for one in made),
        "peak_gb": round(peak_mb() / 1000, 2),
    }
    print(json.dumps(figures))


def rest(root: Path, url: str, days: list[date], symbols: list[str]) -> None:
    """Fetch over REST; prints figures."""
    began = time.monotonic()
    with MarketDataClient(Transport(url, "a-key-of-benchmarks", bucket=TokenBucket(None))) as client:
        made = list(ingest_bars(symbols, days, client, BarsStore(Lake(root)), 8))
        figures = {"requests": client.totals().requests_sent, "seconds": round(time.monotonic() - began, 2)}
    print(json.dumps({**figures, "bars": sum(one.figures["rows"] for one in made)}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--bucket", type=Path, metavar="DIR", help="keep the files there, and use those that are there")
    parser.add_argument("--only-bucket", action="store_true", help="write the files of --bucket, and measure nothing")
    parser.add_argument("--child", nargs=4, metavar=("KIND", "ROOT", "URL", "DAYS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    calendar = [day for day in trading_dates(date(2022, 1, 3), date(2025, 12, 2)) if day <= date(2025, 12, 1)]
    *days, last = calendar[-arguments.days - 1 :]
    tickers = names(arguments.tickers)
    followed = tickers[:: max(1, len(tickers) // arguments.followed)][: arguments.followed]
    market = SimulatedMarket(symbols=arguments.rest, clock=lambda: NOW)
    if arguments.child:
        kind, root, url, number = arguments.child
        some = calendar[-arguments.days - 1 :][: int(number)]
        if kind == "rest":
            rest(Path(root), url, some, sorted(market.symbols())[: arguments.rest])
        else:
            work(Path(root), url, some, followed)
        return 0
    if arguments.only_bucket and arguments.bucket is None:
        parser.error("--only-bucket needs --bucket")
    with tempfile.TemporaryDirectory() as folder:
        lake, other = (Path(folder) / name for name in ("lake", "rest"))
        bucket = arguments.bucket or Path(folder) / "bucket"
        for path in (bucket, lake, other):
            path.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        write_bucket(bucket, [*days, last], tickers, arguments.rows, arguments.seed)
        sizes = [(bucket / remote_key(PREFIX, day)).stat().st_size for day in days]
        print(f"{len(days)} files, {sum(sizes) / 1e9:.2f} GB, written in {time.monotonic() - began:.0f} s", flush=True)
        if arguments.only_bucket:
            return 0
        scanned = min(scan(bucket / remote_key(PREFIX, day)) for day in days[:3])
        own = [f"--{name}={getattr(arguments, name)}" for name in SIZES]

        def run(kind: str, root: Path, number: int) -> dict[str, Any]:
            command = [sys.executable, __file__, *own, "--child", kind, str(root), server.base_url, f"{number}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(kind, done.stdout.strip(), flush=True)
            return json.loads(done.stdout.splitlines()[-1])

        with serve(Exchange(market, clock=lambda: NOW, files=FolderFiles(bucket))) as server:
            whole = run("flat", lake, len(days))
            night = run("flat", lake, len(days) + 1)
            over_rest = run("rest", other, len(days))
        tables = sum(path.stat().st_size for path in (lake / "bars" / "flat").rglob("*.parquet"))
    wall = whole["files_s"] + whole["months_s"]
    scale = len(followed) / arguments.rest
    years = 750 / len(days)
    figures = {
        "days": len(days),
        "rows_a_day": round(whole["rows"] / len(days)),
        "gb": round(sum(sizes) / 1e9, 3),
        "tables_gb": round(tables / 1e9, 3),
        "followed": len(followed),
        "problems": [*whole["problems"], *night["problems"]],
        "requests": whole["requests"],
        "files_s": whole["files_s"],
        "months_s": whole["months_s"],
        "rows_per_s": round(whole["rows"] / wall),
        "scan_rows_per_s": round(whole["rows"] / len(days) / scanned),
        "times_a_scan": round(wall / (scanned * len(days)), 1),
        "peak_gb": whole["peak_gb"],
        "rest_requests_extrapolated": round(over_rest["requests"] * scale),
        "rest_s_extrapolated": round(over_rest["seconds"] * scale),
        "rest_bars_a_symbol_day": round(over_rest["bars"] / arguments.rest / len(days)),
        "flat_bars_a_symbol_day": round(whole["bars"] / len(followed) / len(days)),
        "hours_750_days_extrapolated": round(wall * years / 3600, 2),
        "night_s": round(night["files_s"] + night["months_s"], 1),
        "night_requests": night["requests"],
        "night_peak_gb": night["peak_gb"],
    }
    print(json.dumps(figures))
    return int(bool(figures["problems"]))


if __name__ == "__main__":
    raise SystemExit(main())
