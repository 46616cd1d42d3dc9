"""Bars with many events, and the tables that are made from them."""

from datetime import date
from functools import cache
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.research.bars.bar_features import BarFeatureParams, MarketData, event_bar_features
from smallcaps_assets.domain.research.sample import SampleParams, research_events, with_causal_sample
from smallcaps_assets.pipeline.calendar import sessions_between as session_bounds
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

# across the end of daylight saving time, Thanksgiving and a half day
FIRST, LAST = date(2025, 10, 27), date(2025, 12, 1)


class Scene(NamedTuple):
    """Bars, MASTER, candidates with the causal sample, the events of the research tables, and session bounds."""

    bars: pl.DataFrame
    master: pl.DataFrame
    candidates: pl.DataFrame
    events: pl.DataFrame
    sessions: pl.DataFrame

    def features(self, splits: pl.DataFrame | None = None) -> pl.DataFrame:
        market = MarketData(self.bars, self.sessions, self.candidates, splits)
        return event_bar_features(self.events, market, default_settings().features, BarFeatureParams())


@cache
def scene(seed: int, symbols: int = 2) -> Scene:
    return scene_of(clean_bars(lively_bars(seed, symbols, sessions_between(FIRST, LAST))).good)


def scene_of(bars: pl.DataFrame, master: pl.DataFrame | None = None) -> Scene:
    settings = default_settings()
    sessions = session_bounds(FIRST, LAST, settings.sessions)
    found = detect(bars, sessions, settings.detection, keep_candidates=True)
    assert found.candidates is not None
    candidates = with_causal_sample(found.candidates, settings.filters, SampleParams())
    master = build_master(found.events, settings.cooldown) if master is None else master
    return Scene(bars, master, candidates, research_events(master, candidates), sessions)
