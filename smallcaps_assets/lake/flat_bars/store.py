"""Flat files of minute bars in the lake: one table per session, with the bars of the whole market.

`bars/flat/minute/2025-11-03.parquet` is sorted by symbol and timestamp, in row groups whose statistics let the bars of
a symbol be read without the others. Rejected rows are in the quarantine, in a file of the same name.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import polars as pl

from smallcaps_assets.domain.bars.flat_files import FLAT_BARS, FlatDay, as_served
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.months import FileState
from smallcaps_assets.lake.files.content_hash import DAMAGE
from smallcaps_assets.lake.files.damaged_files import is_damaged, set_aside
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.locks import exclusive_lock
from smallcaps_assets.lake.files.publish import disk_errors, provenance_of, publish_frame
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored, naming_damaged, prove
from smallcaps_assets.lake.layout import Lake

# One symbol is read by reading one or two row groups; a day of the whole market has about 110 of them.
ROWS_PER_GROUP: Final = 16_384
_SUFFIX: Final = ".parquet"


class FlatFile(NamedTuple):
    """What the footer of a day's table says of the file that it was made of.

    Attributes:
        day: the session.
        etag: the ETag of the file; another one is another file.
        key: its key in the bucket.
        size: its size in bytes.
        modified: when the vendor wrote it.
        source: the endpoint and the bucket.
        rows: how many rows it had.
        rejected: how many of them were rejected.
        repeats: how many repeated another exactly.
    """

    day: date
    etag: str
    key: str
    size: int
    modified: datetime
    source: str
    rows: int
    rejected: int
    repeats: int

    @property
    def bars(self) -> int:
        """How many usable bars the table has."""
        return self.rows - self.rejected - self.repeats

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `as_json`.

        Raises:
            KeyError, TypeError, ValueError: the value is none.
        """
        size, rows, rejected, repeats = (int(value[name]) for name in ("size", "rows", "rejected", "repeats"))
        etag, key, source = (str(value[name]) for name in ("etag", "key", "source"))
        day, modified = date.fromisoformat(value["day"]), datetime.fromisoformat(value["modified"])
        return cls(day, etag, key, size, modified, source, rows, rejected, repeats)

    def as_json(self) -> dict[str, Any]:
        """A value that JSON can represent."""
        return {**self._asdict(), "day": f"{self.day}", "modified": self.modified.isoformat()}


class FlatFilesFound(NamedTuple):
    """The tables of several sessions, in order: those that can be read, and why the others cannot."""

    files: dict[date, FlatFile]
    unreadable: dict[date, LakeError]


