"""Checks of the research tables that are made from bars, scores and joins."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import polars as pl

from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.bars.market_state import MARKET_STATE
from smallcaps_assets.domain.research.checks import (
    BAR_FEATURE_BOUNDS,
    HALT_BOUNDS,
    MARKET_STATE_BOUNDS,
    SCORE_BOUNDS,
    TABLE_CHECKS,
    Bounds,
    perturbed,
    table_checks,
)
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES, EVENT_SCORES
from smallcaps_assets.domain.research.tables.research_table import RESEARCH_TABLE
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.pipeline.research.bars.by_symbol import SymbolResearch
from smallcaps_assets.pipeline.research.joined import EVENT_SCORES_TABLE, RESEARCH_TABLE_NAME
from smallcaps_assets.pipeline.research.registry_check import REGISTRY_COMPLETE, check_registry
from smallcaps_assets.settings.settings import Profile

# events whose features are computed again, from what was known at their time
SAMPLED: Final = 20
_TABLES: Final[Mapping[str, tuple[pl.Schema, Sequence[str], Mapping[str, Bounds]]]] = {
    "event_bar_features": (BAR_FEATURES, ("event_id",), BAR_FEATURE_BOUNDS),
    "halts": (HALTS, ("symbol", "start"), HALT_BOUNDS),
    "market_state_day": (MARKET_STATE, ("symbol", "date"), MARKET_STATE_BOUNDS),
    EVENT_SCORES_TABLE: (EVENT_SCORES, ("event_id",), SCORE_BOUNDS),
    RESEARCH_TABLE_NAME: (RESEARCH_TABLE, ("event_id",), {**BAR_FEATURE_BOUNDS, **SCORE_BOUNDS}),
}


def checks_of_research(table: str, research: SymbolResearch, profile: Profile | None = None) -> Checks:
    """The checks of a published table; nothing is judged before it has rows."""
    names = [*TABLE_CHECKS, REGISTRY_COMPLETE, *(["perturbation"] if table == "event_bar_features" else [])]
    return {name: partial(_check, name, table, research, profile) for name in names}


def _check(name: str, table: str, research: SymbolResearch, profile: Profile | None) -> Finding:
    """One check.

    Raises:
        LakeError: a file cannot be read, or lacks a column of the registry.
    """
    store, lake = research.store, research.store.lake
    schema, key, bounds = _TABLES[table]
    path = lake.research_table(table, profile or "")
    files = [path] if is_stored(path) else [] if profile else store.parts(lake.research / table)
    if name == REGISTRY_COMPLETE:
        return check_registry(store, {table: files})
    rows = store.scan(files, schema)
    if name == "perturbation":
        return _judged(partial(_perturbation, research, rows), rows)
    return _judged(table_checks(rows, key, bounds)[name], rows)


def _judged(check: Callable[[], Finding], rows: pl.LazyFrame) -> Finding:
    empty = rows.head(1).select(pl.len()).collect().item() == 0
    return check().unjudged_if(empty, "the table has no rows")


def _perturbation(research: SymbolResearch, rows: pl.LazyFrame) -> Finding:
    """Whether the features of some events are the same without all bars and candidates after their minute."""
    ids = rows.select("event_id").collect()
    chosen = ids.sample(min(SAMPLED, ids.height))["event_id"]
    stored = rows.filter(pl.col("event_id").is_in(chosen.implode())).collect()
    return perturbed(stored, research.as_known_then(stored))
