"""A lake with the tape of many events, and its research tables: all of them, and those of one event more."""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from memory import peak_mb
from research_market import FIRST_EVENT, Windows, window_tape

from smallcaps_assets.domain.tables import MANIFEST
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.files import spans_of
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch
from smallcaps_assets.pipeline.tape.capture import Pair
from smallcaps_assets.settings.settings import load_settings

SYMBOLS: Final = 100
ASSET: Final = "micro_features"


def make_manifest(events: int) -> pl.DataFrame:
    """Events (MANIFEST), one a weekday of each symbol, the symbols in turn."""
    days = [number // SYMBOLS for number in range(events)]
    known = {
        "symbol": pl.Series([f"S{number % SYMBOLS:03d}" for number in range(events)]),
        "event_id": pl.Series([f"S{number % SYMBOLS:03d}_{days[number]:04d}" for number in range(events)]),
        "timestamp": pl.Series([FIRST_EVENT + timedelta(days=7 * (day // 5) + day % 5) for day in days]),
        "session": pl.Series(["RTH"] * events),
        "direction": pl.Series(["up"] * events),
        "rank": pl.Series(range(1, events + 1)),
        "window_before_min": pl.Series([3] * events),
        "window_after_min": pl.Series([7] * events),
        "extended": pl.Series([False] * events),
    }
    empty = pl.Series([None] * events)
    return pl.DataFrame({name: known.get(name, empty).cast(dtype) for name, dtype in MANIFEST.items()})


def write_tape(root: Path, manifest: pl.DataFrame, size: Windows) -> TapeStore:
    """Publish trades and quotes of every event."""
    root.mkdir()
    tape = TapeStore(Lake(root), "core", load_settings(overrides={}).profiles["core"])
    rng = np.random.default_rng(1)
    start = np.array([0])
    captured = time.time() - 3600  # before, as in a night
    of_window = dict(zip(TAPE_KINDS, window_tape(rng, start, size), strict=True))
    for kind in TAPE_KINDS:
        for span in spans_of(tape.missing_spans(kind, event_windows(manifest))):
            # the same window at another time: what is measured does not depend on prices
            rows = of_window[kind].with_columns(
                (pl.col("timestamp").to_physical() + int(span.start.timestamp()) * 10**9).cast(pl.Datetime("ns", "UTC"))
            )
            path = tape.publish(kind, span, rows.select(*tape.schema(kind)), {"requests": 1})
            os.utime(path, (captured, captured))
    return tape


def scan_tape(tape: TapeStore) -> tuple[int, float]:
    """The rows of all tape files, read with plain Polars symbol by symbol, and the processor seconds that it takes."""
    rows, cpu = 0, time.process_time()
    for kind in TAPE_KINDS:
        for folder in sorted(tape.lake.tape(tape.profile, kind).glob("wave=*/symbol=*")):
            rows += pl.scan_parquet(folder / "*.parquet", hive_partitioning=False).collect().height
    return rows, time.process_time() - cpu


def measure_lake(tape: TapeStore, manifest: pl.DataFrame) -> dict[str, float]:
    """micro_features of all events but one; of that one, in a run of all partitions and in one of its own; of none."""
    settings = load_settings(overrides={})
    last = manifest.tail(1)["event_id"][0]
    pairs: list[Pair] = [(symbol, "RTH") for symbol in manifest["symbol"].unique().sort()]

    def run(events: pl.DataFrame, of: list[Pair]) -> dict[str, float]:
        research = TapeResearch(tape, settings.research, settings.sessions)
        started, cpu = time.perf_counter(), time.process_time()
        results = list(research.run(events, of, [ASSET]))
        spent = {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
        return {**spent, "computed": sum(result.outcomes[ASSET].figures["events_computed"] for result in results)}

    run(manifest.head(1), [pairs[0]])  # warms up
    scan_tape(tape)
    before = manifest.filter(pl.col("event_id") != last)
    whole = run(before, pairs)
    peak = peak_mb()
    rows, scan_cpu = scan_tape(tape)
    own = [(manifest.tail(1)["symbol"][0], "RTH")]
    added, removed, again, nothing = (
        run(events, of) for events, of in ((manifest, own), (before, own), (manifest, pairs), (manifest, pairs))
    )
    if (whole["computed"], added["computed"], again["computed"], nothing["computed"]) != (before.height - 1, 1, 1, 0):
        raise SystemExit(f"unexpected work, nothing measured: {whole, added, again, nothing}")
    del removed
    return {
        "events": manifest.height,
        "rows": rows,
        "scan_cpu_s": round(scan_cpu, 2),
        "cpu_s": round(whole["cpu_s"], 2),
        "ratio_to_scan_cpu": round(whole["cpu_s"] / scan_cpu, 2),
        "rows_per_cpu_s": round(rows / whole["cpu_s"]),
        "cores_busy": round(whole["cpu_s"] / whole["wall_s"], 2),
        "peak_mb": round(peak),
        "one_event_share_cpu_pct": round(100 * added["cpu_s"] / whole["cpu_s"], 2),
        "one_event_in_a_run_of_all_share_cpu_pct": round(100 * again["cpu_s"] / whole["cpu_s"], 2),
        "nothing_new_share_cpu_pct": round(100 * nothing["cpu_s"] / whole["cpu_s"], 2),
    }
