"""Thinning of generated quotes under each profile, beside reading and sorting them, and what is then stored.

python benchmarks/thinning.py [--rows 5000000] [--repeats 3]
The last line is one JSON object. Rows per second are the best of the repeats; the ratios are what travels between
machines. How much is stored depends on the stream: this one is a busy symbol's regular session.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from smallcaps_assets.domain.tables import QUOTES_ALL
from smallcaps_assets.domain.tape.nbbo import thin
from smallcaps_assets.domain.tape.schemas import TAPE_SCHEMAS
from smallcaps_assets.settings.settings import PROFILES, load_settings

OPEN_NS = int(datetime(2025, 11, 5, 14, 30, tzinfo=UTC).timestamp()) * 10**9
SECONDS = 6.5 * 3600
SHARE_OF_MOVES = 0.04  # of rows whose bid or ask is another than before
SHARE_OF_SIZES = 0.35  # of rows whose bid size is another; the same of ask sizes
VENUES = 16
BURST = 200  # rows

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def carry_forward(values: Numbers, fresh: Flags) -> Numbers:
    """`values` where `fresh`, elsewhere the last fresh one."""
    last: Numbers = np.maximum.accumulate(np.where(fresh, np.arange(len(values)), 0))
    return values[last]


def irregular_times(rng: np.random.Generator, rows: int) -> Numbers:
    """Times over the session, ns since the epoch; the pace changes from burst to burst."""
    pace = np.repeat(rng.lognormal(0, 1.2, rows // BURST + 1), BURST)[:rows]
    gaps = rng.exponential(1, rows) * pace
    times: Numbers = OPEN_NS + np.floor(np.cumsum(gaps) / gaps.sum() * SECONDS * 1e9).astype(np.int64)
    return times


def synthetic_quotes(rows: int, seed: int = 1) -> pl.DataFrame:
    """Quotes (QUOTES_ALL) of one symbol's session, sorted: a walk in cents, sizes in lots, many repeats of the book."""
    rng = np.random.default_rng(seed)
    moved = rng.random(rows) < SHARE_OF_MOVES
    steps = np.where(moved, rng.integers(-1, 2, rows), 0)
    bid = 600 + np.abs(np.cumsum(steps) - 100)  # cents
    spread = carry_forward(rng.choice([1, 1, 2, 3, 5], rows), moved)
    sizes = [carry_forward(100 * (1 + rng.geometric(0.3, rows)), rng.random(rows) < SHARE_OF_SIZES) for _ in range(2)]
    venues = [carry_forward(rng.integers(1, VENUES + 1, rows), rng.random(rows) < SHARE_OF_SIZES) for _ in range(2)]
    timestamp = irregular_times(rng, rows)
    return pl.DataFrame(
        {
            "timestamp": timestamp,
            "bid_price": bid / 100,
            "bid_size": sizes[0],
            "ask_price": (bid + spread) / 100,
            "ask_size": sizes[1],
            "bid_exchange": venues[0],
            "ask_exchange": venues[1],
            "indicators": pl.Series([[604]]).new_from_index(0, rows),
            "conditions": pl.Series([[1]]).new_from_index(0, rows),
            "sequence_number": np.cumsum(rng.integers(1, 60, rows)),
            "participant_timestamp": timestamp - rng.integers(15_000, 900_000, rows),
            "tape": pl.repeat(3, rows, eager=True),
        }
    ).cast(QUOTES_ALL)


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    """Shortest wall time of `work`."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def parquet_bytes(frame: pl.DataFrame, file: Path) -> int:
    """Size of `frame` as the lake stores it."""
    frame.write_parquet(file, compression="zstd", statistics=True)
    return file.stat().st_size


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    settings = load_settings(None, {})
    quotes = synthetic_quotes(arguments.rows)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "quotes.parquet"
        raw = parquet_bytes(quotes, file)

        def read_and_sort() -> pl.DataFrame:
            return pl.read_parquet(file).sort("timestamp", "sequence_number")

        reference = best_seconds(read_and_sort, arguments.repeats)
        profiles = {}
        for name in PROFILES:
            params = settings.profiles[name]

            def run() -> pl.DataFrame:
                return thin(quotes.lazy(), params.quotes).collect()  # noqa: B023 -- called in the same turn

            spent = best_seconds(run, arguments.repeats)
            kept = run().select(*TAPE_SCHEMAS["quotes", params.columns])
            stored = parquet_bytes(kept, file.with_name(f"{name}.parquet"))
            profiles[name] = {
                **params.quotes.model_dump(),
                "columns": params.columns,
                "rows_per_s": round(quotes.height / spent),
                "time_over_reference": round(spent / reference, 3),
                "rows_kept_share": round(kept.height / quotes.height, 4),
                "bytes": stored,
                "bytes_over_raw": round(stored / raw, 4),
            }
    figures = {
        "rows": quotes.height,
        "raw_bytes": raw,
        "raw_bytes_per_row": round(raw / quotes.height, 1),
        "read_and_sort_rows_per_s": round(quotes.height / reference),
        "profiles": profiles,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
