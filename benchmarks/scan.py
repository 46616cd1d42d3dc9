"""Reading the trades of many events: one scan beside a loop over a reader of one event.

python benchmarks/scan.py [--events 2000] [--manifest 10000] [--symbols 500] [--rows 400] [--repeats 3]
The last line is one JSON object: seconds of the quickest repeat of both, on a lake made for this, and their ratio. Both
return the same rows, which is checked.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tables import MANIFEST, TRADES
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import spans_of
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.settings.settings import load_settings

FIRST = datetime(2025, 1, 6, 15, tzinfo=UTC)
BEFORE_MIN, AFTER_MIN = 3, 7
APART_MIN = 5  # of two events of one pair: their windows overlap


def make_manifest(rows: int, symbols: int) -> pl.DataFrame:
    """Events (MANIFEST) in pairs that are one span each, the symbols in turn."""
    number = pl.int_range(rows, dtype=pl.Int64, eager=True).to_frame("n")
    pair = pl.col("n") // 2
    timestamp = pl.lit(FIRST).cast(MANIFEST["timestamp"]) + pl.duration(
        days=pair // symbols, minutes=APART_MIN * (pl.col("n") % 2)
    )
    known = {
        "symbol": pl.format("S{}", pair % symbols),
        "event_id": pl.format("e{}", "n"),
        "timestamp": timestamp,
        "session": pl.lit("RTH"),
        "rank": pl.col("n") + 1,
        "window_before_min": pl.lit(BEFORE_MIN),
        "window_after_min": pl.lit(AFTER_MIN),
        "extended": pl.lit(value=False),
    }
    return number.select(known.get(name, pl.lit(None)).cast(dtype).alias(name) for name, dtype in MANIFEST.items())


def trades(rng: np.random.Generator, start: datetime, end: datetime, rows: int) -> pl.DataFrame:
    """Trades (TRADES) at random times of a span, sorted."""
    first, last = (int(moment.timestamp()) * 10**9 for moment in (start, end))
    known = {
        "timestamp": pl.Series(np.sort(rng.integers(first, last, rows))).cast(TRADES["timestamp"]),
        "price": rng.uniform(1, 20, rows).round(2),
        "size": rng.integers(1, 500, rows).astype(float),
        "exchange": rng.integers(1, 20, rows),
        "conditions": [[12, 37]] * rows,
        "sequence_number": np.arange(rows),
        "trade_id": np.arange(rows).astype(str),
    }
    return pl.DataFrame(known).select(pl.col(name).cast(dtype) for name, dtype in TRADES.items())


def quickest(repeats: int, read: Callable[[], pl.DataFrame]) -> tuple[float, pl.DataFrame]:
    """Seconds of the quickest of `repeats` runs, and what the last one returned."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        rows = read()
        times.append(time.perf_counter() - began)
    return min(times), rows


def main() -> None:
    """Make a lake, read its events both ways, print the figures."""
    parser = argparse.ArgumentParser()
    for name, default in (("events", 2_000), ("manifest", 10_000), ("symbols", 500), ("rows", 400), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        tape = TapeStore(lake, "core", load_settings().profiles["core"])
        manifest = make_manifest(asked.manifest, asked.symbols)
        store = ManifestStore.in_lake(lake, "core")
        store.freeze(Selection(manifest, [], {}), config_hash="c", master_sha256="m", now=FIRST + timedelta(days=365))
        chosen = manifest.head(asked.events)
        for span in spans_of(tape.missing_spans("trades", event_windows(chosen))):
            tape.publish("trades", span, trades(rng, span.start, span.end, asked.rows), {"requests": 1})
        events = chosen["event_id"].to_list()
        scan_s, scanned = quickest(asked.repeats, lambda: tape.scan("trades", events).collect())
        loop_s, looped = quickest(
            1,
            lambda: pl.concat(tape.trades(name).select(pl.lit(name).alias("event_id"), *TRADES) for name in events),
        )
        order = ["event_id", "timestamp", "sequence_number"]
        same = scanned.sort(order).equals(looped.sort(order))
        count_s, _ = quickest(
            asked.repeats, lambda: tape.scan("trades", events).group_by("event_id").len().collect(engine="streaming")
        )
    if not same:
        raise SystemExit("the scan and the loop returned other rows")
    print(f"{asked.events:,} events, {scanned.height:,} rows: scan {scan_s:.2f} s, loop {loop_s:.2f} s")
    figures = {
        "events": asked.events,
        "manifest_rows": asked.manifest,
        "files": asked.events // 2,
        "rows": scanned.height,
        "scan_s": round(scan_s, 3),
        "scan_and_count_s": round(count_s, 3),
        "loop_s": round(loop_s, 3),
        "loop_ms_per_event": round(1000 * loop_s / asked.events, 2),
        "ratio": round(loop_s / scan_s, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
