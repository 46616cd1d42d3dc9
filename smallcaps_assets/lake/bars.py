"""Minute bars: one file per symbol and ET month, whose footer names the sessions it covers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType

import polars as pl

from smallcaps_assets.domain.bars.checks import SESSION_BARS
from smallcaps_assets.domain.imports.conflicts import MINUTES_COMPARED, compare_bars, count_differing_minutes
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bar_files.import_records import (
    IMPORTS,
    CompleteImport,
    ImportRecord,
    complete_imports,
)
from smallcaps_assets.lake.bar_files.listed import MonthFiles, month_path, month_paths, open_unknown
from smallcaps_assets.lake.bar_files.merging import ChangingMonth, Merged
from smallcaps_assets.lake.bar_files.month_files import (
    DAY,
    combine_fingerprints,
    count_bars,
    fault_of_month,
    month_provenance,
    parse_sessions,
    read_fingerprints,
    read_month,
)
from smallcaps_assets.lake.bar_files.months import MonthCoverage
from smallcaps_assets.lake.bar_files.quarantine import BarQuarantine
from smallcaps_assets.lake.bar_files.reading import load_bars, read_bars_between, read_regular_minutes, scan_bars
from smallcaps_assets.lake.bar_files.renewal import PublishedSessions, renew_months
from smallcaps_assets.lake.files.damaged_files import set_aside
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.locks import symbol_lock
from smallcaps_assets.lake.files.stored_tables import prove
from smallcaps_assets.lake.flat_bars.origins import FlatOrigin, FlatOrigins, read_origins
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.symbol_paths import names_symbol, symbol_of


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
        path = month_path(self.lake.bars(symbol), session)
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
        return renew_months(self.lake, symbol, self._files(symbol))

    def prove(self, symbol: str, month: date) -> None:
        """Make sure that the file of an ET month, if there is one, is not damaged.

        Raises:
            LakeError: it is, or it cannot be read.
        """
        path = month_path(self.lake.bars(symbol), month)
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
        return open_unknown(self.lake.bars(symbol), known)

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
        months = sessions["date"].dt.strftime("%Y-%m").unique().to_list()
        return read_regular_minutes(self._files_of(self.symbols(), months), self.lake.minute_bars, sessions)

    def scan(
        self, symbols: Collection[str], columns: Collection[str], months: Collection[str] | None = None
    ) -> pl.LazyFrame:
        """Some columns of the bars of `symbols`, of all months or of `months` (`YYYY-MM`)."""
        return scan_bars(self._files_of(symbols, months), columns)

    def load(
        self, symbols: Collection[str], columns: Collection[str], months: Collection[str] | None = None
    ) -> pl.DataFrame:
        """What `scan` returns, read.

        Raises:
            LakeError: a file cannot be read; names it.
        """
        return load_bars(self._files_of(symbols, months), columns, self.lake.minute_bars)

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
        files = [path for symbol in symbols for path in month_paths(self.lake.bars(symbol), first, last)]
        folder = self.lake.bars(symbols[0]) if len(symbols) == 1 else self.lake.minute_bars
        return read_bars_between(files, columns, folder, first, last)

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
            here = self._changing(symbol, month)
            if sessions:
                BarQuarantine(self.lake).replace(symbol, month, sessions, rejected)
            here.replace_sessions(sessions, bars, origins)

    def flat_origins(self, symbol: str) -> FlatOrigins:
        """What flat files have to do with the sessions of `symbol`; reads footers only."""
        footers = map(month_provenance, self._files(symbol))
        return {day: one for footer in footers for day, one in read_origins(footer).items()}

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
            return self._changing(symbol, month).merge(bars, covers, import_record, replace=replace)

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

    def _changing(self, symbol: str, month: date) -> ChangingMonth:
        path = month_path(self.lake.bars(symbol), month)
        return ChangingMonth(path, symbol, read_month(path), below=self.lake.root)

    def _files_of(self, symbols: Collection[str], months: Collection[str] | None) -> list[Path]:
        paths = (path for symbol in symbols for path in self._files(symbol))
        return [path for path in paths if months is None or path.stem in months]

    def _files(self, symbol: str) -> list[Path]:
        return month_paths(self.lake.bars(symbol))
