"""Coverage of minute bars on a generated lake, beside one plain scan of the same columns.

python benchmarks/coverage.py [--symbols 200] [--sessions 120]
The last line is one JSON object: bars, seconds with footers alone and with all bars, the time that 2,000 symbols x 750
sessions would take, the memory that all of it took at most, and seconds of the scan.
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
from memory import peak_mb

from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.bars.coverage import Coverage, Inventory
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import Settings, load_settings

SHARE_OF_REGULAR, SHARE_OF_OTHERS = 0.85, 0.14  # of minutes that a symbol trades in; active, so that all are judged
FIRST, LAST = date(2022, 1, 3), date(2025, 11, 28)
NOW = datetime(2025, 12, 1, 12, tzinfo=UTC)
REJECTED = pl.DataFrame(schema={**BARS, "reason": pl.String})
FULL_SIZE = 2_000 * 750


def make_lake(lake: Lake, symbols: int, sessions: pl.DataFrame) -> None:
    """Month files of every symbol, volumes of any size, and the universe."""
    minutes = (
        sessions.with_columns(
            timestamp=pl.datetime_ranges("premarket_open", "afterhours_close", "1m", closed="left"),
            month=pl.col("date").dt.month_start(),
        )
        .explode("timestamp")
        .with_columns(
            share=pl.when(pl.col("timestamp").is_between("regular_open", "regular_close", closed="left"))
            .then(SHARE_OF_REGULAR)
            .otherwise(SHARE_OF_OTHERS)
        )
    )
    store, rng = BarsStore(lake), np.random.default_rng(1)
    shares = minutes["share"].to_numpy()
    months = {month: own["date"].to_list() for (month,), own in sessions.group_by(pl.col("date").dt.month_start())}
    for number in range(symbols):
        own = minutes.filter(pl.Series(rng.random(minutes.height) < shares))
        bars = own.select("timestamp", "month", symbol=pl.lit(f"S{number:04}"), transactions=pl.lit(5, pl.Int64))
        bars = bars.with_columns(pl.lit(10.0).alias(name) for name, dtype in BARS.items() if dtype.is_float())
        bars = bars.with_columns(volume=pl.Series(np.round(rng.lognormal(6, 1.5, own.height)) + 1))
        for month, days in months.items():
            inside = bars.filter(pl.col("month") == month).select(*BARS)
            store.add(f"S{number:04}", month, days, inside, REJECTED)  # type: ignore[arg-type]
    listed = pl.DataFrame({"symbol": store.symbols(), "active": [True] * symbols})
    UniverseStore(lake).replace(listed.match_to_schema(UNIVERSE, missing_columns="insert"), {})


def seconds(work: Callable[[], object]) -> float:
    """Wall time of `work`."""
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 3)


def measure(lake: Lake, settings: Settings) -> dict[str, float]:
    """Coverage by footers, by all bars, and the plain scan."""
    inventory = Inventory(BarsStore(lake), UniverseStore(lake), settings, lambda line: print(line, flush=True))
    found: list[Coverage] = []
    figures = {
        "footers_s": seconds(lambda: inventory.run(NOW, read_bars=False)),
        "all_s": seconds(lambda: found.append(inventory.run(NOW))),
        "peak_mb": round(peak_mb()),
    }
    counted = found[0].figures()
    if any(counted[name] for name in ("symbol_sessions_missing", "minutes_lost", "symbol_sessions_doubled")):
        raise SystemExit(f"a complete lake has missing sessions or minutes: {counted}")
    columns = BarsStore(lake).scan(BarsStore(lake).symbols(), ("symbol", "timestamp", "volume"))
    scan = columns.select(pl.all().max())
    figures["scan_s"] = seconds(lambda: scan.collect(engine="streaming"))
    figures["bars"] = counted["bars"]
    figures["full_size_minutes"] = round(figures["all_s"] * FULL_SIZE / counted["symbol_sessions_here"] / 60, 1)
    return figures


def main() -> None:
    """Make the lake in a separate process, so that its memory does not count; measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=120)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    plain = load_settings(None, {})
    sessions = sessions_between(FIRST, LAST, plain.sessions).tail(arguments.sessions)
    if arguments.make:
        print(f"making bars of {arguments.symbols:,} symbols x {sessions.height:,} sessions ...", flush=True)
        make_lake(Lake(arguments.make), arguments.symbols, sessions)
        return
    history = {"first_session": f"{sessions['date'][0]}", "last_session": f"{LAST}"}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, *sys.argv, "--make", folder], check=True)
        figures = measure(Lake(Path(folder)), load_settings(None, {"history": history}))
    print(json.dumps({"symbols": arguments.symbols, "sessions": sessions.height, **figures}))


if __name__ == "__main__":
    main()
