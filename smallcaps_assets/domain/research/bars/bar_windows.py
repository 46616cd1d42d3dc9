"""Figures of the bars before an event, by NumPy on matrices of these bars (research specification, section 8)."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from smallcaps_assets.domain.research.bars.edge_spread import edge_spreads

_Floats = npt.NDArray[np.float64]
_Numbers = npt.NDArray[np.int64]

# Events whose bars are in memory at a time.
_CHUNK: Final = 20_000
_PARKINSON_FACTOR: Final = 4 * np.log(2.0)


def parkinson(bars: pl.DataFrame, rows: pl.DataFrame, count: int, min_bars: int) -> pl.Series:
    """Root of the mean squared log range over 4 ln 2 of the `count` bars before; null with fewer than `min_bars`."""
    squared = np.log(bars["high"].to_numpy() / bars["low"].to_numpy()) ** 2
    total, known = _sum_and_count(squared, rows, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(total / _PARKINSON_FACTOR / known)
    return _nullable("parkinson_20", root, known >= min_bars)


def amihud(bars: pl.DataFrame, rows: pl.DataFrame, count: int, min_returns: int) -> pl.Series:
    """Mean of |return| / dollar volume x 1e6 of the `count` bars before; null with fewer than `min_returns` returns."""
    close, dollars = bars["close"].to_numpy(), bars["dollar_volume"].to_numpy()
    previous = np.append(np.nan, close[:-1])
    previous[bars["bar"].to_numpy() == bars["day_start"].to_numpy()] = np.nan
    total, known = _sum_and_count(np.abs(close / previous - 1) / dollars * 1e6, rows, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _nullable("amihud_20", total / known, known >= min_returns)


def edge_spread_bps(bars: pl.DataFrame, rows: pl.DataFrame, count: int, min_bars: int) -> pl.Series:
    """The EDGE estimate in bps over the `count` bars before; null with fewer than `min_bars`, or where undefined."""
    prices = [bars[name].to_numpy() for name in ("open", "high", "low", "close")]
    bar = rows["bar"].to_numpy()
    earlier = np.minimum(bar - rows["day_start"].to_numpy(), count)
    spread = np.full(rows.height, np.nan)
    # by number of bars, so that each matrix is full
    for bars_before in np.unique(earlier[earlier >= min_bars]):
        places = np.flatnonzero(earlier == bars_before)
        for part in np.split(places, range(_CHUNK, len(places), _CHUNK)):
            spread[part] = edge_spreads(
                *(sliding_window_view(column, bars_before)[bar[part] - bars_before] for column in prices)
            )
    return _nullable("edge_spread_bps_60", spread * 1e4, np.isfinite(spread))


def relative_volume_to_time(
    bars: pl.DataFrame, rows: pl.DataFrame, first_numbers: pl.Series, days: int, min_days: int
) -> pl.Series:
    """Dollar volume to the event over the mean of the same sum, to the same ET minute, of the trading days before.

    Null where fewer than `min_days` of them are since the symbol's first bar, or all are 0.

    Args:
        bars: with `symbol_number`, `number` (of the trading day), `minute` (of the ET day), `dollar_volume_to_event`.
        rows: the bars of the events.
        first_numbers: number of the symbol's first trading day, for each of `rows`.
        days: most trading days before.
        min_days: fewest trading days before.
    """
    keys, sums = _day_keys(bars) * _MINUTES + bars["minute"].to_numpy(), bars["dollar_volume_to_event"].to_numpy()
    means, counts = [], []
    for start, part in _slices(rows):
        back = np.arange(1, days + 1)
        wanted = _day_keys(part)[:, None] - back
        place = keys.searchsorted(wanted * _MINUTES + part["minute"].to_numpy()[:, None], side="right") - 1
        by_then = (place >= 0) & (keys[place] // _MINUTES == wanted)
        first = first_numbers[start : start + part.height].to_numpy()
        counted = part["number"].to_numpy()[:, None] - back >= first[:, None]
        totals = np.where(by_then & counted, sums[place], 0.0).sum(axis=1)
        count = counted.sum(axis=1)
        means.append(np.divide(totals, count, out=np.zeros(part.height), where=count > 0))
        counts.append(count)
    mean, known = np.concatenate([*means, np.empty(0)]), np.concatenate([*counts, np.empty(0)])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = rows["dollar_volume_to_event"].to_numpy() / mean
    return _nullable("rvol_to_time", ratio, (known >= min_days) & (mean != 0))


_MINUTES: Final = 1_440
# more than there are trading days in any table
_DAYS: Final = 1 << 20


def _day_keys(bars: pl.DataFrame) -> _Numbers:
    """One number per symbol and trading day, in their order."""
    keys: _Numbers = bars["symbol_number"].to_numpy().astype(np.int64) * _DAYS + bars["number"].to_numpy()
    return keys


def _slices(rows: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    return ((start, rows.slice(start, _CHUNK)) for start in range(0, rows.height, _CHUNK))


def _preceding(values: _Floats, rows: pl.DataFrame, count: int) -> _Floats:
    """The `count` values before each of `rows` on its day, NaN in place of those before the first bar."""
    bar = rows["bar"].to_numpy()
    earlier = np.minimum(bar - rows["day_start"].to_numpy(), count)
    padded = np.concatenate((np.full(count, np.nan), values))
    window = sliding_window_view(padded, count)[bar]
    return np.where(np.arange(count) < count - earlier[:, None], np.nan, window)


def _sum_and_count(values: _Floats, rows: pl.DataFrame, count: int) -> tuple[_Floats, npt.NDArray[Any]]:
    """Sum and number of the known values among the `count` bars before each of `rows`."""
    totals, known = [np.empty(0)], [np.empty(0)]
    for _, part in _slices(rows):
        window = _preceding(values, part, count)
        totals.append(np.nansum(window, axis=1))
        known.append(np.isfinite(window).sum(axis=1))
    return np.concatenate(totals), np.concatenate(known)


def _nullable(name: str, values: _Floats, known: npt.NDArray[np.bool_]) -> pl.Series:
    """`values` with nulls where they are not known."""
    return pl.Series(name, values).set(pl.Series(~known), None)
