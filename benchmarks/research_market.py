"""Synthetic tape of windows around events, with the bars of their days, as files that `smallcaps research` reads."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from smallcaps_assets.domain.research.tape.conditions import CONDITION_RULES
from smallcaps_assets.domain.research.tape.pinned_conditions import pinned_conditions
from smallcaps_assets.domain.research.tape.reconciliation import ReconciliationParams, reconcile_bars
from smallcaps_assets.domain.tables import BARS, QUOTES, TRADES
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import load_settings

# 14:00 in New York would be the last of a day's events: windows of a day do not overlap
FIRST_EVENT: Final = datetime(2025, 6, 2, 14, 0, tzinfo=UTC)
_BEFORE_S, _SECONDS = 180, 600
# what most small caps print: no ids, sweeps, odd lots, derivatively priced trades, auctions
_CONDITIONS: Final = ((), (), (), (), (14,), (14,), (14, 41), (37,), (37,), (14, 37), (2,), (10,), (9,))
_NS: Final = 1_000_000_000
Numbers = npt.NDArray[np.int64]


class Windows(NamedTuple):
    """How many windows a symbol has, one a weekday, and how many rows each of them."""

    windows: int
    trades: int
    quotes: int


def write_market(folder: Path, symbols: int, size: Windows) -> Path:
    """Write events.parquet, and folders bars, trades and quotes with a file of each symbol; returns `folder`."""
    days = [FIRST_EVENT + timedelta(days=7 * (number // 5) + number % 5) for number in range(size.windows)]
    names = [f"S{number:04d}" for number in range(symbols)]
    events = pl.DataFrame(
        {
            "event_id": [f"{name}_volume_spike_{day:%Y%m%d_%H%M%S}" for name in names for day in days],
            "symbol": [name for name in names for _ in days],
            "event_type": "volume_spike",
            "timestamp": days * symbols,
            "direction": "up",
        }
    )
    for kind in ("bars", "trades", "quotes"):
        (folder / kind).mkdir(parents=True)
    events.write_parquet(folder / "events.parquet")
    sessions = sessions_between(days[0].date(), days[-1].date(), load_settings(overrides={}).sessions)
    for seed, name in enumerate(names):
        rng = np.random.default_rng(seed)
        starts = np.array([int(day.timestamp()) - _BEFORE_S for day in days]) * _NS
        trades = _trades(rng, starts, size)
        parts = {"bars": _bars(trades, starts, sessions), "trades": trades, "quotes": _quotes(rng, starts, size)}
        for kind, rows in parts.items():
            file = folder / kind / f"{name}.parquet"
            rows.with_columns(symbol=pl.lit(name)).write_parquet(file, compression="zstd", statistics=True)
    return folder


def window_tape(rng: np.random.Generator, starts: Numbers, size: Windows) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trades (TRADES) and quotes (QUOTES) of windows that start at these times, in ns."""
    return _trades(rng, starts, size), _quotes(rng, starts, size)


def _times(rng: np.random.Generator, starts: Numbers, rows: int) -> pl.Series:
    since = np.sort(rng.integers(0, _SECONDS * _NS, (len(starts), rows)), axis=1)
    return pl.Series((since + starts[:, None]).ravel()).cast(TRADES["timestamp"])


def _cents(rng: np.random.Generator, windows: int, rows: int) -> Numbers:
    walk: Numbers = 1_000 + np.cumsum(rng.integers(-1, 2, (windows, rows)), axis=1).ravel() % 200
    return walk


def _trades(rng: np.random.Generator, starts: Numbers, size: Windows) -> pl.DataFrame:
    rows = len(starts) * size.trades
    timestamp = _times(rng, starts, size.trades)
    lists = pl.Series([list(ids) for ids in _CONDITIONS], dtype=TRADES["conditions"])
    columns = {
        "timestamp": timestamp,
        "price": _cents(rng, len(starts), size.trades) / 100,
        "size": rng.choice([1.0, 10, 50, 100, 200, 500], rows),
        "exchange": rng.choice([4, 8, 11, 12], rows),
        "conditions": lists.gather(rng.integers(0, len(_CONDITIONS), rows)),
        "sequence_number": np.arange(rows),
        "trade_id": [str(number) for number in range(rows)],
        "participant_timestamp": timestamp,
        "correction": pl.Series([None], dtype=pl.Int64).new_from_index(0, rows),
    }
    return pl.DataFrame(columns, schema=TRADES)


def _quotes(rng: np.random.Generator, starts: Numbers, size: Windows) -> pl.DataFrame:
    rows = len(starts) * size.quotes
    timestamp, bid = _times(rng, starts, size.quotes), _cents(rng, len(starts), size.quotes)
    columns = {
        "timestamp": timestamp,
        "bid_price": bid / 100,
        "bid_size": rng.choice([100.0, 200, 300], rows),
        "ask_price": (bid + rng.integers(0, 6, rows)) / 100,
        "ask_size": rng.choice([100.0, 200, 300], rows),
        "bid_exchange": rng.integers(1, 12, rows),
        "ask_exchange": rng.integers(1, 12, rows),
        "indicators": pl.Series([[]], dtype=QUOTES["indicators"]).new_from_index(0, rows),
        "conditions": pl.Series([[1]], dtype=QUOTES["conditions"]).new_from_index(0, rows),
        "sequence_number": np.arange(rows),
        "participant_timestamp": timestamp,
    }
    return pl.DataFrame(columns, schema=QUOTES)


def _bars(trades: pl.DataFrame, starts: Numbers, sessions: pl.DataFrame) -> pl.DataFrame:
    """The minute bars of the windows (BARS), as their trades make them; one in twenty has another volume."""
    start = pl.Series(starts // 1_000).cast(BARS["timestamp"])
    spans = pl.DataFrame({"start": start}).select(
        symbol=pl.lit(""), start="start", end=pl.col("start") + timedelta(seconds=_SECONDS)
    )
    rebuilt = reconcile_bars(
        trades.with_columns(symbol=pl.lit("")),
        BARS.to_frame(),
        spans,
        sessions=sessions,
        conditions=pinned_conditions().select(*CONDITION_RULES),
        params=ReconciliationParams(),
    ).filter(pl.col("tape_close").is_not_null())
    found = rebuilt.select(
        "symbol", "timestamp", **{name: f"tape_{name}" for name in BARS if f"tape_{name}" in rebuilt}
    )
    differs = pl.int_range(pl.len()) % 20 == 0
    return found.with_columns(volume=pl.col("volume") + pl.when(differs).then(1_000.0).otherwise(0.0)).select(*BARS)
