"""Import of minute bars: read, judged and merged into the lake, symbol by symbol."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property, partial
from typing import Final

import polars as pl

from smallcaps_assets.domain.bars.quality import reasons
from smallcaps_assets.domain.bars.unknown import count_unknown
from smallcaps_assets.domain.imports.conflicts import MINUTES_COMPARED
from smallcaps_assets.domain.imports.prices import scale_problems
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import DiskFull, LakeError, UnexpectedError
from smallcaps_assets.lake.bar_files.import_records import NOTHING_REJECTED, CompleteImport, ImportRecord, Rejections
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.imports.bar_files import BarReader, Faults, Source
from smallcaps_assets.pipeline.imports.bar_rules import (
    JudgedBatch,
    RejectedRows,
    RememberedRows,
    SymbolBars,
    by_month,
    find_disputed_sessions,
    find_files_outside,
    judge_batch,
)
from smallcaps_assets.pipeline.imports.bar_tables import FILE
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.progress import Progress
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors

# symbols with their own files that are imported concurrently; Polars itself uses every core
SYMBOLS_AT_ONCE: Final = 2
# symbols of one batch that are stored concurrently: each waits for the disk
STORED_AT_ONCE: Final = 4
MB: Final = 1_000_000
# raise it with every change of how files are read or judged: files imported before are then read again
_VERSION: Final = "6"


@dataclass(frozen=True, kw_only=True)
class BarImport:
    """Imports bars.

    `over` are the XNYS sessions that are over, sorted: bars of other days are left out and counted. A session that has
    imported bars is covered, and so never fetched; with `complete` those without, between a symbol's first
    bar and its last, are as well. Of two bars of one minute that differ, the one that came first stays, be it the
    lake's or a file's; with `replace` the one that came last. Unless that was `decided`, sessions of which too many
    minutes differ are rejected. So are files with many bars outside of every session, unless they may be
    (`allow_outside`). `begin` is called before anything is written. `before` counts the rows of files that are not read
    again.
    """

    store: BarsStore
    files: BarReader
    over: Sequence[date]
    replace: bool = False
    complete: bool = False
    decided: bool = False
    allow_outside: bool = False
    begin: Callable[[], None] = lambda: None
    rejected: RejectedRows = field(default_factory=RejectedRows)
    before: RememberedRows = field(default_factory=RememberedRows)
    _ranges: dict[str, tuple[date, date]] = field(default_factory=dict, init=False)

    @property
    def options(self) -> str:
        """The options that decide the result besides those of the reader, for the signatures of sources."""
        return f"{_VERSION} {self.replace} {self.complete}"

    def run(self, sources: Sequence[Source], log: Callable[[str], None]) -> Iterator[Outcome]:
        """Import what is not imported yet; one outcome per symbol and source, without figures where nothing was read.

        A file that cannot be read, or a symbol whose files in the lake cannot, is reported with the cause and stops no
        other; an outcome without partition tells of files. What was rejected of files that are not read again is
        repeated from the records of their import. `log` takes lines about progress.

        Raises:
            DiskFull: there is no room.
        """
        complete = self._complete(sources)
        for source in sources:
            yield from self._remembered(source, complete.get(source, set()))
        backlog = [source.only(_left(complete[source])) if source in complete else source for source in sources]
        backlog = [source for source in backlog if source.files]
        progress = _Megabytes(sum(source.size for source in backlog), log)
        named = [source for source in backlog if source.symbol is not None]
        for source, outcomes in in_threads(self._import_all, named, SYMBOLS_AT_ONCE, tick=progress.tick):
            yield from outcomes
            progress.add(source.size)
        # one after the other: where they say different things of a minute, the order decides
        for source in backlog:
            if source.symbol is None:
                yield from self._import(source, progress.add)

    def _complete(self, sources: Sequence[Source]) -> dict[Source, set[tuple[str, CompleteImport]]]:
        """The sources whose imported bars are all still published, each with the records of its symbols."""
        mixed = any(source.symbol is None for source in sources)
        symbols = self.store.symbols() if mixed else [source.symbol for source in sources if source.symbol]
        found: dict[str, set[tuple[str, CompleteImport]]] = {}
        wanted: dict[str, int] = {}
        ours = {source.signature for source in sources}
        for symbol in symbols:
            for one in self._imports(symbol):
                if one.signature in ours:
                    found.setdefault(one.signature, set()).add((symbol, one))
                    wanted[one.signature] = max(one.symbols, wanted.get(one.signature, 0))
                    self._extend(symbol, one.first, one.last)
        whole = {signature for signature, symbols in found.items() if 0 < wanted[signature] <= len(symbols)}
        return {source: found[source.signature] for source in sources if source.signature in whole}

    def _remembered(self, source: Source, records: set[tuple[str, CompleteImport]]) -> Iterator[Outcome]:
        """The outcomes of files that are not read again."""
        yield from (Outcome((symbol,)) for symbol in sorted({symbol for symbol, _ in records}))
        rejections = _rejections(records)
        self.before.add(rejections)
        problems = " ".join(rejections.problems)
        if problems:
            yield Outcome((), {}, (f"{source.name}: unchanged, so not read again; rejected before: {problems}",))

    def _imports(self, symbol: str) -> set[CompleteImport]:
        try:
            return self.store.imports(symbol)
        except LakeError:  # reported when it is merged into
            return set()

    def _import_all(self, source: Source) -> tuple[Source, list[Outcome]]:
        return source, list(self._import(source, lambda size: None))  # noqa: ARG005 -- reported when the whole source is done

    def _import(self, source: Source, progress: Callable[[int], None]) -> Iterator[Outcome]:
        """Merge a source; an error that nobody foresaw ends it, and the others continue."""
        outcomes = self._import_source(source, progress)
        while (found := self._unread.attempt(source.name, partial(next, outcomes, None))) is not None:
            if isinstance(found, UnexpectedError):
                yield Outcome((), {}, (f"{source.name}: {found}",))
                return
            yield found

    def _import_source(self, source: Source, progress: Callable[[int], None]) -> Iterator[Outcome]:
        """Merge a source; the last symbol with bars is merged last and records the number of symbols.

        `progress` receives the bytes that were done.
        """
        # messages about whole files; about rows, which are remembered; about what else the lake or a file holds
        faults, of_rows, disputes = Faults(), list[str](), list[str]()
        seen, bad = Counter[str](), Counter[str]()
        last: SymbolBars | None = None
        signature = None if source.left else source.signature
        rules = (self._with_other_prices, self._outside)
        for batch in self.files.batches(source, faults, rules):
            in_dollars = self.files.form.scale is not None
            found = judge_batch(batch, source, self.over, of_rows, last=self.replace, in_dollars=in_dollars)
            seen.update(rows=batch.height, copies=found.copies, repeats=found.repeats)
            symbols = self._agreeing(found, batch, disputes)
            bad.update(self._quarantine(found, symbols, source))
            seen.update(symbols=sum(one.has_bars for one in symbols), nameless=found.nameless.height)
            seen.update(not_over=sum(one.not_over for one in symbols), off_hours=sum(one.off_hours for one in symbols))
            ready = [one for one in [last, *symbols] if one is not None]
            last = next((one for one in reversed(ready) if one.has_bars), None)
            others = [one for one in ready if one is not last]
            yield from in_threads(lambda one: self._stored(one, signature, 0), others, STORED_AT_ONCE)
            share = min(source.size * batch.height // max(source.rows, 1), source.size - seen["bytes"])
            seen.update(bytes=share)
            progress(share)
        problems = [*faults.messages, *of_rows, *disputes]
        if seen["rows"] and not (seen["symbols"] or seen["not_over"] or problems):
            problems.append(
                f"{source.name}: not one of {count_noun(seen['rows'], 'row')} is a usable bar of a session. "
                f"Check --timezone, "
                f"--unit and what the columns hold. {self.rejected.first()}"
            )
        if last is not None:
            # files that cannot be read do not keep the others from being remembered: only they are read again
            of_others = len(faults.messages) - faults.of_files + len(disputes)
            whole = not (of_others or seen["not_over"] or source.left)
            left = tuple(number for number, file in enumerate(source.files) if file in faults.files)
            rejections = Rejections(seen["rows"], tuple(sorted(bad.items())), tuple(of_rows))
            yield self._stored(last, source.signature if whole else None, seen["symbols"], left, rejections)
        figures: dict[str, float] = {"rows_read": seen["rows"], "rows_quarantined": seen["nameless"]}
        figures |= {"rows_copies": seen["copies"], "rows_repeated": seen["repeats"]}
        if seen["rows"] or problems:
            yield Outcome((), figures | {"bars_off_hours": seen["off_hours"]}, tuple(problems))
        progress(source.size - seen["bytes"])

    def _with_other_prices(self, bars: pl.LazyFrame) -> dict[str, str]:
        return scale_problems(bars, FILE, self.files.form.scale)

    def _outside(self, bars: pl.LazyFrame) -> dict[str, str]:
        return {} if self.allow_outside else find_files_outside(bars, self.over)

    def _agreeing(self, found: JudgedBatch, batch: pl.DataFrame, problems: list[str]) -> list[SymbolBars]:
        """The symbols without the sessions whose bars differ too often; with them if `decided`."""
        if self.decided:
            return found.symbols
        compared = in_threads(self._agreement, [one for one in found.symbols if one.has_bars], STORED_AT_ONCE)
        lake = pl.concat([MINUTES_COMPARED.to_frame(), *compared])
        bad, messages = find_disputed_sessions(batch, lake, found.minutes, self.store.lake.minute_bars)
        problems += messages
        days = dict(bad.group_by("symbol").agg("day").iter_rows())
        symbols = [one.without(days[one.symbol]) if one.symbol in days else one for one in found.symbols]
        return [one for one in symbols if one.symbol not in days or one.has_bars or not one.rejected.is_empty()]

    def _agreement(self, one: SymbolBars) -> pl.DataFrame:
        try:
            return self.store.agreement(one.symbol, one.bars.drop("day"))
        except LakeError:  # reported when it is merged into
            return MINUTES_COMPARED.to_frame()

    def _quarantine(self, found: JudgedBatch, symbols: Sequence[SymbolBars], source: Source) -> dict[str, int]:
        """Count rejected rows by reason, with an example of each, and quarantine those without a usable symbol."""
        rows = pl.concat([found.nameless, *(one.rejected for one in symbols)])
        for reason, row in self.rejected.add(rows).items():
            self.rejected.examples[reason] = self.files.example(source, row)
        if not found.nameless.is_empty():
            self.begin()
            self.store.quarantine(None, found.nameless)
        return reasons(rows)

    def _stored(
        self,
        one: SymbolBars,
        signature: str | None,
        of: int,
        left: tuple[int, ...] = (),
        rejections: Rejections = NOTHING_REJECTED,
    ) -> Outcome:
        """Merge the bars of one symbol, month by month; the last month records the import."""
        record = None if signature is None or one.not_over else ImportRecord(signature, of, {}, left, rejections)
        try:
            self.begin()
            figures = self._unmerged.attempt(one.symbol, partial(self._merged, one, record))
        except DiskFull:
            raise
        except LakeError as error:
            return Outcome((one.symbol,), {}, (f"{one.symbol}: {error}",))
        if isinstance(figures, UnexpectedError):
            return Outcome((one.symbol,), {}, (f"{one.symbol}: {figures}",))
        return Outcome((one.symbol,), dict(figures))

    @cached_property
    def _unread(self) -> UnexpectedErrors:
        return UnexpectedErrors(self.store.lake, "import bars")

    @cached_property
    def _unmerged(self) -> UnexpectedErrors:
        # apart: files that can be read do not show that bars can be merged
        return UnexpectedErrors(self.store.lake, "import bars of symbol")

    def _merged(self, one: SymbolBars, record: ImportRecord | None) -> Counter[str]:
        figures = Counter(
            rows_quarantined=one.rejected.height, rows_on_other_days=one.on_other_days, rows_not_over=one.not_over
        )
        figures.update(count_unknown(one.unknown))
        rejected = by_month(one.rejected.with_columns(day=DAY))
        self.store.quarantine(one.symbol, rejected.pop(None, one.rejected.clear()), one.bars)
        bars = {month: rows for month, rows in by_month(one.bars).items() if month is not None}
        covers = self._covers(one) if self.complete else {}
        marks: dict[date, str] = {}
        months = {month for month in (*bars, *covers, *rejected) if month is not None}
        # the last month with bars comes last: it records the import
        for month in sorted(months, key=lambda month: (month in bars, month)):
            last = record is not None and month == max(bars, default=None)
            done = self.store.merge(
                one.symbol,
                month,
                bars.get(month, one.bars.drop("day").clear()),
                covers=covers.get(month, ()),
                replace=self.replace,
                import_record=replace(record, before=dict(marks)) if record and last else None,
                rejected=rejected.get(month, one.rejected.clear()),
            )
            marks |= done.fingerprints
            figures.update(bars_new=done.new, bars_equal=done.equal, bars_differing=done.differing)
            figures.update(bars_filled=done.filled)
            figures.update(bars_replaced=done.differing if self.replace else 0, sessions_covered=done.covered)
        figures["sessions"] = len(marks)
        return figures

    def _covers(self, one: SymbolBars) -> dict[date, list[date]]:
        """The sessions between the first bar of a symbol and the last, of all its files so far, by month."""
        if not one.has_bars:
            return {}
        first, last = self._extend(one.symbol, *one.bars.select(pl.col("day").min(), last=pl.col("day").max()).row(0))
        covers: dict[date, list[date]] = {}
        for day in self.over:
            if first <= day <= last:
                covers.setdefault(day.replace(day=1), []).append(day)
        return covers

    def _extend(self, symbol: str, first: date, last: date) -> tuple[date, date]:
        """The first and the last session with bars of a symbol in all that was imported so far."""
        before = self._ranges.get(symbol, (first, last))
        self._ranges[symbol] = min(first, before[0]), max(last, before[1])
        return self._ranges[symbol]


def _rejections(records: set[tuple[str, CompleteImport]]) -> Rejections:
    """What was rejected when a source was imported: recorded with the symbol that has the number of symbols."""
    return max((one.symbols, one.rejections) for _, one in records)[1] if records else NOTHING_REJECTED


def _left(records: set[tuple[str, CompleteImport]]) -> list[int]:
    """The numbers of the files that could not be read when a source was imported."""
    return sorted({number for _, one in records for number in one.left})


class _Megabytes:
    """Progress in megabytes of files."""

    def __init__(self, total: int, log: Callable[[str], None]) -> None:
        self._progress = Progress(-(-total // MB), "MB of bars imported", log)
        self._done = 0
        self.tick = self._progress.tick
        self._total = total

    def add(self, size: int) -> None:
        before, self._done = self._done, self._done + size
        self._progress.add(self._units(self._done) - self._units(before))

    def _units(self, done: int) -> int:
        return -(-done // MB) if done == self._total else done // MB
