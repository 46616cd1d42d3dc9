"""What detection over part of the universe yields, batch by batch of symbols."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.events.detection import Detection
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.settings.settings import Settings


class Found(NamedTuple):
    """The events that one configuration finds in a batch."""

    master: pl.DataFrame  # EVENTS
    days: pl.DataFrame  # symbol and date of each day with bars in its sessions
    counts: Counter[str]
    candidates: pl.DataFrame | None = None  # CANDIDATES, where they were asked for


class Batch(NamedTuple):
    """The results of one batch of symbols.

    Of symbols that are judged by their candidates no bar is read: `rows` are those that the lake has of them, none of
    which is rejected, and prints are not looked for.
    """

    symbols: list[str]
    rows: int
    rejected: pl.DataFrame  # QUARANTINED_BARS
    unknown: pl.DataFrame  # UNKNOWN
    found: list[Found]  # one for each configuration; empty if no bar is usable
    prints: pl.DataFrame  # LISTED_PRINTS, with the events of the first configuration
    from_candidates: bool = False
    bars: pl.DataFrame | None = None  # usable ones (BARS) of the days asked for, where candidates were asked for


def as_found(detection: Detection, settings: Settings) -> Found:
    """The events of a detection that the cooldown keeps, and its figures."""
    days = detection.daily.select("symbol", date=pl.col("day").dt.to_string("%Y-%m-%d"))
    master = build_master(detection.events, settings.cooldown)
    return Found(master, days, Counter(detection.counts), detection.candidates)


def found_before(settings: Settings, configurations: Sequence[Settings], found: Sequence[Found]) -> Found | None:
    """What one of the first `configurations`, whose results are in `found`, found that detects the same."""
    return next(
        (
            result
            for other, result in zip(configurations, found, strict=False)
            if (settings.detection, settings.sessions) == (other.detection, other.sessions)
        ),
        None,
    )
