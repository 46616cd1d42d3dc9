"""Bars of three symbols with many events, and MASTER made of them without the command."""

from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.pipeline.calendar import sessions_between as bounds_between
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

# longer than the 20 days of rvol, with a half day
DAYS = sessions_between(date(2025, 10, 23), date(2025, 12, 1))
LIVELY = lively_bars(11, 3, DAYS).filter(DAY.is_in(DAYS))
SYMBOLS = LIVELY["symbol"].unique().sort().to_list()
LOWER = "detectors: {tape_speed: {min_transactions: 20}}"

RunDetect = Callable[..., str]
Figures = Callable[..., dict[str, Any]]


def master_with(reference: pl.DataFrame | None = None, **changes: object) -> pl.DataFrame:
    """MASTER of the lively bars, built without the command."""
    settings = load_settings(overrides=changes)
    sessions = bounds_between(DAYS[0], DAYS[-1], settings.sessions)
    found = detect(LIVELY, sessions, settings.detection, reference=reference)
    return build_master(found.events, settings.cooldown)


def only(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    return one.join(other, on="event_id", how="anti", maintain_order="left")
