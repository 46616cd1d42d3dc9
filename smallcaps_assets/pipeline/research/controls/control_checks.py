"""Checks of the published controls of a profile and of their features; each reads the lake."""

from collections.abc import Mapping
from functools import partial
from typing import Final

import polars as pl

from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.research.checks import (
    BAR_FEATURE_BOUNDS,
    COST_BOUNDS,
    LABEL_BOUNDS,
    OUTCOME_BOUNDS,
    TABLE_CHECKS,
    Bounds,
    table_checks,
)
from smallcaps_assets.domain.research.controls.checks import clear_of_events, same_clock, within_limits
from smallcaps_assets.domain.research.controls.features import CONTROL_FEATURES
from smallcaps_assets.domain.research.controls.labels import CONTROL_LABELS
from smallcaps_assets.domain.research.controls.outcomes import CONTROL_OUTCOMES
from smallcaps_assets.domain.research.controls.tables import CONTROL_MANIFEST
from smallcaps_assets.lake.controls import CONTROL_MANIFEST_TABLE, ControlStore
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.pipeline.research.bars.bar_checks import OUTCOME_RANGES
from smallcaps_assets.pipeline.research.controls.features import (
    CONTROL_FEATURES_TABLE,
    CONTROL_LABELS_TABLE,
    CONTROL_OUTCOMES_TABLE,
    TABLES_AFTER,
)
from smallcaps_assets.pipeline.research.controls.selecting import ControlChoice
from smallcaps_assets.pipeline.research.registry_check import REGISTRY_COMPLETE, check_registry

_EMPTY: Final = "no control was chosen yet"
LABEL_RANGES: Final = "label_ranges"
# what came after controls, beside their features: table, columns and bounds, by the check
_AFTER: Final[Mapping[str, tuple[str, pl.Schema, Mapping[str, Bounds]]]] = {
    LABEL_RANGES: (CONTROL_LABELS_TABLE, CONTROL_LABELS, {**LABEL_BOUNDS, **COST_BOUNDS}),
    OUTCOME_RANGES: (CONTROL_OUTCOMES_TABLE, CONTROL_OUTCOMES, OUTCOME_BOUNDS),
}


def checks_of_controls(table: str, choice: ControlChoice) -> Checks:
    """The checks of the control manifest, or of the features of controls; nothing is judged before it has rows."""
    of_manifest, of_features = ("clear_of_events", "same_clock", "limits"), (*TABLE_CHECKS, *_AFTER)
    names = of_manifest if table == CONTROL_MANIFEST_TABLE else of_features
    of_rows = {name: partial(_check, name, table, choice) for name in names}
    return of_rows | {REGISTRY_COMPLETE: partial(_registry, table, choice)}


def _registry(table: str, choice: ControlChoice) -> Finding:
    tables = [table, *(TABLES_AFTER if table == CONTROL_FEATURES_TABLE else ())]
    paths = {name: choice.lake.research_table(name, choice.profile) for name in tables}
    return check_registry(
        ResearchStore(choice.lake), {name: [path] if is_stored(path) else [] for name, path in paths.items()}
    )


def _check(name: str, table: str, choice: ControlChoice) -> Finding:
    """One check.

    Raises:
        LakeError: a file is damaged or cannot be read.
    """
    lake, profile = choice.lake, choice.profile
    if name in _AFTER:
        return _check_after(name, choice)
    schema = CONTROL_MANIFEST if table == CONTROL_MANIFEST_TABLE else CONTROL_FEATURES
    rows = ResearchStore(lake).read(lake.research_table(table, profile), schema)
    if rows.is_empty():
        return Finding(name, holds=True, figures={}, examples=pl.DataFrame()).unjudged_if(condition=True, reason=_EMPTY)
    if table == CONTROL_FEATURES_TABLE:
        bounds = {column: found for column, found in BAR_FEATURE_BOUNDS.items() if column in schema}
        return table_checks(rows.lazy(), ("control_of",), bounds)[name]()
    if name == "clear_of_events":
        return clear_of_events(rows, choice.moments_of_events(), choice.params)
    manifest = ManifestStore.in_lake(lake, profile).load()
    if name == "same_clock":
        return same_clock(rows, manifest)
    chosen = ControlStore(lake, profile).load(manifest)
    return within_limits(chosen, manifest.height, choice.params, choice.limits.max_per_symbol)


def _check_after(name: str, choice: ControlChoice) -> Finding:
    """Whether the numbers of a table of what came after controls lie within their bounds."""
    table, schema, bounds = _AFTER[name]
    rows = ResearchStore(choice.lake).read(choice.lake.research_table(table, choice.profile), schema)
    within = {column: found for column, found in bounds.items() if column in schema}
    found = table_checks(rows.lazy(), ("control_of",), within)["ranges"]()._replace(name=name)
    return found.unjudged_if(condition=rows.is_empty(), reason=_EMPTY)
