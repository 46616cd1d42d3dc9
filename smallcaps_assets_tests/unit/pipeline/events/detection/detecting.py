"""Bars of a month, stored like ingestion does, and their detection."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

# contains a DST change, ends with a half day, and is longer than the 20 days of rvol
DAYS = sessions_between(date(2025, 10, 29), date(2025, 11, 28))


def store(lake: Lake, bars: pl.DataFrame, days: Sequence[date]) -> None:
    """Store the bars of these sessions like ingestion."""
    stored = BarsStore(lake)
    for (symbol,), rows in bars.group_by("symbol"):
        for month in sorted({day.replace(day=1) for day in days}):
            sessions = [day for day in days if day.replace(day=1) == month]
            stored.add(str(symbol), month, sessions, rows.filter(DAY.is_in(sessions)), QUARANTINED_BARS.to_frame())


def detector(lake: Lake, settings: Settings | None = None, reference: pl.DataFrame | None = None) -> Detector:
    chosen = settings or default_settings()
    known = REFERENCE.to_frame() if reference is None else reference
    return Detector(BarsStore(lake), ShardStore(lake), chosen.detection, chosen.sessions, known)


def run(lake: Lake, symbols: Sequence[str], settings: Settings | None = None) -> list[Outcome]:
    return list(detector(lake, settings).run(symbols))


def altered(**changes: object) -> Settings:
    return load_settings(overrides=changes)


BARS_OF_ONE = lively_bars(5, 1, DAYS).filter(DAY.is_in(DAYS))
ONE = BARS_OF_ONE["symbol"][0]


def of_type(events: pl.DataFrame, *types: str) -> pl.DataFrame:
    return events.filter(pl.col("event_type").is_in(types))


def expected_of(lake: Lake, settings: Settings | None = None, symbol: str = ONE) -> pl.DataFrame:
    """The events that are detected from the same bars without a shard."""
    fresh = new_lake(lake.root.with_name("fresh"))
    bars = BarsStore(lake)
    store(fresh, bars.read(symbol), sorted(bars.covered(symbol)))
    run(fresh, [symbol], settings)
    return ShardStore(fresh).read(symbol)
