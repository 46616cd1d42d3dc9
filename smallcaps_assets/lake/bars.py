"""Minute bars: one file per symbol and ET month, whose footer names the sessions it covers."""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.checks import SESSION_BARS
from smallcaps_assets.domain.bars.quality import bar_problems
from smallcaps_assets.domain.bars.unknown import all_known
from smallcaps_assets.domain.imports.conflicts import MINUTES_COMPARED, compare_bars, count_differing_minutes
from smallcaps_assets.domain.sessions import midnight
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.import_records import (
    IMPORTS,
    CompleteImport,
    ImportRecord,
    Imports,
    complete_imports,
    imported_days,
)
from smallcaps_assets.lake.bar_files.month_files import (
    DAY,
    NO_BARS,
    PublishedMonth,
    combine_fingerprints,
    count_bars,
    fault_of_month,
    fingerprint_sessions,
    is_of_earlier_release,
    month_footer,
    month_provenance,
    parse_sessions,
    publish_month,
    read_fingerprints,
    read_month,
    scan_months,
)
from smallcaps_assets.lake.bar_files.months import FileState, MonthCoverage
from smallcaps_assets.lake.bar_files.quarantine import BarQuarantine
from smallcaps_assets.lake.files.content_hash import content_sha256
from smallcaps_assets.lake.files.damaged_files import set_aside
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.locks import symbol_lock
from smallcaps_assets.lake.files.misplaced import file_in_the_way
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.files.stored_tables import naming_damaged, prove
from smallcaps_assets.lake.flat_bars.origins import FlatOrigin, FlatOrigins, read_origins
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.symbol_paths import names_symbol, symbol_of

_SUFFIX: Final = ".parquet"
# the coarsest clock of a file system
TICK_NS: Final = 2_000_000_000


class Merged(NamedTuple):
    """Result of merging bars into a month: numbers of new minutes, of equal ones and of differing ones.

    `filled` counts equal minutes whose null vwap or transactions were filled in. `fingerprints` are those of the merged
    sessions, as published now.
    """

    new: int
    equal: int
    differing: int
    filled: int
    covered: int  # sessions that were not covered before
    fingerprints: dict[date, str]


class PublishedSessions(NamedTuple):
    """The published sessions of a symbol.

    Attributes:
        fingerprints: of the bars of each.
        origins: what flat files have to do with some of them.
        imported: those with imported bars.
    """

    fingerprints: dict[date, str]
    origins: FlatOrigins
    imported: set[date]


class MonthFile(NamedTuple):
    """A file of bars as it looks now, and the fingerprints of the sessions it covers.

    `state` is None of a file that was changed so recently that a later version could have the same state.
    """

    state: FileState | None
    fingerprints: dict[date, str]


class MonthFiles(NamedTuple):
    """The files of a symbol by their names (`YYYY-MM`): those that look as they are known, and what the others are."""

    same: list[str]
    opened: dict[str, MonthFile]


