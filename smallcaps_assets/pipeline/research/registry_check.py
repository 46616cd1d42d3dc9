"""The check that every column of a research table, and of each of its files, is in the registry of columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.research.tables.table_registry import TABLE_REGISTRY, file_gaps, registry_gaps
from smallcaps_assets.lake.research import ResearchStore

REGISTRY_COMPLETE: Final = "registry_complete"


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
