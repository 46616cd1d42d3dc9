"""The registry of the columns of research tables says everything of each, and files are compared with it."""

import polars as pl
import pytest

from smallcaps_assets.domain.research.columns import ResearchColumn
from smallcaps_assets.domain.research.tables.table_registry import (
    TABLE_REGISTRY,
    DescribedColumns,
    file_gaps,
    registry_gaps,
)
from smallcaps_assets.pipeline.research.bars.symbol_tables import SYMBOL_TABLES
from smallcaps_assets.pipeline.research.tape.block_tables import TAPE_TABLES

ONE = DescribedColumns(
    {
        "symbol": ResearchColumn("symbol", pl.String(), "", "key"),
        "spread": ResearchColumn("spread", pl.Float64(), "bps", "pre"),
    },
    {"symbol": "Name.", "spread": "Quoted."},
)


@pytest.mark.parametrize("table", TABLE_REGISTRY)
def test_nothing_is_missing_of_any_table(table: str) -> None:
    assert registry_gaps(table, TABLE_REGISTRY[table]).rows() == []


@pytest.mark.parametrize("table", [*TAPE_TABLES, *SYMBOL_TABLES])
def test_files_are_published_with_the_columns_of_the_registry(table: str) -> None:
    published = TAPE_TABLES.get(table) or SYMBOL_TABLES[table]
    assert file_gaps(table, TABLE_REGISTRY[table], "x.parquet", published).rows() == []


def test_gaps_are_named() -> None:
    spread = ResearchColumn("spread", pl.Float64(), "", "later")  # type: ignore[arg-type] # no availability
    broken = DescribedColumns({**ONE.columns, "spread": spread}, {"symbol": "Name."})
    assert registry_gaps("one", ONE).rows() == []
    assert [row[1:3] for row in registry_gaps("one", broken).iter_rows()] == [
        ("spread", "has no text"),
        ("spread", "has no unit"),
        ("spread", "has no availability"),
    ]
    present = {"symbol": pl.String(), "spread": pl.Float32(), "extra": pl.Int64()}
    assert file_gaps("one", ONE, "x", present).rows() == [
        ("one", "extra", "is not in the registry", "x"),
        ("one", "spread", "is Float32 in the file, Float64 in the registry", "x"),
    ]
    assert file_gaps("one", ONE, "x", {"symbol": pl.String()}).rows() == [("one", "spread", "is not in the file", "x")]
