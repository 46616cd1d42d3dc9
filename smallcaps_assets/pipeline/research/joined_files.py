"""Files of research tables that are joined over all symbols: what they are made from, and how they are published."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.proven_files import prove_once
from smallcaps_assets.lake.files.stored_tables import naming_damaged
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore

_ALL: Final = pl.lit(value=True)


class JoinedTable(NamedTuple):
    """A published table, the SHA-256 of its file, and whether it was made from the same inputs before."""

    rows: pl.DataFrame
    sha256: str
    unchanged: bool


class JoinedFile(NamedTuple):
    """A published table that may be larger than memory: its rows as they are read, and the rest as of JoinedTable."""

    rows: pl.LazyFrame
    sha256: str
    unchanged: bool


@dataclass(frozen=True)
class JoinedFiles:
    """The research tables of a lake that others are joined from, and those that are."""

    lake: Lake

    @property
    def store(self) -> ResearchStore:
        """All research tables of the lake."""
        return ResearchStore(self.lake)

    def publish(
        self,
        path: Path,
        schema: Mapping[str, pl.DataType],
        inputs: Mapping[str, Any],
        make: Callable[[], pl.DataFrame],
    ) -> JoinedTable:
        """The table at `path`; it is made unless it was made from these inputs.

        Raises:
            LakeError: a file is damaged or cannot be read or written.
        """
        if self.store.computed_from(path) == inputs:
            return JoinedTable(self.store.read(path, schema), prove_once(path), unchanged=True)
        rows = make()
        return JoinedTable(rows, self.store.publish(path, rows, inputs), unchanged=False)

    def publish_parts(
        self,
        path: Path,
        schema: pl.Schema,
        inputs: Mapping[str, Any],
        parts: Callable[[], Iterator[pl.DataFrame]],
    ) -> JoinedFile:
        """As `publish`, of a table that is made in parts, each with the columns of `schema`, in their order.

        Raises:
            LakeError: as `publish`.
        """
        unchanged = self.store.computed_from(path) == inputs
        sha256 = prove_once(path) if unchanged else self.store.publish_parts(path, schema, parts(), inputs)
        return JoinedFile(self.store.scan([path], schema), sha256, unchanged)

    def prove(self, path: Path) -> str:
        """The hash of a file that another step makes; one that is damaged is set aside, so that this makes it again.

        Raises:
            LakeError: it is damaged, the research table of another place, or cannot be read.
        """
        try:
            return self.store.prove(path) if path.is_relative_to(self.lake.research) else prove_once(path)
        except LakeError:
            self.store.computed_from(path)
            raise

    def contents(self, files: Sequence[Path]) -> str:
        """A digest of the names of files and of the hashes that they carry; only their footers are read.

        Raises:
            LakeError: a file cannot be read.
        """
        return self.store.contents(files)

    def proofs(self, files: Sequence[Path]) -> Iterator[str]:
        """The name and the hash of each file, which is read whole.

        Raises:
            LakeError: see `prove`.
        """
        return (f"{self._relative(path)} {self.prove(path)}" for path in files)

    def of_lake(self, table: str, profile: str = "") -> list[Path]:
        """The file of a table over all symbols, if there is one."""
        return self.store.of_lake(table, profile)

    def of_symbols(self, folder: Path, symbols: Collection[str] | None = None) -> list[Path]:
        """The files of a partitioned table, of all symbols or of some, in the order of the symbols."""
        return self.store.of_symbols(folder, symbols)

    def scan(self, files: Sequence[Path], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
        """The rows of files, each of which is proved first.

        Raises:
            LakeError: a file is damaged, cannot be read or has other columns.
        """
        for path in files:
            self.prove(path)
        return self.store.scan([*files], schema)

    def rows_of(
        self,
        files: Sequence[Path],
        schema: Mapping[str, pl.DataType],
        events: pl.Series,
        condition: pl.Expr = _ALL,
    ) -> pl.DataFrame:
        """The rows of some events in files.

        Raises:
            LakeError: as `scan`.
        """
        rows = self.scan(files, schema)
        with naming_damaged(files, self.lake.research, schema):
            return rows.filter(pl.col("event_id").is_in(events.implode()) & condition).collect()

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.lake.root).as_posix()
