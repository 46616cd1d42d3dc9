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

import numpy as np
import polars as pl
import psutil

from smallcaps_assets.domain.events import build_master
from smallcaps_assets.domain.manifests import profile_hash, select_events
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.tables import BARS, EVENT_TYPES, SHARD
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.publish import publish_frame, sha256
from smallcaps_assets.lake.shards import Coverage, ShardStore
from smallcaps_assets.lake.universe import UNIVERSE, UniverseStore
from smallcaps_assets.pipeline.checks import Checks, checks_of_bars, checks_of_manifest, checks_of_master
from smallcaps_assets.pipeline.detection import Detector
from smallcaps_assets.pipeline.history import sessions_between
from smallcaps_assets.settings import Settings, load_settings

SHARE_OF_MINUTES = 0.7  # that a symbol trades in
NOW = datetime(2025, 12, 1, 12, tzinfo=UTC)
FIRST, LAST = date(2023, 1, 3), date(2025, 11, 28)


def names(count: int) -> list[str]:
    """Symbols of the universe."""
    return [f"S{number:04}" for number in range(count)]


def events(count: int, symbols: list[str], settings: Settings) -> pl.DataFrame:
    """Events (SHARD) at random regular minutes of three years, at most one of a symbol, type and quarter of an hour."""
    rng = np.random.default_rng(1)
    sessions = sessions_between(FIRST, LAST, settings.sessions)
    quarters = rng.integers(0, 14, count)
    numbers = pl.DataFrame(
        {
            "symbol": np.asarray(symbols)[rng.integers(0, len(symbols), count)],
            "day": rng.integers(0, sessions.height, count),
            "event_type": np.asarray(EVENT_TYPES)[rng.integers(0, len(EVENT_TYPES), count)],
            "quarter": quarters,
            "score": rng.random(count),
            "usd": rng.lognormal(13, 1.5, count),
        }
    ).unique(["symbol", "day", "event_type", "quarter"], maintain_order=True)
    opened = sessions["regular_open"].gather(numbers["day"])
    rows = numbers.with_columns(timestamp=opened + pl.duration(minutes=15 * pl.col("quarter")))
    told = with_session(rows.drop("day"), sessions)
    identity = pl.concat_str("symbol", "event_type", pl.col("timestamp").dt.strftime("%Y%m%d_%H%M%S"), separator="_")
    known = {
        "direction": pl.lit("up"),
        "date": pl.col("day").dt.to_string("%Y-%m-%d"),
        "event_id": identity,
        "tier": pl.lit(1, pl.Int64),
        "is_premarket": pl.lit(value=False),
        "is_afterhours": pl.lit(value=False),
        "dollar_volume": pl.col("usd"),
        "transactions": pl.lit(50, pl.Int64),
        **{name: pl.lit("x") for name in ("event_bias", "close_vs_open")},
        "known_at": pl.col("timestamp"),
    }
    floats = [name for name, dtype in SHARD.items() if dtype.is_float() and name not in ("score", "dollar_volume")]
    filled = told.with_columns(**known, **{name: pl.col("usd") for name in floats})
    order = ("symbol", "timestamp", "event_type")
    return filled.select(*SHARD).match_to_schema(SHARD).sort(order)


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
            store.add(symbol, month, some["date"].to_list(), bars.select(*BARS), REFUSED)  # type: ignore[arg-type]
        made += bars.height
    return made


REFUSED = pl.DataFrame(schema={**BARS, "reason": pl.String})


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
    symbols, shards = names(arguments.symbols), ShardStore(lake)
    found = events(arguments.events, symbols, settings)
    days = sessions_between(FIRST, LAST, settings.sessions)["date"].to_list()
    coverage = Coverage({}, [], dict.fromkeys(days, "0-00"), dict.fromkeys(days, 1e6), 0)
    for (symbol,), own in found.group_by("symbol", maintain_order=True):
        shards.replace(str(symbol), own, coverage)
    master = build_master(shards.scan().collect(), settings.cooldown)
    publish_frame(lake.master, master)
    listed = pl.DataFrame({"symbol": symbols, "active": [True] * len(symbols)})
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in UNIVERSE.items() if name not in listed.columns]
    UniverseStore(lake).replace(listed.with_columns(missing).select(*UNIVERSE), {})
    print(f"{master.height:,} events; making bars of {len(symbols):,} symbols ...", flush=True)
    made = make_bars(BarsStore(lake), symbols, arguments.sessions, settings)
    print(f"{made:,} bars", flush=True)
    own = settings.profiles["premium"]
    ManifestStore(lake.manifests("premium"), "premium").freeze(
        select_events(master, own, settings.ranking),
        config_hash=profile_hash(own, settings.ranking),
        master_sha256=sha256(lake.master),
        now=NOW,
    )


def main() -> None:
    """Make the lake in a process of its own, so that its memory does not count; measure and print."""
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
        store = ManifestStore(lake.manifests("premium"), "premium")
        timed(checks_of_manifest(store, "premium", settings, sha256(lake.master)), "manifest", figures)
        timed(checks_of_bars(bars, universe, settings, NOW), "bars", figures)
        figures["peak_mb"] = round(_peak_bytes() / 1e6)
        figures["read_and_sort_s"] = seconds(lambda: pl.read_parquet(lake.master).sort("symbol", "timestamp"))
    print(json.dumps(figures))


def _peak_bytes() -> int:
    """Memory of this process at its highest."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # noqa: PLC0415 -- not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