@dataclass(frozen=True)
class BarsStore:
    """The minute bars of a lake. A session without any bar is covered as well once it was fetched.

    Earlier releases stored 0 or -1 where a number of transactions or a vwap is not known: such values are read as null.
    They stay in the files, and so do the fingerprints, until other bars of their minutes are published.
    """

    lake: Lake

    def covered(self, symbol: str) -> set[date]:
        """The published sessions of `symbol`, with or without bars."""
        return {day for path in self._files(symbol) for day in read_fingerprints(path)}

    def covers(self, symbol: str, session: date) -> bool:
        """Whether a session of `symbol` is published; reads at most one footer."""
        path = self.lake.bars(symbol) / f"{session:%Y-%m}.parquet"
        return path.is_file() and session in read_fingerprints(path)

    def renew(self, symbol: str) -> dict[date, str]:
        """Rewrite the files of earlier releases as they are written now; returns the `fingerprints`, which stay.

        Raises:
            LakeError: a file cannot be read, or one of an earlier release is damaged.
        """
        return self.renew_sessions(symbol).fingerprints

    def renew_sessions(self, symbol: str) -> PublishedSessions:
        """The same; returns as well what flat files and imports have to do with the sessions.

        Raises:
            LakeError: see `renew`.
        """
        footers = {path: month_footer(path) for path in self._files(symbol)}
        older = [path for path, footer in footers.items() if is_of_earlier_release(footer) or not _is_hashed(path)]
        found = {
            day: mark
            for path, footer in footers.items()
            if footer and path not in older
            for day, mark in parse_sessions(footer["sessions"]).items()
        }
        for path in older:
            with symbol_lock(self.lake, symbol):
                month = read_month(path)
                publish_month(path, symbol, month, below=self.lake.root)
            found |= month.sessions
        whole = [footer for footer in footers.values() if footer]
        origins = {day: one for footer in whole for day, one in read_origins(footer).items()}
        imported = {day for footer in whole for day in imported_days(footer.get(IMPORTS, {}))}
        return PublishedSessions(found, origins, imported)

    def prove(self, symbol: str, month: date) -> None:
        """Make sure that the file of an ET month, if there is one, is not damaged.

        Raises:
            LakeError: it is, or it cannot be read.
        """
        path = self.lake.bars(symbol) / f"{month:%Y-%m}{_SUFFIX}"
        if path.is_file():
            prove(path)

    def set_aside_damaged(self, symbol: str) -> dict[str, str]:
        """Move month files that cannot be used to the quarantine, so that their sessions are no longer published.

        Returns the reason for each, by its name (`YYYY-MM`). Reads all files of the symbol.

        Raises:
            LakeError: the disk refuses.
        """
        reasons = {}
        with symbol_lock(self.lake, symbol):
            for path in self._files(symbol):
                reason = fault_of_month(path)
                if reason is not None:
                    set_aside(self.lake, path, reason)
                    reasons[path.stem] = reason
        return reasons

    def fingerprints(self, symbol: str) -> dict[date, str]:
        """Fingerprint of the bars of each published session."""
        return {day: mark for path in self._files(symbol) for day, mark in read_fingerprints(path).items()}

    def months(self, symbol: str, known: Mapping[str, MonthCoverage]) -> MonthFiles:
        """What the files of `symbol` cover; those that look as they are `known` are not opened."""
        folder = self.lake.bars(symbol)
        with disk_errors("read", folder):
            states = {file.name.removesuffix(_SUFFIX): FileState.of(file) for file in self._listed(symbol)}
        same = [name for name, state in states.items() if name in known and known[name].state == state]
        still = time.time_ns() - TICK_NS
        opened = {
            name: MonthFile(
                states[name] if states[name].modified_ns < still else None,
                read_fingerprints(folder / f"{name}{_SUFFIX}"),
            )
            for name in states.keys() - same
        }
        return MonthFiles(same, opened)

    def version(self, symbol: str) -> str:
        """Fingerprint of all bars of `symbol`; reads footers only."""
        return combine_fingerprints(self.fingerprints(symbol))

    def session_bars(self, symbols: Collection[str]) -> pl.DataFrame:
        """Number of bars of each session of `symbols` (SESSION_BARS); reads footers only."""
        frames = [SESSION_BARS.to_frame()]
        for symbol in symbols:
            fingerprints = self.fingerprints(symbol)
            counts = pl.DataFrame({"day": list(fingerprints), "bars": list(map(count_bars, fingerprints.values()))})
            frames.append(
                counts.select(symbol=pl.lit(symbol), day=pl.col("day").cast(pl.Date), bars="bars").cast(SESSION_BARS)
            )
        return pl.concat(frames)

    def regular_minutes(self, sessions: pl.DataFrame) -> pl.DataFrame:
        """`symbol` and `timestamp` of the bars of all symbols in regular hours of `sessions` (SESSION_TABLE)."""
        wanted = ("symbol", "timestamp")
        symbols, months = self.symbols(), sessions["date"].dt.strftime("%Y-%m").unique().to_list()
        with naming_damaged(self._files_of(symbols, months), self.lake.minute_bars, _stored(wanted)):
            bars = self.scan(symbols, wanted, months)
            inside = pl.col("timestamp").is_between(sessions["regular_open"].min(), sessions["regular_close"].max())
            bounds = sessions.lazy().select("date", "regular_open", "regular_close")
            regular = bars.filter(inside).join(bounds, left_on=DAY, right_on="date")
            regular = regular.filter(pl.col("timestamp").is_between("regular_open", "regular_close", closed="left"))
            return regular.select(*wanted).collect(engine="streaming")

    def scan(
        self, symbols: Collection[str], columns: Collection[str], months: Collection[str] | None = None
    ) -> pl.LazyFrame:
        """Some columns of the bars of `symbols`, of all months or of `months` (`YYYY-MM`)."""
        wanted = {name: BARS[name] for name in columns}
        files = self._files_of(symbols, months)
        if not files:
            return pl.LazyFrame(schema=wanted)
        return scan_months(files, columns, str(files[0])).with_columns(all_known(wanted))

    def load(
        self, symbols: Collection[str], columns: Collection[str], months: Collection[str] | None = None
    ) -> pl.DataFrame:
        """What `scan` returns, read.

        Raises:
            LakeError: a file cannot be read; names it.
        """
        files = self._files_of(symbols, months)
        with naming_damaged(files, self.lake.minute_bars, _stored(columns)):
            return self.scan(symbols, columns, months).collect()

    def symbols(self) -> list[str]:
        """Symbols with at least one month file, sorted."""
        names = (folder.name for folder in list_paths(self.lake.minute_bars, "symbol=*"))
        return sorted({symbol_of(name) for name in names if names_symbol(name)})

    def read(self, symbol: str, first: date | None = None, last: date | None = None) -> pl.DataFrame:
        """Bars (BARS) of the ET dates from `first` to `last`, both included, sorted by timestamp."""
        return self.read_together([symbol], first, last)

    def read_together(
        self,
        symbols: Sequence[str],
        first: date | None = None,
        last: date | None = None,
        columns: Collection[str] = tuple(BARS),
    ) -> pl.DataFrame:
        """`columns` of the bars of several symbols, symbol by symbol, each sorted by timestamp.

        One scan of all files, which is much faster than one read per symbol where each symbol has few bars.

        Args:
            symbols: the symbols, in the order of the result.
            first: the first ET date; no lower bound if None.
            last: the last ET date, included; no upper bound if None.
            columns: columns of BARS, including `symbol` and `timestamp`.
        """
        wanted = {name: BARS[name] for name in columns}
        since, until = (f"{day:%Y-%m}" if day else None for day in (first, last))
        files = [
            self.lake.bars(symbol) / file.name
            for symbol in symbols
            for file in sorted(self._listed(symbol), key=attrgetter("name"))
            if (since is None or file.name >= since) and (until is None or file.name <= f"{until}{_SUFFIX}")
        ]
        if not files:
            return pl.DataFrame(schema=wanted)
        folder = self.lake.bars(symbols[0]) if len(symbols) == 1 else self.lake.minute_bars
        with naming_damaged(files, folder, _stored(columns)):
            bars = scan_months(files, columns, str(files[0])).with_columns(all_known(wanted))
            if first is not None:
                bars = bars.filter(pl.col("timestamp") >= midnight(first))
            if last is not None:
                bars = bars.filter(pl.col("timestamp") < midnight(last + timedelta(days=1)))
            # with one chunk per file every later operation would run once per file
            found = bars.collect().rechunk()
        return _in_order(found)

    def add(  # noqa: PLR0913, PLR0917 -- what is published, and where it is from
        self,
        symbol: str,
        month: date,
        sessions: Collection[date],
        bars: pl.DataFrame,
        rejected: pl.DataFrame,
        origins: Mapping[date, FlatOrigin] = MappingProxyType({}),
    ) -> None:
        """Publish the vendor's bars of `sessions`, which all lie in the ET month of `month`.

        Bars of other published sessions stay; those of `sessions` are replaced. Rejected rows go to the quarantine
        first, so that a row is never lost between both. `origins` of sessions of the month are recorded; those of
        `sessions` without one are of no flat file. Holds the lock of the symbol.
        """
        with symbol_lock(self.lake, symbol):
            self._add(symbol, month, sessions, bars, rejected, origins)

    def flat_origins(self, symbol: str) -> FlatOrigins:
        """What flat files have to do with the sessions of `symbol`; reads footers only."""
        footers = map(month_provenance, self._files(symbol))
        return {day: one for footer in footers for day, one in read_origins(footer).items()}

    def _add(  # noqa: PLR0913, PLR0917 -- as `add`
        self,
        symbol: str,
        month: date,
        sessions: Collection[date],
        bars: pl.DataFrame,
        rejected: pl.DataFrame,
        origins: Mapping[date, FlatOrigin],
    ) -> None:
        path = self.lake.bars(symbol) / f"{month:%Y-%m}.parquet"
        new = DAY.is_in(list(sessions))
        here = read_month(path)
        kept = here.bars.filter(~new)
        known = {day: mark for day, mark in here.sessions.items() if day not in sessions}
        if sessions:
            BarQuarantine(self.lake).replace(symbol, month, sessions, rejected)
        fresh = bars.filter(new)
        others = {day: origin for day, origin in here.origins.items() if day not in sessions}
        marks = known | dict.fromkeys(sessions, NO_BARS) | fingerprint_sessions(fresh)
        self._publish(path, symbol, pl.concat([kept, fresh]), marks, here.imports, others | dict(origins))

    def merge(  # noqa: PLR0913 -- what to merge, and how
        self,
        symbol: str,
        month: date,
        bars: pl.DataFrame,
        *,
        covers: Collection[date] = (),
        replace: bool = False,
        import_record: ImportRecord | None = None,
        rejected: pl.DataFrame | None = None,
    ) -> Merged:
        """Merge imported bars of an ET month into the published ones, minute by minute.

        A published bar stays; with `replace` an imported bar that differs replaces it. Of two bars that agree, null
        vwap and transactions are filled in from the other. The sessions of `bars` and of `covers`, all in the same
        month, are covered afterwards. A file without changes is not written again. Holds the lock of the symbol.

        Args:
            symbol: the symbol.
            month: the first day of the month.
            bars: BARS, unique by timestamp.
            covers: sessions that count as covered even without bars.
            replace: whether the imported one of two differing bars is kept.
            import_record: the import, recorded in the footer.
            rejected: rows (QUARANTINED_BARS) of the month for the quarantine; rows in the quarantine whose minute has a
                good bar now leave it.
        """
        with symbol_lock(self.lake, symbol):
            if rejected is not None:
                BarQuarantine(self.lake).add(symbol, month, rejected)
                BarQuarantine(self.lake).release(symbol, month, bars, rejected)
            return self._merge(symbol, month, bars, covers, import_record, replace=replace)

    def _merge(  # noqa: PLR0913
        self,
        symbol: str,
        month: date,
        bars: pl.DataFrame,
        covers: Collection[date],
        import_record: ImportRecord | None,
        *,
        replace: bool,
    ) -> Merged:
        path = self.lake.bars(symbol) / f"{month:%Y-%m}.parquet"
        here = read_month(path)
        found = compare_bars(here.bars, bars)
        days = set(bars.select(DAY.unique()).to_series())
        uncovered = (days | set(covers)) - here.sessions.keys()
        changed = pl.concat([found.filled, found.differing]) if replace else found.filled
        fresh = pl.concat([found.new, changed])
        kept = here.bars if changed.is_empty() else here.bars.join(changed, on="timestamp", how="anti")
        stored = pl.concat([kept, fresh])
        merged = fingerprint_sessions(stored.filter(DAY.is_in(list(days))))
        imports = here.imports if import_record is None else here.imports | import_record.record(merged)
        if fresh.height or uncovered or imports != here.imports:
            marks = dict.fromkeys(uncovered, NO_BARS) | here.sessions | merged
            # sessions with other bars than the file's are no longer its
            origins = {day: one for day, one in here.origins.items() if marks.get(day) == here.sessions.get(day)}
            self._publish(path, symbol, stored, marks, imports, origins)
        return Merged(
            found.new.height, found.equal, found.differing.height, found.filled.height, len(uncovered), merged
        )

    def agreement(self, symbol: str, bars: pl.DataFrame) -> pl.DataFrame:
        """Count minutes of `bars` (BARS, unique by timestamp) with a published bar, and those that differ.

        Returns MINUTES_COMPARED; sessions without such a minute are left out.
        """
        if not self._files(symbol) or bars.is_empty():
            return MINUTES_COMPARED.to_frame()
        days = bars.select(first=DAY.min(), last=DAY.max()).row(0)
        here = self.read(symbol, *days)
        both = bars.join(here.select("timestamp"), on="timestamp", how="semi")
        other = compare_bars(here, bars).differing.select("timestamp", differs=pl.lit(1))
        return count_differing_minutes(both.join(other, on="timestamp", how="left"), pl.col("differs").is_not_null())

    def imports(self, symbol: str) -> set[CompleteImport]:
        """The imports whose bars of `symbol` are all still published."""
        files = [month_provenance(path) for path in self._files(symbol)]
        marks = {day: mark for file in files for day, mark in parse_sessions(file["sessions"]).items()}
        return {found for file in files for found in complete_imports(file.get(IMPORTS, {}), marks)}

    def quarantine(self, symbol: str | None, rejected: pl.DataFrame, good: pl.DataFrame | None = None) -> None:
        """Add rows (QUARANTINED_BARS) without a month or without a symbol; `good` are bars of the same files."""
        with symbol_lock(self.lake, symbol or ""):
            quarantine = BarQuarantine(self.lake)
            quarantine.add(symbol, None, rejected)
            if symbol is not None and good is not None:
                quarantine.release(symbol, None, good, rejected)

    def _publish(  # noqa: PLR0913, PLR0917 -- the contents of a month file
        self,
        path: Path,
        symbol: str,
        bars: pl.DataFrame,
        marks: Mapping[date, str],
        imports: Imports,
        origins: Mapping[date, FlatOrigin],
    ) -> None:
        stored = bars.sort("timestamp")
        problems = bar_problems(stored, symbol)
        if problems:
            raise LakeError(
                f"{path}: {'; '.join(problems)}, so nothing was published. Remove the file if it exists, and "
                f"materialize minute_bars of {symbol} again.",
                path,
            )
        publish_month(path, symbol, PublishedMonth(stored, dict(marks), imports, origins), below=self.lake.root)

    def _files_of(self, symbols: Collection[str], months: Collection[str] | None) -> list[Path]:
        paths = (path for symbol in symbols for path in self._files(symbol))
        return [path for path in paths if months is None or path.stem in months]

    def _files(self, symbol: str) -> list[Path]:
        folder = self.lake.bars(symbol)
        return [folder / file.name for file in sorted(self._listed(symbol), key=attrgetter("name"))]

    def _listed(self, symbol: str) -> list[os.DirEntry[str]]:
        """The month files of `symbol`, in any order."""
        folder = self.lake.bars(symbol)
        with disk_errors("read", folder):
            try:
                with os.scandir(folder) as files:
                    return [file for file in files if file.name.endswith(_SUFFIX) and not file.name.startswith(".")]
            except FileNotFoundError:
                return []
            except NotADirectoryError as error:
                raise file_in_the_way(folder) from error


def _stored(columns: Collection[str]) -> dict[str, pl.DataType]:
    """Those of `columns` (of BARS) that are in month files, with their types."""
    return {name: BARS[name] for name in columns if name != "symbol"}


def _is_hashed(path: Path) -> bool:
    """Whether a file carries the hash of its content."""
    with disk_errors("read", path):
        return content_sha256(path) is not None


def _in_order(bars: pl.DataFrame) -> pl.DataFrame:
    """`bars` sorted by symbol and timestamp; our files are sorted already, copied files may not be."""
    if bars["timestamp"].is_sorted():
        return bars
    timestamp, symbol = pl.col("timestamp"), pl.col("symbol")
    is_unsorted = (timestamp < timestamp.shift(1)) & (symbol == symbol.shift(1))
    if not bars.select(is_unsorted.any()).item():
        return bars
    return bars.sort("symbol", "timestamp", maintain_order=True)
