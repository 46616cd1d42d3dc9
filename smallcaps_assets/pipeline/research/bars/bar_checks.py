"""Checks of the research tables that are made from bars, scores and joins."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import polars as pl

from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.bars.market_state import MARKET_STATE
from smallcaps_assets.domain.research.checks import (
    BAR_FEATURE_BOUNDS,
    COHORT_BOUNDS,
    COST_BOUNDS,
    HALT_BOUNDS,
    LABEL_BOUNDS,
    MARKET_STATE_BOUNDS,
    OUTCOME_BOUNDS,
    SCORE_BOUNDS,
    TABLE_CHECKS,
    WAVE_BOUNDS,
    Bounds,
    perturbed,
    table_checks,
)
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES, EVENT_SCORES
from smallcaps_assets.domain.research.tables.cohort_tables import COHORT_KEYS, COHORTS
from smallcaps_assets.domain.research.tables.enriched_table import ENRICHED
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS, EVENT_LABELS
from smallcaps_assets.domain.research.tables.research_labels import RESEARCH_LABELS
from smallcaps_assets.domain.research.tables.research_table import RESEARCH_TABLE
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES, EVENT_WAVES
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.lake.cohorts import COHORT_MEMBERS_TABLE, COHORTS_TABLE
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.pipeline.research.bars.by_symbol import SymbolResearch
from smallcaps_assets.pipeline.research.bars.symbol_tables import BESIDE
from smallcaps_assets.pipeline.research.joined import EVENT_SCORES_TABLE, RESEARCH_TABLE_NAME, JoinedResearch
from smallcaps_assets.pipeline.research.joined_enriched import ENRICHED_TABLE
from smallcaps_assets.pipeline.research.joined_outcomes import EVENT_COSTS_TABLE, RESEARCH_LABELS_TABLE
from smallcaps_assets.pipeline.research.registry_check import (
    HINDSIGHT_APART,
    REGISTRY_COMPLETE,
    check_hindsight_apart,
    check_registry,
)
from smallcaps_assets.settings.settings import PROFILES, Profile

# events whose features are computed again, from what was known at their time
SAMPLED: Final = 20
# the check of tables that become stale by what is no asset: imported events
UP_TO_DATE: Final = "up_to_date"
UP_TO_DATE_TABLES: Final = ("event_bar_features", EVENT_SCORES_TABLE)
# the excursions and other figures of each event, in the file beside the legs
OUTCOME_RANGES: Final = "outcome_ranges"
_TABLES: Final[Mapping[str, tuple[pl.Schema, Sequence[str], Mapping[str, Bounds]]]] = {
    "event_bar_features": (BAR_FEATURES, ("event_id",), BAR_FEATURE_BOUNDS),
    "halts": (HALTS, ("symbol", "start"), HALT_BOUNDS),
    "event_waves": (EVENT_WAVES, ("event_id", "leg"), WAVE_BOUNDS),
    "event_outcomes": (EVENT_OUTCOMES, ("event_id",), OUTCOME_BOUNDS),
    "event_labels": (EVENT_LABELS, ("event_id", "label_spec"), LABEL_BOUNDS),
    "market_state_day": (MARKET_STATE, ("symbol", "date"), MARKET_STATE_BOUNDS),
    EVENT_SCORES_TABLE: (EVENT_SCORES, ("event_id",), SCORE_BOUNDS),
    RESEARCH_TABLE_NAME: (RESEARCH_TABLE, ("event_id",), {**BAR_FEATURE_BOUNDS, **SCORE_BOUNDS}),
    ENRICHED_TABLE: (ENRICHED, ("event_id",), {**OUTCOME_BOUNDS, **SCORE_BOUNDS}),
    EVENT_COSTS_TABLE: (EVENT_COSTS, ("event_id", "label_spec"), COST_BOUNDS),
    RESEARCH_LABELS_TABLE: (RESEARCH_LABELS, ("event_id", "label_spec"), {**LABEL_BOUNDS, **COST_BOUNDS}),
    COHORTS_TABLE: (COHORTS, COHORT_KEYS, COHORT_BOUNDS),
}


def checks_of_research(table: str, research: SymbolResearch, profile: Profile | None = None) -> Checks:
    """The checks of a published table; nothing is judged before it has rows."""
    names = [*TABLE_CHECKS, REGISTRY_COMPLETE, *(["perturbation"] if table == "event_bar_features" else [])]
    names += [OUTCOME_RANGES] if table == "event_waves" else []
    names += [HINDSIGHT_APART] if table == ENRICHED_TABLE else []
    names += [UP_TO_DATE] if table in UP_TO_DATE_TABLES else []
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
    beside = {other: store.parts(lake.research / other) for other, asset in BESIDE.items() if asset == table}
    if table == COHORTS_TABLE:
        members = lake.research_table(COHORT_MEMBERS_TABLE, profile or "")
        beside[COHORT_MEMBERS_TABLE] = [members] if is_stored(members) else []
    if name == REGISTRY_COMPLETE:
        return check_registry(store, {table: files, **beside})
    if name == HINDSIGHT_APART:
        joined = [lake.research_table(EVENT_SCORES_TABLE)]
        joined += [lake.research_table(RESEARCH_TABLE_NAME, one) for one in PROFILES]
        of_symbols = store.parts(lake.research / "event_bar_features")
        return check_hindsight_apart(store, [*of_symbols, *filter(is_stored, joined)])
    if name == OUTCOME_RANGES:
        rows = store.scan(beside["event_outcomes"], EVENT_OUTCOMES)
        ranges = table_checks(rows, ("event_id",), OUTCOME_BOUNDS)["ranges"]
        return _judged(lambda: ranges()._replace(name=OUTCOME_RANGES), rows)
    rows = store.scan(files, schema)
    if name == UP_TO_DATE:
        of_table = features_up_to_date if table == "event_bar_features" else scores_up_to_date
        return of_table(research)._replace(unjudged="" if files else "the table does not exist")
    if name == "perturbation":
        return _judged(partial(_perturbation, research, rows), rows)
    return _judged(table_checks(rows, key, bounds)[name], rows)


def features_up_to_date(research: SymbolResearch) -> Finding:
    """Whether the features of all symbols were computed from bars, events, splits and their settings as they are now.

    Raises:
        LakeError: the imported events cannot be read.
    """
    symbols = research.detector.shards.symbols()
    behind = pl.DataFrame({"symbol": research.behind(symbols, "event_bar_features")}, {"symbol": pl.String})
    clause = count_clause(len(symbols), "symbol", "symbols")
    verdict = (
        f"The tables of {behind.height:,} of {clause} were computed from other bars, events, splits or settings. "
        "Materialize event_bar_features."
        if behind.height
        else f"The tables of {clause} are up to date."
    )
    return finding(UP_TO_DATE, behind, {"verdict": verdict, "symbols": len(symbols)}, severe=False)


def scores_up_to_date(research: SymbolResearch) -> Finding:
    """Whether the scores were computed from MASTER, candidates, imported events and settings as they are now.

    Raises:
        LakeError: a file is damaged or cannot be read.
    """
    detector = research.detector
    joined = JoinedResearch(research.store.lake, research.params, detector.params.filters, detector.sessions)
    changes = joined.changes_of_scores() if is_stored(research.store.lake.master) else ["MASTER"]
    verdict = f"Changed since: {', '.join(changes)}. Materialize event_scores." if changes else "Up to date."
    breaking = pl.DataFrame({"changed": changes}, {"changed": pl.String})
    return finding(UP_TO_DATE, breaking, {"verdict": verdict}, severe=False)


def _judged(check: Callable[[], Finding], rows: pl.LazyFrame) -> Finding:
    empty = rows.head(1).select(pl.len()).collect().item() == 0
    return check().unjudged_if(empty, "the table has no rows")


def _perturbation(research: SymbolResearch, rows: pl.LazyFrame) -> Finding:
    """Whether the features of some events are the same without all bars and candidates after their minute."""
    ids = rows.select("event_id").collect()
    chosen = ids.sample(min(SAMPLED, ids.height))["event_id"]
    stored = rows.filter(pl.col("event_id").is_in(chosen.implode())).collect()
    return perturbed(stored, research.as_known_then(stored))
