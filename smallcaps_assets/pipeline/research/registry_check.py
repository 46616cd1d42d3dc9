"""The check that every column of a research table, and of each of its files, is in the registry of columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.research.tables.table_registry import TABLE_REGISTRY, file_gaps, registry_gaps
from smallcaps_assets.lake.research import ResearchStore

REGISTRY_COMPLETE: Final = "registry_complete"
HINDSIGHT_APART: Final = "hindsight_apart"
# tables of what came after events, and those of features
_HINDSIGHT_TABLES: Final = ("event_outcomes", "event_labels", "event_costs", "events_with_waves_enriched")
_FEATURE_TABLES: Final = ("event_bar_features", "event_scores", "research_table")


def check_registry(store: ResearchStore, files: Mapping[str, Sequence[Path]]) -> Finding:
    """Whether the columns of some tables have text, unit and availability, and are those of all of their files.

    Args:
        store: the research tables.
        files: the files of each table, by its name.

    Raises:
        LakeError: a file cannot be read.
    """
    described = {table: TABLE_REGISTRY[table] for table in files}
    gaps = [registry_gaps(table, columns) for table, columns in described.items()]
    gaps += [
        file_gaps(table, described[table], path.relative_to(store.lake.root).as_posix(), store.columns(path))
        for table, paths in files.items()
        for path in paths
    ]
    figures = {
        "columns": sum(len(found.columns) for found in described.values()),
        "files": sum(map(len, files.values())),
    }
    found = finding(REGISTRY_COMPLETE, pl.concat(gaps), figures)
    return found.unjudged_if(not figures["files"], "nothing is computed yet")


def check_hindsight_apart(store: ResearchStore, files: Sequence[Path]) -> Finding:
    """Whether files of features, of which a model may use all columns, lack every column that is hindsight.

    Columns such as `return_5` look back in features and ahead in labels: their name tells nothing.

    Args:
        store: the research tables.
        files: the files of tables of features.

    Raises:
        LakeError: a file cannot be read.
    """
    hindsight = {
        name
        for table in _HINDSIGHT_TABLES
        for name, column in TABLE_REGISTRY[table].columns.items()
        if column.availability == "post" and not any(name in TABLE_REGISTRY[one].columns for one in _FEATURE_TABLES)
    }
    rows = [
        (path.relative_to(store.lake.root).as_posix(), name)
        for path in files
        for name in store.columns(path)
        if name in hindsight
    ]
    breaking = pl.DataFrame(rows, {"file": pl.String, "column": pl.String}, orient="row")
    found = finding(HINDSIGHT_APART, breaking, {"columns": len(hindsight), "files": len(files)})
    return found.unjudged_if(not files, "no features are computed yet")
