"""Tape speed, durations, large prints and shares of volume (research specification, sections 1.7 to 1.10)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from smallcaps_assets.domain.research.arrays import BoolArray, FloatArray, IntArray
from smallcaps_assets.domain.research.micro.axis import EventWindows
from smallcaps_assets.domain.research.micro.params import SECOND_NS, MicroParams
from smallcaps_assets.domain.research.micro.ranges import (
    SortedGroups,
    expand,
    flagged_sums,
    range_counts,
    range_maxima,
    range_sums,
    range_totals,
    ratio,
)
from smallcaps_assets.domain.research.micro.segments import BAR, M5, PRE3, SegmentRows
from smallcaps_assets.domain.research.micro.signs import TradeTape
from smallcaps_assets.domain.research.prices import MICRO

Figures = dict[str, npt.NDArray[Any]]
_NS_PER_MS = 1e6
_FEWEST_DURATIONS = 3


@dataclass(frozen=True)
class VolumeTrades:
    """Trades that count in volume, with further sets that each belongs to."""

    tape: TradeTape
    executions: BoolArray
    signable: BoolArray
    sweep: BoolArray


def flow_columns(volume: VolumeTrades, windows: EventWindows, segments: SegmentRows, params: MicroParams) -> Figures:
    """Figures of 1.7 to 1.10 of every segment."""
    trades = volume.tape
    starts, ends = trades.range_of(segments.start, segments.end)
    count = ends - starts
    shares = range_sums(trades.size, starts, ends)
    per_s = count / segments.seconds
    large = volume.signable & (trades.micro * trades.size >= MICRO * params.large_print_usd)

    def volume_share(flags: BoolArray) -> FloatArray:
        return ratio(flagged_sums(trades.size, flags, starts, ends), shares)

    def trade_share(flags: BoolArray) -> FloatArray:
        return ratio(range_counts(flags, starts, ends), count)

    odd_lot = trades.size < params.round_lot_shares
    return {
        "trades": count,
        "volume_shares": shares,
        "dollar_volume_usd": range_sums(trades.dollars, starts, ends),
        "trades_per_s": per_s,
        **_peaks(trades, windows, segments),
        "speed_x": _speed_x(per_s, windows, segments),
        **_durations(trades.time, starts, ends, segments),
        "large_prints": range_counts(large, starts, ends),
        "large_print_volume_share": volume_share(large),
        "special_volume_share": volume_share(~volume.signable),
        "odd_lot_trade_share": trade_share(odd_lot),
        "odd_lot_volume_share": volume_share(odd_lot),
        "trf_trade_share": trade_share(trades.off_exchange),
        "trf_volume_share": volume_share(trades.off_exchange),
        "sweep_volume_share": volume_share(volume.sweep),
        "fractional_volume_share": volume_share(trades.size != np.floor(trades.size)),
    }


def bucket_firsts(windows: EventWindows, width_s: int) -> tuple[IntArray, IntArray]:
    """Buckets of `width_s` seconds of each window from its start on: index of its first, and their total per window."""
    counts = -(-(windows.end - windows.start) // (width_s * SECOND_NS))
    return np.cumsum(counts) - counts, counts


def _peaks(trades: TradeTape, windows: EventWindows, segments: SegmentRows) -> Figures:
    starts, ends = trades.range_of(windows.start, windows.end)
    members = expand(starts, ends)
    owner = members.owner
    since = members.of(trades.time) - windows.start.take(owner)
    columns: Figures = {}
    for width in (1, 10):
        first, counts = bucket_firsts(windows, width)
        bucket = np.bincount(first.take(owner) + since // (width * SECOND_NS), minlength=int(counts.sum()))
        after, until = segments.bounds(width * SECOND_NS)
        low, high = first[segments.event] + after, first[segments.event] + until
        columns[f"peak_trades_{width}s"] = range_maxima(bucket, low, high)
        if width == 1:
            columns["active_seconds_share"] = range_counts(bucket > 0, low, high) / segments.seconds
    return columns


def _speed_x(per_s: FloatArray, windows: EventWindows, segments: SegmentRows) -> FloatArray:
    """Trades per second against those of `pre3` of the same event."""
    before = np.zeros(len(windows.start))
    pre3 = segments.code == PRE3
    before[segments.event[pre3]] = per_s[pre3]
    return np.where(segments.is_one_of(BAR, M5), ratio(per_s, before[segments.event]), np.nan)


def _durations(time: IntArray, starts: IntArray, ends: IntArray, segments: SegmentRows) -> Figures:
    """Times between consecutive trades of a segment; its edges count as trades for the longest gap only."""
    step = np.diff(time, prepend=time[:1])
    firsts = np.minimum(starts + 1, ends)
    count = ends - firsts
    last = len(time) - 1
    first_time, last_time = (
        (time[np.clip(starts, 0, last)], time[np.clip(ends - 1, 0, last)]) if len(time) else (segments.start,) * 2
    )
    mean_ns = ratio(np.where(count > 0, last_time - first_time, 0), count)
    owner, index = expand(firsts, ends)
    steps = step.take(index)
    median, has_median = SortedGroups(owner, steps, len(segments)).quantile(0.5)
    in_segment = np.cumsum(count) - count
    squares = range_sums((steps - mean_ns.take(owner)) ** 2, in_segment, in_segment + count)
    spread = np.sqrt(ratio(squares, count))
    gaps = [first_time - segments.start, segments.end - last_time, range_maxima(step, firsts, ends)]
    longest = np.where(ends > starts, np.maximum.reduce(gaps), segments.end - segments.start)
    return {
        "duration_ms_mean": mean_ns / _NS_PER_MS,
        "duration_ms_median": np.where(
            has_median, (median.low + (median.high - median.low) * median.fraction) / _NS_PER_MS, np.nan
        ),
        "duration_cv": np.where(count >= _FEWEST_DURATIONS, ratio(spread, np.where(count > 0, mean_ns, 0)), np.nan),
        "same_time_share": ratio(range_totals(step[: len(time)] == 0, firsts, ends), count),
        "longest_gap_s": longest / SECOND_NS,
    }
