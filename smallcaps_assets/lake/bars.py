"""Minute bars: one file per symbol and ET month, whose footer names the sessions it covers."""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.checks import SESSION_BARS
from smallcaps_assets.domain.bars.quality import bar_problems
from smallcaps_assets.domain.imports.conflicts import MINUTES_COMPARED, compare_bars, count_differing_minutes
from smallcaps_assets.domain.sessions import midnight, new_york_date
from smallcaps_assets.domain.tables import BARS, match_columns
from smallcaps_assets.domain.versions import digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.import_records import IMPORTS, CompleteImport, ImportRecord, Imports, complete_imports
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.locks import symbol_lock
from smallcaps_assets.lake.months import FileState, MonthCoverage
from smallcaps_assets.lake.publish import disk_errors, provenance_of, publish_frame
from smallcaps_assets.lake.quarantine import BarQuarantine

_SUFFIX: Final = ".parquet"
# the coarsest clock of a file system
TICK_NS: Final = 2_000_000_000
DAY = new_york_date(pl.col("timestamp"))


class Merged(NamedTuple):
    """What merging bars into a month did: how many minutes were new, were there and agreed, and were there and not.

    `filled` are those of the equal ones that lacked vwap or transactions and have them now. `fingerprints` are those of
    the sessions that the bars are of, as they are now.
    """

    new: int
    equal: int
    differing: int
    filled: int
    covered: int  # sessions that were not covered before
    fingerprints: dict[date, str]


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
    """The minute bars of a lake. A session without a single bar is covered as well, once it was asked for."""

    lake: Lake

    def covered(self, symbol: str) -> set[date]:
        """The sessions of `symbol` that are here, whether they have bars or not."""
        return {day for path in self._files(symbol) for day in _sessions_of(path)}

    def covers(self, symbol: str, session: date) -> bool:
        """Whether one session of `symbol` is here; reads one footer at most."""
        path = self.lake.bars(symbol) / f"{session:%Y-%m}.parquet"
        return path.is_file() and session in _sessions_of(path)

    def fingerprints(self, symbol: str) -> dict[date, str]:
        """What tells one version of a session's bars from another, by session."""
        return {day: mark for path in self._files(symbol) for day, mark in _sessions_of(path).items()}

    def months(self, symbol: str, known: Mapping[str, MonthCoverage]) -> MonthFiles:
        """What the files of `symbol` cover; those that look as they are `known` are not opened."""
        folder = self.lake.bars(symbol)
        with disk_errors("read", folder):
            states = {file.name.removesuffix(_SUFFIX): FileState.of(file) for file in self._listed(symbol)}
        same = [name for name, state in states.items() if name in known and known[name].state == state]
        still = time.time_ns() - TICK_NS
        opened = {
            name: MonthFile(
                states[name] if states[name].modified_ns < still else None, _sessions_of(folder / f"{name}{_SUFFIX}")
            )
            for name in states.keys() - same
        }
        return MonthFiles(same, opened)

    def version(self, symbol: str) -> str:
        """What tells the bars of `symbol` from others; reads footers only."""
        return version_of(self.fingerprints(symbol))

    def session_bars(self, symbols: Collection[str]) -> pl.DataFrame:
        """How many bars each session of `symbols` has (SESSION_BARS); reads footers only."""
        frames = [SESSION_BARS.to_frame()]
        for symbol in symbols:
            marks = self.fingerprints(symbol)
            own = pl.DataFrame({"day": list(marks), "bars": [bars_counted(mark) for mark in marks.values()]})
            frames.append(
                own.select(symbol=pl.lit(symbol), day=pl.col("day").cast(pl.Date), bars="bars").cast(SESSION_BARS)
            )
        return pl.concat(frames)

    def regular_minutes(self, sessions: pl.DataFrame) -> pl.DataFrame:
        """`symbol` and `timestamp` of the bars of all symbols in regular hours of `sessions` (SESSION_TABLE)."""
        wanted = ("symbol", "timestamp")
        with disk_errors("read", self.lake.minute_bars):
            bars = self.scan(self.symbols(), wanted, sessions["date"].dt.strftime("%Y-%m").unique().to_list())
            inside = pl.col("timestamp").is_between(sessions["regular_open"].min(), sessions["regular_close"].max())
            bounds = sessions.lazy().select("date", "regular_open", "regular_close")
            regular = bars.filter(inside).join(bounds, left_on=DAY, right_on="date")
            regular = regular.filter(pl.col("timestamp").is_between("regular_open", "regular_close", closed="left"))
            return regular.select(*wanted).collect(engine="streaming")

    def scan(
        self, symbols: Collection[str], columns: Collection[str], months: Collection[str] | None = None
    ) -> pl.LazyFrame:
        """Some columns of the bars of `symbols`, of all months or of those named as their files are."""
        wanted = {name: BARS[name] for name in columns}
        paths = (path for symbol in symbols for path in self._files(symbol))
        files = [path for path in paths if months is None or path.stem in months]
        if not files:
            return pl.LazyFrame(schema=wanted)
        return match_columns(pl.scan_parquet(files, hive_partitioning=False), wanted, str(self.lake.minute_bars))

    def symbols(self) -> list[str]:
        """Symbols with at least one month file, sorted."""
        folders = self.lake.minute_bars.glob("symbol=*")
        return sorted(folder.name.removeprefix("symbol=") for folder in folders)

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
        """`columns` of the bars of several symbols, one symbol after the other, each sorted by timestamp.

        Read in one go, which takes far less time than one symbol after the other where there is little of each.

        Args:
            symbols: whose bars.
            first: the first ET date, the earliest there is if not given.
            last: the last ET date, the latest there is if not given.
            columns: of BARS, `symbol` and `timestamp` among them.
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
        what = f"bars of {symbols[0] if len(symbols) == 1 else f'{len(symbols):,} symbols'} in {files[0].parent}"
        bars = match_columns(pl.scan_parquet(files, hive_partitioning=False), wanted, what)
        if first is not None:
            bars = bars.filter(pl.col("timestamp") >= midnight(first))
        if last is not None:
            bars = bars.filter(pl.col("timestamp") < midnight(last + timedelta(days=1)))
        with disk_errors("read", self.lake.bars(symbols[0]) if len(symbols) == 1 else self.lake.minute_bars):
            # a chunk per file would make every later step a step per file
            found = bars.collect().rechunk()
        return _in_order(found)

    def add(
        self, symbol: str, month: date, sessions: Collection[date], bars: pl.DataFrame, refused: pl.DataFrame
    ) -> None:
        """Store what the vendor gave for `sessions`, which all lie in the ET month of `month`.

        Bars of sessions that are here already stay as they are; those of `sessions` are replaced. Refused rows go to
        the quarantine first, so that a bar is never in neither place. Nobody else changes the symbol meanwhile.
        """
        with symbol_lock(self.lake, symbol):
            self._add(symbol, month, sessions, bars, refused)

    def _add(
        self, symbol: str, month: date, sessions: Collection[date], bars: pl.DataFrame, refused: pl.DataFrame
    ) -> None:
        path = self.lake.bars(symbol) / f"{month:%Y-%m}.parquet"
        new = DAY.is_in(list(sessions))
        here = _month(path)
        kept = here.bars.filter(~new)
        known = {day: mark for day, mark in here.sessions.items() if day not in sessions}
        BarQuarantine(self.lake).replace(symbol, month, sessions, refused)
        fresh = bars.filter(new)
        marks = known | dict.fromkeys(sessions, _no_bars()) | _fingerprints(fresh)
        self._publish(path, symbol, pl.concat([kept, fresh]), marks, here.imports)

    def merge(  # noqa: PLR0913 -- what to merge, and how
        self,
        symbol: str,
        month: date,
        bars: pl.DataFrame,
        *,
        covers: Collection[date] = (),
        replace: bool = False,
        adoption: ImportRecord | None = None,
        refused: pl.DataFrame | None = None,
    ) -> Merged:
        """Merge bars of an ET month from elsewhere into what is here, minute by minute.

        A minute that is here stays; with `replace` it is replaced where the bar differs in what both of them say. What
        only one of two bars that agree says of vwap and transactions is kept.
        Their sessions are covered from now on, and those of `covers`, all in the same month, as well. A file in which
        nothing changes is not written again. Nobody else changes the symbol meanwhile.

        Args:
            symbol: whose bars.
            month: its first day.
            bars: BARS, unique by timestamp.
            covers: sessions that are covered although they may have no bars.
            replace: which of two bars that differ is kept.
            adoption: the import, to be remembered here as done.
            refused: rows (QUARANTINED_BARS) of the month that came with them and go to the quarantine; what is there
                of minutes that have a good bar now leaves it.
        """
        with symbol_lock(self.lake, symbol):
            if refused is not None:
                BarQuarantine(self.lake).add(symbol, month, refused)
                BarQuarantine(self.lake).relieve(symbol, month, bars, refused)
            return self._merge(symbol, month, bars, covers, adoption, replace=replace)

    def _merge(  # noqa: PLR0913
        self,
        symbol: str,
        month: date,
        bars: pl.DataFrame,
        covers: Collection[date],
        adoption: ImportRecord | None,
        *,
        replace: bool,
    ) -> Merged:
        path = self.lake.bars(symbol) / f"{month:%Y-%m}.parquet"
        here = _month(path)
        found = compare_bars(here.bars, bars)
        days = set(bars.select(DAY.unique()).to_series())
        uncovered = (days | set(covers)) - here.sessions.keys()
        changed = pl.concat([found.filled, found.differing]) if replace else found.filled
        fresh = pl.concat([found.new, changed])
        kept = here.bars if changed.is_empty() else here.bars.join(changed, on="timestamp", how="anti")
        stored = pl.concat([kept, fresh])
        own = _fingerprints(stored.filter(DAY.is_in(list(days))))
        imports = here.imports if adoption is None else here.imports | adoption.record(own)
        if fresh.height or uncovered or imports != here.imports:
            marks = dict.fromkeys(uncovered, _no_bars()) | here.sessions | own
            self._publish(path, symbol, stored, marks, imports)
        return Merged(found.new.height, found.equal, found.differing.height, found.filled.height, len(uncovered), own)

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
        """The imports whose bars of `symbol` are all still here."""
        files = [_provenance(path) for path in self._files(symbol)]
        marks = {day: mark for file in files for day, mark in _dated(file["sessions"]).items()}
        return {found for file in files for found in complete_imports(file.get(IMPORTS, {}), marks)}

    def refuse(self, symbol: str | None, refused: pl.DataFrame, good: pl.DataFrame | None = None) -> None:
        """Put rows (QUARANTINED_BARS) that tell no month, or no symbol, into quarantine; `good` came with them."""
        with symbol_lock(self.lake, symbol or ""):
            quarantine = BarQuarantine(self.lake)
            quarantine.add(symbol, None, refused)
            if symbol is not None and good is not None:
                quarantine.relieve(symbol, None, good, refused)

    def _publish(
        self, path: Path, symbol: str, bars: pl.DataFrame, marks: Mapping[date, str], imports: Imports
    ) -> None:
        stored = bars.sort("timestamp")
        problems = bar_problems(stored, symbol)
        if problems:
            raise LakeError(
                f"{path}: {'; '.join(problems)}, so nothing was published. Remove the file if it is there, and "
                f"materialize minute_bars of {symbol} again."
            )
        sessions = {f"{day:%Y-%m-%d}": marks[day] for day in sorted(marks)}
        publish_frame(path, stored, {"sessions": sessions} | ({IMPORTS: imports} if imports else {}))

    def _files(self, symbol: str) -> list[Path]:
        folder = self.lake.bars(symbol)
        return [folder / file.name for file in sorted(self._listed(symbol), key=attrgetter("name"))]

    def _listed(self, symbol: str) -> list[os.DirEntry[str]]:
        """The month files of `symbol`, in any order."""
        try:
            with os.scandir(self.lake.bars(symbol)) as files:
                return [file for file in files if file.name.endswith(_SUFFIX) and not file.name.startswith(".")]
        except FileNotFoundError:
            return []


def _in_order(bars: pl.DataFrame) -> pl.DataFrame:
    """`bars` as they are where they are sorted, which our own files are; files from elsewhere may not be."""
    if bars["timestamp"].is_sorted():
        return bars
    timestamp, symbol = pl.col("timestamp"), pl.col("symbol")
    turns_back = (timestamp < timestamp.shift(1)) & (symbol == symbol.shift(1))
    if not bars.select(turns_back.any()).item():
        return bars
    return bars.sort("symbol", "timestamp", maintain_order=True)


class _Month(NamedTuple):
    """What a month file holds."""

    bars: pl.DataFrame
    sessions: dict[date, str]
    imports: Imports


def _month(path: Path) -> _Month:
    """A month file; empty where there is none."""
    if not path.is_file():
        return _Month(BARS.to_frame(), {}, {})
    with disk_errors("read", path):
        bars = pl.read_parquet(path, hive_partitioning=False)
    return _Month(bars, _sessions_of(path), _provenance(path).get(IMPORTS, {}))


def _provenance(path: Path) -> dict[str, Any]:
    return provenance_of(path) or {"sessions": {}}


def _sessions_of(path: Path) -> dict[date, str]:
    """Covered sessions and fingerprints of a month file; of a file from elsewhere, the dates it has bars on."""
    provenance = provenance_of(path)
    if provenance is not None:
        return _dated(provenance["sessions"])
    with disk_errors("read", path):
        return _fingerprints(pl.read_parquet(path, hive_partitioning=False))


def _dated(sessions: Mapping[str, str]) -> dict[date, str]:
    return {date.fromisoformat(day): mark for day, mark in sessions.items()}


def version_of(fingerprints: Mapping[date, str]) -> str:
    """What tells the bars of a symbol from others, from the fingerprints of its sessions."""
    return digest(f"{day} {fingerprints[day]}" for day in sorted(fingerprints))


def bars_counted(mark: str) -> int:
    """How many bars a session has, from its fingerprint."""
    return int(mark.partition("-")[0])


def _no_bars() -> str:
    return "0-0000000000000000"


def _fingerprints(bars: pl.DataFrame) -> dict[date, str]:
    """Number of bars and a digest of their values; sums of bit patterns, so that they outlast versions of Polars."""
    bits = [
        pl.col(name).reinterpret(dtype=pl.Int64).fill_null(weight) * (2 * weight + 1)
        for weight, name in enumerate(("open", "high", "low", "close", "volume"), start=1)
    ]
    minute = pl.col("timestamp").dt.epoch("us") // 60_000_000
    digest = (pl.sum_horizontal(*bits, pl.col("transactions").fill_null(-1)) * minute).sum()
    marks = bars.group_by(day=DAY).agg(rows=pl.len(), digest=digest.reinterpret(signed=False))
    return {day: f"{rows}-{digest:016x}" for day, rows, digest in marks.iter_rows()}
