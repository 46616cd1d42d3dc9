"""Research tables for those who only report them: nothing is made, and a damaged file stays where it is."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl

from smallcaps_assets.lake.files.stored_tables import is_stored, naming_damaged
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore


class TableReader:
    """Reads research tables of a lake lazily; each file is proved first."""

    def __init__(self, lake: Lake) -> None:
        """`lake` is the lake."""
        self.store = ResearchStore(lake)
        self._lake, self._read = lake, list[tuple[list[Path], pl.Schema]]()

    def of_symbols(self, table: str, schema: pl.Schema) -> pl.LazyFrame:
        """The rows of a partitioned table.

        Raises:
            LakeError: a file is damaged, cannot be read or has other columns.
        """
        return self._scan(self.store.parts(self._lake.research / table), schema)

    def of_lake(self, table: str, schema: pl.Schema, profile: str = "") -> pl.LazyFrame:
        """The rows of a table over all symbols; none where it is not made yet.

        Raises:
            LakeError: as `of_symbols`.
        """
        path = self._lake.research_table(table, profile)
        return self._scan([path] if is_stored(path) else [], schema)

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Where rows are collected: an error names the file.

        Raises:
            LakeError: a file cannot be read or has other columns.
        """
        with ExitStack() as stack:
            for files, schema in self._read:
                if files:
                    stack.enter_context(naming_damaged(files, self._lake.research, schema))
            yield

    def _scan(self, files: list[Path], schema: pl.Schema) -> pl.LazyFrame:
        for path in files:
            self.store.prove(path)
        self._read.append((files, schema))
        return self.store.scan(files, schema)
