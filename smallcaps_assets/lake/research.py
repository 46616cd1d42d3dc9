"""Research tables in the lake: one parquet file per symbol, per symbol and wave, or in all.

The footer of each says which table it is a part of, of which profile, wave and symbol, and what it was computed from,
so that a part is computed again only when that has changed.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
from polars.io.plugins import register_io_source

from smallcaps_assets.domain.tables import match_columns
from smallcaps_assets.domain.versions import digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.content_hash import DAMAGE, content_sha256
from smallcaps_assets.lake.files.damaged_files import is_damaged, set_aside
from smallcaps_assets.lake.files.locks import exclusive_lock
from smallcaps_assets.lake.files.proven_files import prove_once
from smallcaps_assets.lake.files.publish import disk_errors, provenance_of, publish_frame, publish_lazy
from smallcaps_assets.lake.files.remedies import asset_of_table, how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.symbol_paths import KEY, symbol_of

# Keys of the footer: the place of the file, and what its rows were computed from.
PLACE: Final = "place"
COMPUTED_FROM: Final = "computed_from"
_WAVE: Final = "wave="


def research_place(lake: Lake, path: Path) -> dict[str, str]:
    """What the path of a file of a research table says: `table`, and `profile`, `wave` and `symbol` where it has them.

    Paths are those of `Lake.research_table`, `research_symbol` and `research_wave`.
    """
    *folders, name = path.relative_to(lake.research).parts
    stem = name.removesuffix(".parquet")
    place = {"symbol": symbol_of(stem)} if stem.startswith(KEY) else {"table": stem}
    if folders and folders[-1].startswith(_WAVE):
        place["wave"] = folders.pop().removeprefix(_WAVE)
    if "table" not in place:
        place["table"] = folders.pop()
    return place | ({"profile": folders[0]} if folders else {})


@dataclass(frozen=True)
class ResearchStore:
    """The research tables of a lake."""

    lake: Lake

    def computed_from(self, path: Path) -> Mapping[str, Any] | None:
        """What the rows of a file were computed from, as `publish` recorded it; None where there is no file.

        A damaged file, or one of another place, is set aside in the quarantine first: its rows are computed again.

        Raises:
            LakeError: the disk refuses, or a folder is in its place.
        """
        try:
            found, reason = self._examine(path)
        except LakeError:  # perhaps another run sets it aside at this moment
            found, reason = None, DAMAGE
        if reason is None:
            return found
        with self.locked():
            found, reason = self._examine(path)
            if reason is not None:
                set_aside(self.lake, path, reason)
            return found

    def _examine(self, path: Path) -> tuple[Mapping[str, Any] | None, str | None]:
        """What the rows of a file were computed from, or why it is to be set aside; neither where there is no file."""
        if not is_stored(path):
            return None, None
        if is_damaged(path):
            return None, DAMAGE
        footer = provenance_of(path) or {}
        found = footer.get(COMPUTED_FROM)
        if (fault := self._fault_of_place(path, footer)) or not isinstance(found, dict):
            return None, fault or "without a record of what it was computed from"
        return found, None

    def _fault_of_place(self, path: Path, footer: Mapping[str, Any]) -> str | None:
        """That a footer is that of another table, profile, wave or symbol than the path of its file; None where not."""
        is_own = footer.get(PLACE) == research_place(self.lake, path)
        return None if is_own else f"not the file of its place: its footer says {footer.get(PLACE)}"

    def prove(self, path: Path) -> str:
        """Make sure that a file is not damaged, once in a process while it is unchanged, and that it is in its place.

        Returns the SHA-256 of the file.

        Raises:
            LakeError: it is damaged, the file of another table, profile, wave or symbol, or cannot be read.
        """
        found = prove_once(path)
        self._require_place(path)
        return found

    def _require_place(self, path: Path) -> None:
        if fault := self._fault_of_place(path, provenance_of(path) or {}):
            raise LakeError(f"{path}: is {fault}. {how_to_restore(path)}", path).with_facts(fault)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock on files whose rows are kept or set aside: another run may make the same tables. Not reentrant.

        Raises:
            LakeError: the lock file cannot be created.
        """
        with exclusive_lock(self.lake.locks / "research.lock", below=self.lake.root):
            yield

    def recorded(self, path: Path) -> Mapping[str, Any] | None:
        """What `computed_from` returns, from the footer alone: the file is not proved, and stays where it is.

        Raises:
            LakeError: it cannot be read.
        """
        found = (provenance_of(path) or {}).get(COMPUTED_FROM) if is_stored(path) else None
        return found if isinstance(found, dict) else None

    def read(self, path: Path, schema: Mapping[str, pl.DataType], added: Collection[str] = ()) -> pl.DataFrame:
        """The rows of a file, with the columns of `schema`; proved. No rows where there is no file.

        Columns in `added` are null where the file does not have them yet.

        Raises:
            LakeError: it is damaged, not the file of its place, cannot be read or has other columns.
        """
        if not is_stored(path):
            return pl.Schema(schema).to_frame()
        rows = read_table(path, schema, added)
        self._require_place(path)
        return rows

    def scan(self, files: list[Path], schema: Mapping[str, pl.DataType], added: Collection[str] = ()) -> pl.LazyFrame:
        """The rows of several files, in their order, with the columns of `schema`; not proved.

        Columns in `added` are null where the files do not have them yet.

        Raises:
            LakeError: a file cannot be read or has other columns.
        """
        if not files:
            return pl.Schema(schema).to_frame().lazy()
        with disk_errors("read", files[0] if len(files) == 1 else self.lake.research):
            rows = pl.scan_parquet(files, hive_partitioning=False, glob=False, extra_columns="ignore")
            return match_columns(rows, schema, f"{files[0].parent}", added)

    def columns(self, path: Path) -> dict[str, pl.DataType]:
        """The columns that a file has, from its footer alone.

        Raises:
            LakeError: it cannot be read.
        """
        with disk_errors("read", path):
            return dict(pl.read_parquet_schema(path))

    def parts(self, folder: Path) -> list[Path]:
        """The files of a partitioned table, or of one of its waves, sorted."""
        with disk_errors("read", folder):
            return sorted(folder.rglob(f"{KEY}*.parquet")) if folder.is_dir() else []

    def of_lake(self, table: str, profile: str = "") -> list[Path]:
        """The file of a table over all symbols, if there is one."""
        path = self.lake.research_table(table, profile)
        return [path] if is_stored(path) else []

    def of_symbols(self, folder: Path, symbols: Collection[str] | None = None) -> list[Path]:
        """The files of a partitioned table, of all symbols or of some, in the order of the symbols."""
        found = [(symbol_of(path.stem), path) for path in self.parts(folder)]
        return [path for symbol, path in sorted(found) if symbols is None or symbol in symbols]

    def contents(self, files: Sequence[Path]) -> str:
        """A digest of the names of files and of the hashes that they carry; only their footers are read.

        Raises:
            LakeError: a file cannot be read.
        """
        return digest(f"{path.relative_to(self.lake.root).as_posix()} {content_of(path)}" for path in files)

    def state(self, folder: Path) -> str:
        """A digest of the names, sizes and times of the files of a partitioned table: another one after any change.

        No file is opened.

        Raises:
            LakeError: the disk refuses.
        """
        with disk_errors("read", folder):
            states = [(path, path.stat()) for path in self.parts(folder)]
        return digest(f"{path.relative_to(folder)} {state.st_size} {state.st_mtime_ns}" for path, state in states)

    def publish(self, path: Path, rows: pl.DataFrame, computed_from: Mapping[str, Any]) -> str:
        """Publish the rows of one file, with what they were computed from; returns the SHA-256 of the file.

        Raises:
            LakeError: it cannot be written.
        """
        provenance = {PLACE: research_place(self.lake, path), COMPUTED_FROM: dict(computed_from)}
        return publish_frame(path, rows, provenance, sweeps=False, below=self.lake.root)

    def publish_parts(
        self, path: Path, schema: pl.Schema, parts: Iterator[pl.DataFrame], computed_from: Mapping[str, Any]
    ) -> str:
        """As `publish`, of rows that come in parts (of `schema`), so that not all of them are in memory.

        Raises:
            LakeError: as `publish`.
        """
        provenance = {PLACE: research_place(self.lake, path), COMPUTED_FROM: dict(computed_from)}
        frame, written = stream_parts(schema, parts)
        return publish_lazy(path, frame, written, provenance, sweeps=False, below=self.lake.root)

    def remove(self, path: Path) -> None:
        """Remove a file whose rows no longer exist, such as those of a symbol without events.

        Raises:
            LakeError: the disk refuses.
        """
        with disk_errors("written", path):
            path.unlink(missing_ok=True)


def require_part(store: ResearchStore, path: Path) -> None:
    """Make sure that a file is there, for those who read what others compute.

    Raises:
        LakeError: it is not; says what makes it.
    """
    if not is_stored(path):
        place = research_place(store.lake, path)
        asset = "/".join(name for name in (place.get("profile"), asset_of_table(place["table"])) if name)
        raise LakeError(f"{path}: does not exist. Materialize {asset}, which makes it without a request.", path)


def content_of(path: Path) -> str | None:
    """The hash that a file carries, from its footer.

    Raises:
        LakeError: it cannot be read.
    """
    with disk_errors("read", path):
        return content_sha256(path)


def stream_parts(schema: pl.Schema, parts: Iterator[pl.DataFrame]) -> tuple[pl.LazyFrame, Callable[[], int]]:
    """Parts of `schema` as one table, which can be read once and whole; and how many rows of it were read."""
    read = 0

    def frames(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        nonlocal read
        if predicate is not None or rows is not None:
            raise NotImplementedError("only the whole table is read")
        for part in parts:
            read += part.height
            yield part if columns is None else part.select(columns)

    return register_io_source(frames, schema=schema), lambda: read
