"""Flat files taken and turned into months of symbols by a process that is killed (-9) repeatedly.

python benchmarks/flat_kills.py [--kills 20] [--days 30] [--symbols 12] [--seed 1]

Each kill comes at a random moment of the work: in its imports, in a download, while a file is parsed, while a table or
a month is written. Then the work is finished, and its lake is compared with that of an undisturbed run. The last line
is one JSON object; the exit code is 1 if anything that must hold does not.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.files.publish import provenance_of
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.verification.lake_files import verify_files
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.flat_files.bucket import Keys
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.bars.flat_days import FlatDays
from smallcaps_assets.pipeline.bars.flat_months import FlatMonths, FlatRules
from smallcaps_assets.pipeline.bars.flat_road import FlatRoad
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors
from smallcaps_assets.simulated.bucket.service import EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY
from smallcaps_assets.simulated.hours import trading_dates
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve

PREFIX = "us_stocks_sip/minute_aggs_v1"
LAST = date(2025, 12, 1)
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def work(root: Path, base_url: str, days: list[date], symbols: list[str]) -> list[str]:
    """Take all files, then make all months; returns what failed."""
    lake = Lake(root)
    keys = Keys(EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY)
    files = FlatFiles(base_url, bucket="flatfiles", prefix=PREFIX, keys=keys)
    store = FlatBarsStore(lake)
    flat = FlatDays(files, store)
    print("ready", flush=True)
    listed = flat.listed(days[0], days[-1])
    problems = [str(problem) for one in flat.take(days, listed) for problem in one.problems]
    rules = FlatRules(compares=False, prefers_files=True)
    unexpected = UnexpectedErrors(lake, "minute_bars")
    months = FlatMonths(BarsStore(lake), store, store.files().files, rules, lambda line: None, unexpected)  # noqa: ARG005
    road = FlatRoad(months, {day: file.size for day, file in listed.items()})
    with MarketDataClient(Transport(base_url, "a-key-of-benchmarks", bucket=TokenBucket(None))) as client:
        for one in ingest_bars(symbols, days, client, BarsStore(lake), 2, flat=road):
            problems += one.problems
    return problems


def killed(command: list[str], chance: random.Random, longest_s: float) -> bool:
    """Start the work and kill it; whether it was still at work."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout  # noqa: S101
        if chance.random() > 0.1:  # noqa: PLR2004 -- one in ten dies before it has begun
            process.stdout.readline()
        time.sleep(chance.uniform(0, longest_s))
        at_work = process.poll() is None
        process.kill()
    return at_work


def contents(root: Path) -> dict[str, tuple[pl.DataFrame, Any]]:
    """The rows of each table and what its footer says of their origin, by its path."""
    return {
        path.relative_to(root).as_posix(): (pl.read_parquet(path, hive_partitioning=False), provenance_of(path))
        for path in sorted(root.rglob("*.parquet"))
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--symbols", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--child", nargs=2, metavar=("ROOT", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    days = [day for day in trading_dates(date(2024, 1, 2), date(2025, 12, 2)) if day <= LAST][-arguments.days :]
    market = SimulatedMarket(symbols=arguments.symbols, clock=lambda: NOW)
    symbols = sorted(market.symbols())
    if arguments.child:
        return 1 if work(Path(arguments.child[0]), arguments.child[1], days, symbols) else 0
    chance = random.Random(arguments.seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as folder, serve(Exchange(market, clock=lambda: NOW)) as server:
        calm, rough = Path(folder) / "calm", Path(folder) / "rough"
        calm.mkdir()
        rough.mkdir()
        own = [f"--{name}={getattr(arguments, name)}" for name in ("days", "symbols")]
        commands = {
            root: [sys.executable, __file__, *own, "--child", str(root), server.base_url] for root in (calm, rough)
        }
        # the files are made when they are first asked for: not in the time that is measured
        subprocess.run(commands[calm], check=True, stdout=subprocess.DEVNULL)
        for path in calm.rglob("*.parquet"):
            path.unlink()
        began = time.monotonic()
        subprocess.run(commands[calm], check=True, stdout=subprocess.DEVNULL)
        longest = time.monotonic() - began
        kills = ended = 0
        while kills < arguments.kills:
            if killed(commands[rough], chance, longest / 2):
                kills += 1
            else:
                # the work was over: make room for the next kills, as a user who lost files would
                ended += 1
                # evidence in the quarantine is not made again where what it belongs to is there
                tables = sorted((rough / "bars").rglob("*.parquet"))
                for path in chance.sample(tables, len(tables) // 2):
                    path.unlink()
        runs = 1
        while subprocess.run(commands[rough], check=False, stdout=subprocess.DEVNULL).returncode and runs < 5:  # noqa: PLR2004
            runs += 1
        return report(calm, rough, {"kills": kills, "ended_before": ended, "runs_to_the_end": runs})


def report(calm: Path, rough: Path, figures: dict[str, int]) -> int:
    """Compare and print; 0 when all holds."""
    expected, found = contents(calm), contents(rough)
    same = {
        name
        for name, (rows, origin) in expected.items()
        if name in found and found[name][0].equals(rows) and found[name][1] == origin
    }
    hidden = [path for path in rough.rglob("*") if path.name.endswith(".part") and ".cache" not in path.parts]
    left = [path for path in (rough / ".cache").rglob("*") if path.is_file()]
    figures |= {
        "files": len(found),
        "files_that_differ": len(differing := sorted((expected.keys() - same) | (found.keys() - expected.keys()))),
        "temporary_files": len(hidden),
        "downloads_left": len(left),
        "findings_of_verify": len(verify_files(Lake(rough)).findings),
    }
    if differing:
        print("\n".join(differing))
    print(json.dumps(figures))
    must_be_none = ("files_that_differ", "temporary_files", "downloads_left", "findings_of_verify")
    return int(any(figures[name] for name in must_be_none) or figures["runs_to_the_end"] > 1)


if __name__ == "__main__":
    raise SystemExit(main())
