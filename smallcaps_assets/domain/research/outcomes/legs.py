"""Legs of the zigzag of each event as rows, and in short (research specification, sections 3.3 and 3.4)."""

from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.arrays import FloatArray, IntArray
from smallcaps_assets.domain.research.outcomes.bars_after import US_PER_MIN, BarsAfter
from smallcaps_assets.domain.research.outcomes.nulls import nullable
from smallcaps_assets.domain.research.outcomes.zigzag import NO_POINT, POINTS_OF_BAR, BarPoints, Legs
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_WAVES
from smallcaps_assets.domain.tables import DIRECTIONS, UTC_US

US_PER_S: Final = 1_000_000


def leg_rows(after: BarsAfter, points: BarPoints, legs: Legs) -> pl.DataFrame:
    """The legs (EVENT_WAVES), in their order.

    Args:
        after: the events, and the bars that follow them.
        points: of the bars.
        legs: `event` is the position of the event.
    """
    first = after.first[legs.event]

    def time(ordinal: IntArray) -> IntArray:
        starts: IntArray = after.starts[first + ordinal // POINTS_OF_BAR]
        return starts + US_PER_MIN

    start, end = time(legs.start), time(legs.end)
    start_price, end_price = points.usd_at(first, legs.start), points.usd_at(first, legs.end)
    size = np.abs(points.micros_at(first, legs.end) - points.micros_at(first, legs.start))
    is_confirmed = legs.confirmed != NO_POINT
    confirmed = time(np.where(is_confirmed, legs.confirmed, legs.end))
    up, down = DIRECTIONS
    return pl.DataFrame(
        [
            after.events["event_id"].gather(legs.event),
            pl.Series("leg", legs.number),
            pl.Series("direction", [down, up], dtype=pl.String).gather(np.maximum(legs.sign, 0)),
            pl.Series("start_at", start).cast(UTC_US),
            pl.Series("start_price", start_price),
            pl.Series("end_at", end).cast(UTC_US),
            pl.Series("end_price", end_price),
            pl.Series("return", end_price / start_price - 1),
            pl.Series("duration_s", (end - start) / US_PER_S),
            pl.Series("volume", _volumes(after, first, legs)),
            # a leg is never 0 long
            nullable("retracement", size / np.append(1, size)[:-1], legs.number > 1),
            nullable("confirmed_at", confirmed, is_confirmed).cast(UTC_US),
        ]
    ).match_to_schema(EVENT_WAVES)


def _volumes(after: BarsAfter, first: IntArray, legs: Legs) -> FloatArray:
    """Shares of the bars after that of each leg's start, up to and with that of its end."""
    since, until = (first + ordinal // POINTS_OF_BAR + 1 for ordinal in (legs.start, legs.end))
    # sums of each range and of what lies between two of them, in turns; one more bar, as ranges may end with the last
    volume = np.append(after.bars["volume"].to_numpy(), 0.0)
    order = np.argsort(since, kind="stable")
    found = np.zeros(len(since))
    if len(since):
        found[order] = np.add.reduceat(volume, np.stack([since, until], axis=1)[order].ravel())[::2]
    return np.where(since < until, found, 0.0)


def count_legs(events: int, legs: Legs, rows: pl.DataFrame) -> list[pl.Series]:
    """Numbers of legs of each event, and what its first two are; `rows` are the legs as rows."""
    confirmed = legs.event[legs.confirmed != NO_POINT]
    found = [
        pl.Series(name, np.bincount(event, minlength=events), dtype=pl.Int64)
        for name, event in (("legs", legs.event), ("confirmed_legs", confirmed))
    ]
    columns = {"direction": "first_leg_direction", "return": "first_leg_return", "duration_s": "first_leg_s"}
    for number, names in ((1, columns), (2, {"retracement": "first_pullback"})):
        place = np.full(events, -1)
        mine = np.flatnonzero(legs.number == number)
        place[legs.event[mine]] = mine
        at = pl.Series(place, dtype=pl.Int64).set(pl.Series(place < 0), None)
        found += [rows[column].gather(at).alias(name) for column, name in names.items()]
    return found
