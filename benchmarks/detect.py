"""Detection of synthetic symbols of 750 sessions, beside the time to read the same files.

python benchmarks/detect.py [--symbols 4] [--sessions 750] [--repeats 3]
The last line is one JSON object. Seconds are the median over repeats; the ratio is what travels between machines.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from smallcaps_assets.domain.events import detect
from smallcaps_assets.domain.quality import clean_bars
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.history import sessions_between
from smallcaps_assets.settings import load_settings

FIRST, LAST = date(2022, 1, 3), date(2024, 12, 31)
SHARE_OF_MINUTES = 0.43  # of 960 a day: about 410 bars
SHARE_OF_BURSTS = 0.013  # about 2 % of the bars are events then


def synthetic_bars(symbol: str, seed: int, sessions: pl.DataFrame) -> pl.DataFrame:
    """Random minutes with quiet baselines and bursts, so that about 2 % of the bars are events before cooldown."""
    rng = np.random.default_rng(seed)
    minutes = sessions.select(
        pl.datetime_ranges("premarket_open", "afterhours_close", "1m", closed="left", time_unit="us").alias("timestamp")
    ).explode("timestamp")
    kept = minutes.filter(pl.Series(rng.random(minutes.height) < SHARE_OF_MINUTES))
    rows = kept.height
    burst = rng.random(rows) < SHARE_OF_BURSTS
    steps = rng.standard_normal(rows) * np.where(burst, 0.012, 0.0015)
    close = np.round(10 * np.exp(np.cumsum(steps - steps.mean())), 4)
    opened = np.concatenate(([close[0]], close[:-1]))
    wick = np.abs(rng.standard_normal((2, rows))) * 0.001
    volume = np.floor(rng.gamma(4, 2_000, rows) * np.where(burst, 8, 1)) + 1
    return pl.DataFrame(
        {
            "symbol": pl.repeat(symbol, rows, eager=True),
            "timestamp": kept["timestamp"],
            "open": opened,
            "high": np.maximum(opened, close) * (1 + wick[0]),
            "low": np.minimum(opened, close) * (1 - wick[1]),
            "close": close,
            "volume": volume,
            "vwap": close,
            "transactions": (volume / 100).astype(np.int64) + 1,
        },
        schema=BARS,
    )


def write_symbol(store: BarsStore, symbol: str, seed: int, sessions: pl.DataFrame) -> int:
    """Store the bars of one symbol as the lake does, month by month; returns how many."""
    bars = synthetic_bars(symbol, seed, sessions)
    refused = clean_bars(bars).quarantined
    for (month,), days in sessions["date"].to_frame().group_by(pl.col("date").dt.truncate("1mo"), maintain_order=True):
        store.add(symbol, month, days["date"].to_list(), bars, refused)
    return bars.height


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of `work`."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=4)
    parser.add_argument("--sessions", type=int, default=750)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    settings = load_settings(overrides={})
    sessions = sessions_between(FIRST, LAST, settings.sessions).head(arguments.sessions)
    symbols = [f"S{number:03d}" for number in range(arguments.symbols)]
    with tempfile.TemporaryDirectory() as folder:
        store = BarsStore(Lake(Path(folder)))
        rows = sum(write_symbol(store, symbol, seed, sessions) for seed, symbol in enumerate(symbols))
        scan = seconds(lambda: [store.read(symbol) for symbol in symbols], arguments.repeats)
        found: dict[str, int] = {}

        def run() -> None:
            found.clear()
            for symbol in symbols:
                detection = detect(store.read(symbol), sessions, settings.detection)
                for name, count in (detection.counts | {"events": detection.events.height}).items():
                    found[name] = found.get(name, 0) + count

        whole = seconds(run, arguments.repeats)
    figures = {
        "symbols": len(symbols),
        "sessions": sessions.height,
        "bars": rows,
        "events_before_cooldown_share": round(found["events_found"] / rows, 4),
        "events": found["events"],
        "detect_s_per_symbol": round(whole / len(symbols), 4),
        "scan_s_per_symbol": round(scan / len(symbols), 4),
        "ratio_to_scan": round(whole / scan, 2),
        "bars_per_s": round(rows / whole),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
