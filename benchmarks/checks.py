"""The checks of bars, MASTER and manifests on a generated lake of a large universe, beside one plain read of MASTER.

python benchmarks/checks.py [--events 1000000] [--symbols 2000] [--sessions 20]
The last line is one JSON object: seconds of each check, the memory that all of them took at most, and seconds to read
and sort MASTER, which is what building it takes at least.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import event_lake
import numpy as np
import polars as pl
from memory import peak_mb

from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.manifests.selection import profile_hash, select_events
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame, sha256
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.bars.checks import checks_of_bars
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.pipeline.events.checks import checks_of_master
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.manifests.checks import checks_of_manifest
from smallcaps_assets.settings.settings import Settings, load_settings

SHARE_OF_MINUTES = 0.7  # that a symbol trades in
NOW = datetime(2025, 12, 1, 12, tzinfo=UTC)
FIRST, LAST = date(2023, 1, 3), date(2025, 11, 28)


def make_bars(store: BarsStore, symbols: list[str], count: int, settings: Settings) -> int:
    """Month files of every symbol with every second regular minute of the last sessions; returns how many bars."""
    sessions = sessions_between(FIRST, LAST, settings.sessions).tail(count)
    minutes = sessions.select(
        timestamp=pl.datetime_ranges("regular_open", "regular_close", "1m", closed="left")
    ).explode("timestamp")
    rng = np.random.default_rng(2)
    made = 0
    for symbol in symbols:
        own = minutes.filter(pl.Series(rng.random(minutes.height) < SHARE_OF_MINUTES))
        bars = own.with_columns(symbol=pl.lit(symbol), transactions=pl.lit(5, pl.Int64)).with_columns(
            pl.lit(10.0).alias(name) for name, dtype in BARS.items() if dtype.is_float()
        )
        for (month,), some in sessions.group_by(pl.col("date").dt.month_start(), maintain_order=True):
            store.add(symbol, month, some["date"].to_list(), bars.select(*BARS), REJECTED)  # type: ignore[arg-type]
        made += bars.height
    return made


REJECTED = pl.DataFrame(schema={**BARS, "reason": pl.String})


def timed(checks: Checks, table: str, figures: dict[str, float]) -> None:
    """Run each check, one after the other."""
    for name, check in checks.items():
        figures[f"{table}/{name}_s"] = seconds(check)
        print(f"{table}/{name}: {figures[f'{table}/{name}_s']:.2f} s", flush=True)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of `work`."""
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 3)


def make_lake(lake: Lake, settings: Settings, arguments: argparse.Namespace) -> None:
    """Shards, MASTER, universe, bars and a manifest of premium."""
    symbols, sessions = event_lake.names(arguments.symbols), sessions_between(FIRST, LAST, settings.sessions)
    found = event_lake.make_events(arguments.events, symbols, sessions, settings)
    event_lake.make_shards(lake, found, symbols, sessions, settings)
    master = build_master(ShardStore(lake).scan().collect(), settings.cooldown)
    publish_frame(lake.master, master, below=lake.root)
    print(f"{master.height:,} events; making bars of {len(symbols):,} symbols ...", flush=True)
    made = make_bars(BarsStore(lake), symbols, arguments.sessions, settings)
    print(f"{made:,} bars", flush=True)
    own = settings.profiles["premium"]
    ManifestStore.in_lake(lake, "premium").freeze(
        select_events(master, own, settings.ranking),
        config_hash=profile_hash(own, settings.ranking),
        master_sha256=sha256(lake.master),
        now=NOW,
    )


def main() -> None:
    """Make the lake in a separate process, so that its memory does not count; measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--symbols", type=int, default=2_000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    settings = load_settings(None, {"history": {"first_session": "2025-11-03", "last_session": "2025-11-28"}})
    if arguments.make:
        make_lake(Lake(arguments.make), settings, arguments)
        return
    figures: dict[str, float] = {"events": arguments.events, "symbols": arguments.symbols}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, *sys.argv, "--make", folder], check=True)
        lake = Lake(Path(folder))
        bars, universe = BarsStore(lake), UniverseStore(lake)
        detector = Detector(bars, ShardStore(lake), settings.detection, settings.sessions, universe.reference())
        timed(checks_of_master(detector, settings), "master", figures)
        store = ManifestStore.in_lake(lake, "premium")
        timed(checks_of_manifest(store, "premium", settings, sha256(lake.master)), "manifest", figures)
        timed(checks_of_bars(bars, universe, settings, NOW), "bars", figures)
        figures["peak_mb"] = round(peak_mb())
        figures["read_and_sort_s"] = seconds(lambda: pl.read_parquet(lake.master).sort("symbol", "timestamp"))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
