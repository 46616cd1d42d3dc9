"""Spans of windows and thinning of quotes (section 6)."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor
from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets_tests.slow_spec.bars import Row

BEST: Final = ("bid_price", "ask_price", "bid_size", "ask_size")
SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Span = tuple[str, str, int, int, list[str]]


def nanoseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


def spans(manifest: pl.DataFrame) -> list[Span]:
    """(symbol, wave, start, end, event_ids) by symbol, wave and start; start and end in ns since the epoch."""
    windows = []
    for row in manifest.iter_rows(named=True):
        at = nanoseconds(row["timestamp"])
        start, end = at - row["window_before_min"] * MINUTE, at + row["window_after_min"] * MINUTE
        windows.append((row["symbol"], WAVES.index(row["session"]), start, at, row["event_id"], end))
    merged: list[Span] = []
    for symbol, wave, start, _, name, end in sorted(windows):
        if merged and merged[-1][:2] == (symbol, WAVES[wave]) and start <= merged[-1][3]:
            last = merged[-1]
            merged[-1] = (*last[:3], max(last[3], end), [*last[4], name])
        else:
            merged.append((symbol, WAVES[wave], start, end, [name]))
    return merged


def thin(quotes: pl.DataFrame, *, by_change: bool, hz: float | None) -> pl.DataFrame:
    """The rows of `quotes`, sorted by (timestamp, sequence_number), that thinning keeps."""
    times = quotes["timestamp"].to_physical().to_list()
    best = list(quotes.select(*BEST).iter_rows(named=True))
    kept = list(range(quotes.height))
    if by_change:
        kept = _changes(kept, best)
    if hz is not None:
        kept = _last_of_intervals(kept, times, hz)
        if by_change:
            kept = _changes(kept, best)
    return quotes[kept]


def _changes(kept: list[int], best: list[Row]) -> list[int]:
    return [index for at, index in enumerate(kept) if at == 0 or best[index] != best[kept[at - 1]]]


def _last_of_intervals(kept: list[int], times: list[int], hz: float) -> list[int]:
    intervals = [interval_of(times[index], hz) for index in kept]
    return [index for at, index in enumerate(kept) if at in (0, len(kept) - 1) or intervals[at] != intervals[at + 1]]


def interval_of(time_ns: int, hz: float) -> int:
    return floor(Fraction(time_ns) * Fraction(str(hz)) / SECOND)


def in_force(quotes: pl.DataFrame, moment: Fraction) -> tuple[float, ...] | None:
    """The best bid and ask with their sizes after every quote before `moment` (ns since the epoch)."""
    found = None
    for at, *values in quotes.select(pl.col("timestamp").to_physical(), *BEST).iter_rows():
        if at < moment:
            found = tuple(values)
    return found
