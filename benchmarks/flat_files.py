"""Minute bars from flat files against REST: an empty lake, and a night.

python benchmarks/flat_files.py [--days 42] [--tickers 12000] [--rows 1800000] [--followed 2000] [--rest 20] [--seed 1]

A bucket serves one file per session over HTTP. The files are downloaded, checked and published as tables; then the
months of the followed symbols are made from them; then a night takes one more file and stores it for all symbols. In
the same run `--rest` symbols are fetched over REST from an exchange that answers at once; their time is extrapolated to
all followed symbols. Memory is the peak of the process that does the work. The last line is one JSON object.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime
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
from smallcaps_assets.market_data.flat_files.client import FlatFiles, Keys
from smallcaps_assets.market_data.flat_files.keys import remote_key
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.bars.flat_days import FlatDays
from smallcaps_assets.pipeline.bars.flat_months import FlatMonths, FlatRules
from smallcaps_assets.pipeline.bars.flat_road import FlatRoad
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
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


def write_file(folder: Path, day: date, tickers: list[str], rows: int, rng: np.random.Generator) -> int:
    """A file with about so many rows: few tickers trade every minute, most trade seldom, as in the market."""
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
    path = folder / remote_key(PREFIX, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(table.write_csv().encode(), 1, mtime=0))
    return table.height


def scan(path: Path) -> float:
    """Seconds to unpack and parse one file, without checks: nothing reads it faster."""
    began = time.monotonic()
    pl.read_csv(gzip.decompress(path.read_bytes()))
    return time.monotonic() - began


def work(root: Path, url: str, days: list[date], symbols: list[str]) -> None:
    """Take the files and make the months; prints figures."""
    lake, began = Lake(root), time.monotonic()
    keys = Keys(EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY)
    files = FlatFiles(url, bucket="flatfiles", prefix=PREFIX, keys=keys)
    store = FlatBarsStore(lake)
    flat = FlatDays(files, store)
    listed = flat.listed(days[0], days[-1])
    taken = list(flat.take(flat.backlog(listed), listed))
    took = time.monotonic() - began
    began = time.monotonic()
    unexpected, rules = UnexpectedErrors(lake, "minute_bars"), FlatRules(compares=False, prefers_files=True)
    months = FlatMonths(BarsStore(lake), store, store.files().files, rules, lambda line: None, unexpected)  # noqa: ARG005
    with MarketDataClient(Transport(url, "a-key-of-benchmarks", bucket=TokenBucket(None))) as client:
        road = FlatRoad(months, {day: file.size for day, file in listed.items()})
        made = list(ingest_bars(symbols, days, client, BarsStore(lake), 8, flat=road))
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
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        bucket, lake, other = (Path(folder) / name for name in ("bucket", "lake", "rest"))
        for path in (bucket, lake, other):
            path.mkdir()
        began = time.monotonic()
        rows = [write_file(bucket, day, tickers, arguments.rows, rng) for day in days]
        sizes = [path.stat().st_size for path in bucket.rglob("*.gz")]
        what = f"{len(days)} files of {sum(rows):,} rows, {sum(sizes) / 1e9:.2f} GB"
        print(f"{what}, written in {time.monotonic() - began:.0f} s", flush=True)
        scanned = min(scan(bucket / remote_key(PREFIX, day)) for day in days[:3])
        own = [f"--{name}={getattr(arguments, name)}" for name in SIZES]

        def run(kind: str, root: Path, number: int) -> dict[str, Any]:
            command = [sys.executable, __file__, *own, "--child", kind, str(root), server.base_url, f"{number}"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(kind, done.stdout.strip(), flush=True)
            return json.loads(done.stdout.splitlines()[-1])

        with serve(Exchange(market, clock=lambda: NOW, files=FolderFiles(bucket))) as server:
            whole = run("flat", lake, len(days))
            write_file(bucket, last, tickers, arguments.rows, rng)
            night = run("flat", lake, len(days) + 1)
            over_rest = run("rest", other, len(days))
        tables = sum(path.stat().st_size for path in (lake / "bars" / "flat").rglob("*.parquet"))
    wall = whole["files_s"] + whole["months_s"]
    scale = len(followed) / arguments.rest
    years = 750 / len(days)
    figures = {
        "days": len(days),
        "rows_a_day": round(sum(rows) / len(days)),
        "gb": round(sum(sizes) / 1e9, 3),
        "tables_gb": round(tables / 1e9, 3),
        "followed": len(followed),
        "problems": [*whole["problems"], *night["problems"]],
        "requests": whole["requests"],
        "files_s": whole["files_s"],
        "months_s": whole["months_s"],
        "rows_per_s": round(sum(rows) / wall),
        "scan_rows_per_s": round(rows[0] / scanned),
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
