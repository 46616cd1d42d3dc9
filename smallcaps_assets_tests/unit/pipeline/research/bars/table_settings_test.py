"""Which settings each research table of symbols reads: a changed setting changes only rows of tables that read it."""

from datetime import date
from functools import cache
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.research.bars.bar_features import MarketData
from smallcaps_assets.domain.research.bars.market_state import SPLITS
from smallcaps_assets.domain.research.sample import research_events, with_causal_sample
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.research.bars.from_bars import BarRules, BarTables, tables_of_events
from smallcaps_assets.pipeline.research.bars.renewals import settings_of_tables
from smallcaps_assets.pipeline.research.bars.symbol_tables import SYMBOL_ASSETS
from smallcaps_assets.pipeline.research.bars.table_settings import RESEARCH_SETTINGS, settings_of_table
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets_tests.scenarios import sessions_of
from smallcaps_assets_tests.strategies.bars import lively_bars

DAYS = sessions_of("2025-11-10", "2025-11-21")["date"].to_list()
CHANGES: tuple[tuple[str, Any], ...] = (
    ("research.halt_min_gap_min", 12),
    ("research.halt_busy_min", 1),
    ("research.halt_min_trades", 100_000),
    ("research.split_days", 1),
    ("research.recent_bars", 6),
    ("research.recent_min_bars", 19),
    ("research.rvol_to_time_days", 2),
    ("research.rvol_to_time_min_days", 1),
    ("research.edge_spread_bars", 8),
    ("research.edge_spread_min_bars", 5),
    ("research.causal_min_dollars", 40_000_000.0),
    ("research.causal_window_min", 600),
    ("research.wave_horizon_min", 20),
    ("features.base_bars", 3),
    ("features.baseline_bars", 25),
)


def changed(path: str, value: Any) -> Settings:
    section, name = path.split(".")
    return load_settings(overrides={section: {name: value}})


@cache
def base() -> Settings:
    return load_settings(overrides={})


@cache
def market() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Usable bars, and the candidates of the default settings: which events there are is decided by detection."""
    bars = clean_bars(lively_bars(3, 2, DAYS)).good
    # minutes without a bar after busy ones
    holes = (pl.col("timestamp").dt.hour() == 15) & pl.col("timestamp").dt.minute().is_between(20, 29)
    bars = bars.filter(~holes)
    found = detect(bars, sessions(), base().detection, keep_candidates=True).candidates
    assert found is not None
    return bars, found


@cache
def sessions() -> pl.DataFrame:
    return sessions_and_earlier(DAYS[0], DAYS[-1], 25, base().sessions)


def tables(settings: Settings) -> BarTables:
    bars, candidates = market()
    params = settings.research.params
    sampled = with_causal_sample(candidates, settings.filters, params)
    splits = pl.DataFrame([(bars["symbol"][0], date(2025, 11, 12), 10.0, 1.0)], SPLITS, orient="row")
    rules = BarRules(sessions(), settings.detection, params)
    return tables_of_events(
        research_events(EVENTS.to_frame(), sampled), MarketData(bars, sessions(), sampled, splits), rules
    )


@cache
def with_defaults() -> BarTables:
    return tables(base())


def rows(made: BarTables, asset: str) -> list[pl.DataFrame]:
    of_assets = {
        "event_bar_features": [made.features],
        "halts": [made.halts],
        "event_waves": [made.waves, made.outcomes],
        "event_labels": [made.labels],
        "market_state_day": [made.days],
    }
    return of_assets[asset]


def test_every_asset_has_its_settings_and_together_they_are_those_of_the_step() -> None:
    params = base().research.params
    assert RESEARCH_SETTINGS.keys() == set(SYMBOL_ASSETS)
    assert set().union(*RESEARCH_SETTINGS.values()) == settings_of_tables(params).keys()


@pytest.mark.parametrize(("path", "value"), CHANGES)
def test_a_table_whose_rows_a_setting_changes_has_another_version(path: str, value: Any) -> None:
    settings = changed(path, value)
    before, after = with_defaults(), tables(settings)
    different = {
        asset for asset in SYMBOL_ASSETS if not all(map(pl.DataFrame.equals, rows(before, asset), rows(after, asset)))
    }
    assert different, "the setting has an effect on these bars"
    assert different <= {
        asset for asset in SYMBOL_ASSETS if settings_of_table(asset, base()) != settings_of_table(asset, settings)
    }
