"""How far prices go for and against the entry after an event (research specification, section 3.4)."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.arrays import IntArray
from smallcaps_assets.domain.research.outcomes.bars_after import US_PER_MIN, BarsAfter
from smallcaps_assets.domain.research.outcomes.nulls import nullable
from smallcaps_assets.domain.research.outcomes.zigzag import POINTS_OF_BAR, BarPoints
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.domain.research.tables.wave_tables import EXCURSION_MIN


def excursions(after: BarsAfter, points: BarPoints) -> Iterator[pl.Series]:
    """`mfe_h_bps`, `mae_h_bps` and what belongs to them, h in EXCURSION_MIN; null for events without an entry.

    The points are those of the bars of the date that start in [K, K + h) for any horizon of the waves. The
    open of the entry is the first of them, so that mae <= 0 <= mfe.
    """
    known = after.entries.exists
    first = np.where(known, after.first, 0)
    bounds = (after.known_at + minutes * US_PER_MIN for minutes in EXCURSION_MIN)
    bars = np.where(known, np.stack([after.count_until(bound) for bound in bounds]), 0)
    entry = points.usd[0, np.where(known, after.entries.position, 0)]
    by_sign = [_first_greatest(points, first, sign, bars) for sign in (after.sign, -after.sign)]
    for minutes, *ordinals in zip(EXCURSION_MIN, *by_sign, strict=True):
        for name, ordinal in zip(("mfe", "mae"), ordinals, strict=True):
            # 0 is added to what is -0.0
            gained = BPS * (after.sign * (points.usd_at(first, ordinal) / entry - 1)) + 0.0
            bar_end = after.starts[first + ordinal // POINTS_OF_BAR] + US_PER_MIN
            yield nullable(f"{name}_{minutes}_bps", gained, known)
            yield nullable(f"minutes_to_{name}_{minutes}", (bar_end - after.known_at) / US_PER_MIN, known)
        best, worst = ordinals
        yield nullable(f"mfe_before_mae_{minutes}", best < worst, known & (best != worst))


def _first_greatest(points: BarPoints, first: IntArray, sign: IntArray, bars: IntArray) -> IntArray:
    """Ordinal of the first point with the greatest `sign` x u(p) among those of each number of bars of each event.

    Args:
        points: of all bars.
        first: position of the first bar of each event.
        sign: 1 or -1 of each event.
        bars: numbers of bars, shape (horizons, events); each horizon has at least those of the one before.
    """
    order = np.argsort(-bars[-1], kind="stable")
    most = bars[-1, order]
    first_of, signs, counts = first[order], sign[order], bars[:, order]
    greatest = np.full(len(first), np.iinfo(np.int64).min)
    reached_in = np.zeros_like(counts)
    for bar in range(int(most.max(initial=0))):
        live = int(np.searchsorted(-most, -bar, side="left"))
        # points 1 and 2 of a bar are its low and high; none is beyond them
        highest = (points.micros[1:3, first_of[:live] + bar] * signs[:live]).max(axis=0)
        is_new = highest > greatest[:live]
        np.copyto(greatest[:live], highest, where=is_new)
        np.copyto(reached_in[:, :live], bar, where=is_new & (bar < counts[:, :live]))
    place = (points.micros[:, first_of + reached_in] * signs).argmax(axis=0)
    found = np.empty_like(reached_in)
    found[:, order] = reached_in * POINTS_OF_BAR + place
    return found