@dataclass(frozen=True)
class FlatBarsStore:
    """The flat files of a lake. A table that was proved once is not read again to prove it, unless it changes."""

    lake: Lake
    _proven: dict[Path, tuple[int, int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def path(self, day: date) -> Path:
        """The table of a session."""
        return self.lake.flat_bars / f"{day:%Y-%m-%d}{_SUFFIX}"

    def days(self) -> list[date]:
        """The sessions with a table, in order; opens none."""
        return [day for day, _ in self._listed()]

    def files(self, first: date = date.min, last: date = date.max) -> FlatFilesFound:
        """What the tables of the sessions from `first` to `last` were made of; reads their footers."""
        found = FlatFilesFound({}, {})
        for day, path in self._listed():
            if first <= day <= last:
                try:
                    found.files[day] = self._file(path)
                except LakeError as error:
                    found.unreadable[day] = error
        return found

    def file(self, day: date) -> FlatFile | None:
        """The same of one session; None where it has no table.

        Raises:
            LakeError: it cannot be read.
        """
        path = self.path(day)
        return self._file(path) if is_stored(path) else None

    def publish(self, file: FlatFile, rows: FlatDay) -> None:
        """Publish the rows of a file; rejected rows go to the quarantine first, where they replace earlier ones.

        Raises:
            LakeError: the disk refuses.
        """
        path = self.path(file.day)
        aside = self.lake.quarantine_path(path)
        if rows.rejected.height or is_stored(aside):
            publish_frame(aside, rows.rejected.match_to_schema(QUARANTINED_BARS), below=self.lake.root)
        publish_frame(
            path,
            rows.bars.match_to_schema(FLAT_BARS),
            file.as_json(),
            below=self.lake.root,
            rows_per_group=ROWS_PER_GROUP,
        )

    def read(self, symbols: Collection[str], days: Collection[date]) -> pl.DataFrame:
        """The bars (BARS, vwap null) of `symbols` in sessions that have a table, as the vendor served them.

        Sorted by symbol and timestamp. Rejected rows of the symbols are among them, except those of another day than
        their file: rows of a symbol are judged together. One scan, which skips the row groups of other symbols.

        Raises:
            LakeError: a table is damaged or cannot be read.
        """
        files = [self.path(day) for day in sorted(days)]
        if not files or not symbols:
            return BARS.to_frame()
        for day in days:
            self.prove(day)
        wanted = sorted(symbols)
        within = pl.col("symbol").is_between(pl.lit(wanted[0]), pl.lit(wanted[-1])) & pl.col("symbol").is_in(wanted)
        with naming_damaged(files, self.lake.flat_bars, FLAT_BARS):
            rows = pl.scan_parquet(files, hive_partitioning=False, glob=False, schema=FLAT_BARS)
            bars = rows.filter(within).collect(engine="streaming").sort("symbol", "timestamp", maintain_order=True)
        return as_served(bars, pl.concat([QUARANTINED_BARS.to_frame(), *self._rejected(wanted, files)]))

    def scan(self, day: date) -> pl.LazyFrame:
        """The usable bars (FLAT_BARS) of a session with a table, sorted by symbol and timestamp.

        Raises:
            LakeError: the table is damaged.
        """
        self.prove(day)
        return pl.scan_parquet(self.path(day), hive_partitioning=False, glob=False, schema=FLAT_BARS)

    def set_aside_damaged(self, day: date) -> str | None:
        """Move a damaged table to the quarantine; returns the reason, None where it is intact or missing.

        Raises:
            LakeError: the disk refuses.
        """
        path = self.path(day)
        if not is_stored(path) or not is_damaged(path):
            return None
        set_aside(self.lake, path, DAMAGE)
        return DAMAGE

    def lock(self, day: date) -> Any:  # noqa: ANN401 -- a context manager
        """The exclusive lock on what is downloaded and made of a session; processes wait for one another.

        Raises:
            LakeError: the disk refuses.
        """
        return exclusive_lock(self.lake.locks / f"flat_{day.day:02}.lock", below=self.lake.root)

    def _listed(self) -> list[tuple[date, Path]]:
        paths = {path.stem: path for path in list_paths(self.lake.flat_bars, f"*{_SUFFIX}")}
        named = {_day(name): path for name, path in paths.items() if not name.startswith(".")}
        return sorted((day, path) for day, path in named.items() if day is not None)

    def _file(self, path: Path) -> FlatFile:
        stored = provenance_of(path)
        try:
            found = FlatFile.from_json(stored or {})
        except (KeyError, TypeError, ValueError) as error:
            fault = "its footer does not name the file that it was made of"
            raise LakeError(f"{path}: {fault}. {how_to_restore(path)}", path).with_facts(fault) from error
        if f"{found.day}" != path.stem:
            fault = f"has bars of {found.day}"
            raise LakeError(f"{path}: {fault}. {how_to_restore(path)}", path).with_facts(fault)
        return found

    def prove(self, day: date) -> None:
        """Make sure that the table of a session is not damaged; it is read once by this store.

        Raises:
            LakeError: it is, or it cannot be read.
        """
        path = self.path(day)
        with disk_errors("read", path):
            state = path.stat()
        mark = FileState(state.st_size, state.st_mtime_ns)
        if self._proven.get(path) != mark:
            prove(path)
            self._proven[path] = mark

    def _rejected(self, symbols: Collection[str], files: Collection[Path]) -> Iterator[pl.DataFrame]:
        """The rejected rows of symbols; a damaged file of them is set aside: nothing is made of it."""
        for path in map(self.lake.quarantine_path, files):
            if is_stored(path) and is_damaged(path):
                set_aside(self.lake, path, DAMAGE)
            elif is_stored(path):
                with disk_errors("read", path):
                    rows = pl.read_parquet(path, hive_partitioning=False, glob=False)
                    yield rows.filter(pl.col("symbol").is_in(list(symbols))).match_to_schema(QUARANTINED_BARS)


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None
