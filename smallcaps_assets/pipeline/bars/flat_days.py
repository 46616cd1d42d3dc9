"""Flat files of sessions: listed, downloaded, checked and published as one table per session."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Final

from smallcaps_assets.domain.bars.flat_files import FlatDay, parse_flat_file, require_whole_market
from smallcaps_assets.domain.bars.quality import reasons
from smallcaps_assets.domain.bars.source_differences import count_kinds, describe_differences, find_differences
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import (
    BadPage,
    DiskFull,
    LakeError,
    MarketDataError,
    NotAuthenticated,
    NotEntitled,
    NotFound,
    Stopped,
    UnexpectedError,
)
from smallcaps_assets.lake.files.publish import disk_errors, make_folders
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore, FlatFile
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.market_data.flat_files.keys import RemoteFile
from smallcaps_assets.pipeline.bars.denials import Denials
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.problems import Problem
from smallcaps_assets.pipeline.progress import Progress
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors

# Files that are downloaded at once. Parsing takes the memory of a whole file, so that one is parsed at a time.
FILES_AT_ONCE: Final = 4
_FOLDER: Final = "flat_files"
# sessions that should have about as many bars
_NEARBY: Final = timedelta(days=10)
_NOT_YET: Final = (
    "the vendor has no flat file of this session. It publishes one about 11:00 New York time of the next day; until "
    "then minute_bars fetches the session over REST."
)


class FlatDays:
    """Takes flat files into a lake."""

    def __init__(
        self,
        files: FlatFiles,
        store: FlatBarsStore,
        log: Callable[[str], None] = lambda line: None,  # noqa: ARG005
    ) -> None:
        """Take `files` into `store`; `log` takes lines about progress, rejected rows and replaced files."""
        self._files, self._store, self._log = files, store, log
        self._unexpected = UnexpectedErrors(store.lake, "flat_minute_bars", files.clean)
        self._denials, self._parsing, self._stop = Denials(), Lock(), Event()

    def listed(self, first: date, last: date) -> dict[date, RemoteFile]:
        """The sessions from `first` to `last` of which the vendor has a file.

        Raises:
            MarketDataError: the vendor did not list them.
        """
        return self._files.list_days(first, last)

    def backlog(self, listed: Mapping[date, RemoteFile]) -> list[date]:
        """The listed sessions whose file is not in the lake, or is another one there; opens footers only."""
        known = self._store.files().files
        return [day for day, remote in sorted(listed.items()) if day not in known or known[day].etag != remote.etag]

    def take(
        self,
        days: Sequence[date],
        listed: Mapping[date, RemoteFile],
        tick: Callable[[], None] = lambda: None,
        *,
        proves: bool = False,
    ) -> Iterator[Outcome]:
        """Bring the tables of `days` up to date; one outcome per session, in order of completion.

        A file that is in the lake is not downloaded again. A file that cannot be had or used is reported with the
        cause and stops no other; an unfinished download is continued by the next step.

        Args:
            days: the sessions.
            listed: what `listed` returned for them.
            tick: called at least once a second.
            proves: whether tables in the lake are read to find damaged ones, which are set aside and made again.

        Raises:
            NotAuthenticated: a key is missing or wrong.
            NotEntitled: the plan does not include the files.
            UnexpectedError: many files in a row met errors that nobody foresaw.
        """
        progress = Progress(len(days), "flat files", self._log)

        def every_second() -> None:
            progress.tick()
            tick()

        work = partial(self._attempt, listed, proves=proves)
        # newest first: a plan with limited history denies older files
        for outcome in in_threads(work, sorted(days, reverse=True), FILES_AT_ONCE, tick=every_second, stop=self._stop):
            progress.add(failed=bool(outcome.problems), size=int(outcome.figures.get("bytes", 0)))
            yield outcome

    def _attempt(self, listed: Mapping[date, RemoteFile], day: date, *, proves: bool) -> Outcome:
        try:
            found = self._unexpected.attempt(f"{day}", partial(self._take_day, listed.get(day), day, proves=proves))
        except NotEntitled as error:
            self._denials.denied(error)
            return _failed(day, error)
        except (NotAuthenticated, DiskFull, Stopped):
            raise
        except (MarketDataError, LakeError) as error:
            return _failed(day, error)
        return _failed(day, found) if isinstance(found, UnexpectedError) else found

    def _take_day(self, remote: RemoteFile | None, day: date, *, proves: bool) -> Outcome:
        with self._store.lock(day):
            is_unreadable = day in self._store.files(day, day).unreadable
            aside = self._store.set_aside_damaged(day) if proves or is_unreadable else None
            if aside is not None:
                self._log(f"{day}: its table was set aside in the quarantine, and is made again: {aside}")
            before = self._store.file(day)
            if remote is None:
                if before is None:
                    raise NotFound(f"{_NOT_YET}").with_facts(_NOT_YET)
                self._log(f"{day}: the vendor no longer lists its flat file; the table stays")
                return _outcome(before, {})
            if before is not None and before.etag == remote.etag:
                return _outcome(before, {})
            figures = {"files_set_aside": int(aside is not None)}
            return self._fetch(remote, before, figures)

    def _fetch(self, remote: RemoteFile, before: FlatFile | None, figures: dict[str, int]) -> Outcome:
        """Download a file, and publish its rows."""
        path = self._place(remote)
        with disk_errors("written", path):
            make_folders(path.parent, self._store.lake.root)
            is_here = path.is_file() and path.stat().st_size == remote.size
            resumed = remote.size
            if not is_here:
                done = self._files.download(remote, path, self._check_stopped)
                resumed = done.resumed_bytes
                # replaced since it was listed
                remote = done.file
        self._denials.served()
        with self._parsing:
            self._check_stopped()
            with disk_errors("read", path):
                content = path.read_bytes()
            try:
                rows = parse_flat_file(content, remote.day)
                require_whole_market(rows, self._bars_nearby(remote.day), None if before is None else before.bars)
            except BadPage as error:
                path.unlink(missing_ok=True)
                raise self._unusable(remote, error) from None
            del content
            file = FlatFile(
                *(remote.day, remote.etag, remote.key, remote.size, remote.modified, self._files.place),
                *(rows.rows, rows.rejected.height, rows.repeats),
            )
            figures |= {"bytes": remote.size - resumed, **self._changes(before, rows)}
            self._store.publish(file, rows)
        self._remove_downloads(remote.day)
        if rows.rejected.height:
            causes = "; ".join(f"{count:,}: {reason}" for reason, count in reasons(rows.rejected).items())
            self._log(f"{remote.day}: {rows.rejected.height:,} of {count_noun(rows.rows, 'row')} rejected ({causes})")
        return _outcome(file, figures | {"files_fetched": 1, "symbols": rows.bars["symbol"].n_unique()})

    def _bars_nearby(self, day: date) -> list[int]:
        """How many usable bars the tables of other sessions nearby have."""
        files = self._store.files(day - _NEARBY, day + _NEARBY).files
        return [file.bars for other, file in files.items() if other != day]

    def _changes(self, before: FlatFile | None, rows: FlatDay) -> dict[str, int]:
        """What is different in a file that replaces another, counted by kind."""
        if before is None:
            return {}
        try:
            earlier = self._store.scan(before.day).collect()
        except LakeError as error:
            self._log(f"{before.day}: its flat file was replaced; what changed is not known: {error}")
            return {"files_replaced": 1}
        differences = find_differences(earlier, rows.bars)
        counts = count_kinds(differences)
        symbols = differences["symbol"].unique().sort()
        what = describe_differences(counts, "the earlier file", "the new one") or "no bar changed"
        named = f", of {count_noun(symbols.len(), 'symbol')} ({', '.join(symbols.head(10))})" if symbols.len() else ""
        self._log(f"{before.day}: its flat file was replaced: {what}{named}. The next run of minute_bars takes it.")
        return {
            "files_replaced": 1,
            "symbols_changed": symbols.len(),
            **{f"minutes_{kind}": count for kind, count in counts.items()},
        }

    def _unusable(self, remote: RemoteFile, error: BadPage) -> BadPage:
        words = self._files.clean(f"{error}")
        message = (
            f"{remote.key} at {self._files.place} cannot be used: {words}. Nothing of it was kept, and a table that "
            "was published before stays. Launch again; if it fails in the same way, report the file to the vendor, or "
            "set source.bars to rest."
        )
        return BadPage(message).with_facts(f"a flat file that cannot be used: {words}", endpoint=remote.key)

    def _check_stopped(self) -> None:
        if self._stop.is_set():
            raise Stopped("The download was stopped; the next one continues it.")

    def _place(self, remote: RemoteFile) -> Path:
        """Where a file is downloaded to: another version of it has another name."""
        version = hashlib.sha256(remote.etag.encode()).hexdigest()[:12]
        return self._store.lake.cache / _FOLDER / f"{remote.day}.{version}.csv.gz"

    def _remove_downloads(self, day: date) -> None:
        for path in (self._store.lake.cache / _FOLDER).glob(f"{day}.*"):
            with suppress(OSError):
                path.unlink()


def describe_backlog(listed: Mapping[date, RemoteFile], days: Sequence[date]) -> str:
    """How many files and bytes are to be downloaded, in words."""
    size = sum(listed[day].size for day in days if day in listed)
    return f"{count_noun(len(days), 'flat file')} of {size / 1e9:,.2f} GB"


def _outcome(file: FlatFile, figures: Mapping[str, int]) -> Outcome:
    counts = {"rows_in_file": file.rows, "rows_quarantined": file.rejected, "rows_repeated": file.repeats}
    return Outcome((f"{file.day}",), {**figures, **counts}, rows=file.bars, version=file.etag)


def _failed(day: date, error: Exception) -> Outcome:
    return Outcome((f"{day}",), {}, (Problem.of(f"{day}", error),))
