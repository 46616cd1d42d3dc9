"""Tables of a lake as Polars, DuckDB, pandas and pyarrow read them, without this package."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds

TOOLS: Final = ("polars", "duckdb", "pandas", "pyarrow")


def _pandas(path: Path, hive: bool) -> list[Any]:
    return list((pd.read_parquet(path) if hive else pd.read_parquet(path, partitioning=None))["symbol"])


def _pyarrow(path: Path, hive: bool) -> list[Any]:
    found: list[Any] = ds.dataset(path, partitioning="hive" if hive else None).to_table()["symbol"].to_pylist()
    return found


def _polars(path: Path, hive: bool) -> list[Any]:
    rows = pl.scan_parquet(path) if hive else pl.scan_parquet(path, hive_partitioning=False)
    return rows.collect()["symbol"].to_list()


def _duckdb(path: Path, hive: bool) -> list[Any]:
    files = f"{path}/**/*.parquet" if path.is_dir() else str(path)
    partitions = f", hive_partitioning = {str(hive).lower()}"
    return [symbol for (symbol,) in duckdb.sql(f"SELECT symbol FROM read_parquet('{files}'{partitions})").fetchall()]  # noqa: S608


_READ: Final[Mapping[str, Callable[[Path, bool], list[Any]]]] = {
    "polars": _polars,
    "duckdb": _duckdb,
    "pandas": _pandas,
    "pyarrow": _pyarrow,
}


def rows_by_symbol(tool: str, path: Path, *, hive: bool = True) -> dict[str, int]:
    """The number of rows of each symbol of a file or folder, read with the call that docs/lake.md gives."""
    return dict(Counter(_READ[tool](path, hive)))
