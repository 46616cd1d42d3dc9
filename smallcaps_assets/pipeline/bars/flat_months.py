"""Months of symbols from the flat files in the lake: one pass over the files of a month for many symbols."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.minutes import resolve_minutes
from smallcaps_assets.domain.bars.quality import CleanBars, clean_bars, reasons
from smallcaps_assets.domain.bars.source_differences import (
    MINUTE_DIFFERENCES,
    count_by_day,
    count_kinds,
    describe_differences,
    find_differences,
)
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import BadPage, DiskFull, LakeError, SmallcapsError, Stopped
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.flat_bars.origins import FlatOrigin, FlatOrigins
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore, FlatFile
from smallcaps_assets.pipeline.bars.judging import judge_sessions, name_days
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.problems import Problem
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors

# Symbols of one pass: at 960 minutes a session, a month of all of them has 5 M bars, 400 MB.
_SYMBOLS_AT_ONCE: Final = 250
# Symbols of a pass that are stored at once: each waits for the disk.
_STORED_AT_ONCE: Final = 4
_NAMED: Final = ("REST", "the files")


class FlatRules(NamedTuple):
    """What is done where both sources have the bars of a session.

    Attributes:
        compares: whether published bars of another source are compared with the file's; else they stay as they are.
        prefers_files: whether the file's bars are stored where they differ.
    """

    compares: bool
    prefers_files: bool


@dataclass
class FlatFigures:
    """What was done for one symbol."""

    figures: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def added_to(self, outcome: Outcome) -> Outcome:
        """An outcome of the symbol with what was done here as well."""
        if not self.figures and not self.problems:
            return outcome
        figures = {**outcome.figures}
        for name, count in self.figures.items():
            figures[name] = figures.get(name, 0) + count
        return replace(outcome, figures=figures, problems=tuple(dict.fromkeys((*self.problems, *outcome.problems))))


class _Month(NamedTuple):
    """What to do in one month of a symbol, each in order.

    Attributes:
        new: sessions to store that are not published.
        replaced: published sessions to store again, since their file was replaced.
        compare: published sessions of another source to compare with their file.
    """

    new: list[date]
    replaced: list[date]
    compare: list[date]

    @property
    def days(self) -> list[date]:
        """All of them, in order."""
        return sorted([*self.new, *self.replaced, *self.compare])


@dataclass(frozen=True)
class FlatMonths:
    """Makes the months of symbols from flat files.

    Attributes:
        bars: the symbols' bars.
        flat: the flat files.
        files: those that may be used, by session.
        rules: what is done where both sources have a session.
        log: takes lines about what was rejected and what differs.
        unexpected: errors that nobody foresaw.
    """

    bars: BarsStore
    flat: FlatBarsStore
    files: Mapping[date, FlatFile]
    rules: FlatRules
    log: Callable[[str], None]
    unexpected: UnexpectedErrors

    def run(
        self,
        symbols: Sequence[str],
        due: Callable[[str], Sequence[date]],
        tick: Callable[[], None],
        *,
        refetch_damaged: bool = False,
    ) -> Iterator[dict[str, FlatFigures]]:
        """Store what is missing of `symbols` and in a file; yields what was done, a batch of symbols at a time.

        Sessions whose file was replaced since they were stored are stored again. Imported bars stay. A symbol whose
        files cannot be read is reported with the cause and stops no other.

        Args:
            symbols: the symbols.
            due: the sessions that are expected of a symbol.
            tick: called at least once a second while bars are stored.
            refetch_damaged: set damaged month files aside first, so that their sessions are missing.
        """
        ordered = sorted(symbols)
        for start in range(0, len(ordered), _SYMBOLS_AT_ONCE):
            batch = ordered[start : start + _SYMBOLS_AT_ONCE]
            done = {symbol: FlatFigures() for symbol in batch}
            if refetch_damaged:
                for symbol in batch:
                    self._set_aside_damaged(symbol, done[symbol])
            plans = {symbol: self._plan(symbol, due(symbol), done[symbol]) for symbol in batch}
            for month in sorted({month for plan in plans.values() for month in plan}, reverse=True):
                of_month = {symbol: plan[month] for symbol, plan in plans.items() if month in plan}
                self._make_month(month, of_month, done, tick)
            yield done

    def _set_aside_damaged(self, symbol: str, done: FlatFigures) -> None:
        try:
            reasons_of = self.bars.set_aside_damaged(symbol)
        except LakeError as error:
            done.problems.append(Problem.of(symbol, error, symbol=symbol))
            return
        for name, reason in reasons_of.items():
            self.log(f"{symbol}, {name}: set aside in the quarantine, and made again: {reason}")
            done.figures["files_set_aside"] += 1

    def _plan(self, symbol: str, due: Sequence[date], done: FlatFigures) -> dict[date, _Month]:
        """What to do for a symbol, by the first day of the month."""
        expected = sorted(self.files.keys() & set(due))
        if not expected:
            return {}
        try:
            published, origins, imported = self.bars.renew_sessions(symbol)
        except LakeError as error:
            done.problems.append(Problem.of(symbol, error, symbol=symbol))
            return {}
        plan = {}
        for month, group in groupby(expected, key=lambda day: day.replace(day=1)):
            days = list(group)
            found = _Month(
                new=[day for day in days if day not in published],
                replaced=[day for day in days if day in published and self._is_replaced(origins.get(day), day)],
                compare=[day for day in days if day in published and self._is_to_compare(origins, imported, day)],
            )
            if found.days:
                plan[month] = found
        return plan

    def _is_replaced(self, origin: FlatOrigin | None, day: date) -> bool:
        return origin is not None and origin.is_source and origin.etag != self.files[day].etag

    def _is_to_compare(self, origins: FlatOrigins, imported: set[date], day: date) -> bool:
        origin = origins.get(day)
        if not self.rules.compares or day in imported or (origin is not None and origin.is_source):
            return False
        return origin is None or origin.etag != self.files[day].etag

    def _make_month(
        self, month: date, plans: Mapping[str, _Month], done: Mapping[str, FlatFigures], tick: Callable[[], None]
    ) -> None:
        """Store and compare the sessions of one month, of several symbols."""
        plans = self._without_damaged(plans, done)
        try:
            served = self.flat.read(plans, {day for plan in plans.values() for day in plan.days})
        except DiskFull:
            raise
        except LakeError as error:
            for symbol in plans:
                done[symbol].problems.append(Problem.of(f"{symbol}, {month:%Y-%m}", error, symbol=symbol))
            return
        tick()
        judged = _judge(served, plans)
        work = partial(self._attempt, month, plans, judged, done)
        for _ in in_threads(work, plans, _STORED_AT_ONCE, tick=tick):
            pass

    def _without_damaged(self, plans: Mapping[str, _Month], done: Mapping[str, FlatFigures]) -> Mapping[str, _Month]:
        """Plans without the sessions whose table is damaged, which are reported."""
        damaged = dict[date, LakeError]()
        for day in sorted({day for plan in plans.values() for day in plan.days}):
            try:
                self.flat.prove(day)
            except LakeError as error:
                damaged[day] = error
        if not damaged:
            return plans
        for symbol, plan in plans.items():
            for day in damaged.keys() & set(plan.days):
                done[symbol].problems.append(Problem.of(f"{symbol}, {day}", damaged[day], symbol=symbol))
        left = {
            symbol: _Month(*([day for day in days if day not in damaged] for days in plan))
            for symbol, plan in plans.items()
        }
        return {symbol: plan for symbol, plan in left.items() if plan.days}

    def _attempt(
        self,
        month: date,
        plans: Mapping[str, _Month],
        judged: Mapping[str, "_Served"],
        done: Mapping[str, FlatFigures],
        symbol: str,
    ) -> None:
        unit, figures = f"{symbol}, {month:%Y-%m}", done[symbol]
        work = partial(self._store_month, symbol, month, plans[symbol], judged.get(symbol, _NOTHING_SERVED), figures)
        try:
            problem: SmallcapsError | None = self.unexpected.attempt(f"{symbol} {month:%Y-%m}", work)
        except (DiskFull, Stopped):
            raise
        except LakeError as error:
            problem = error
        if problem is not None:
            figures.problems.append(Problem.of(unit, problem, symbol=symbol))

    def _store_month(self, symbol: str, month: date, plan: _Month, served: "_Served", done: FlatFigures) -> None:
        """Store the sessions of a month of one symbol."""
        days = plan.days
        found = judge_sessions(served.clean, served.conflicting, days)
        for day, fault in found.faults.items():
            words = f"its flat file has {fault}"
            bad = BadPage(f"{words}. Nothing of this session was kept.").with_facts(words)
            done.problems.append(Problem.of(f"{symbol}, {day}", bad, symbol=symbol))
        new, replaced, compare = ([day for day in group if day in found.stored] for group in plan)
        has_published = bool(replaced or compare)
        published = self.bars.read(symbol, days[0], days[-1]) if has_published else _NO_BARS.good
        differences, changes = (_differences_on(some, published, found.bars) for some in (compare, replaced))
        by_day = count_by_day(differences)
        taken = [day for day in compare if day in by_day and self.rules.prefers_files]
        sessions = sorted([*new, *replaced, *taken])
        origins = {day: FlatOrigin(self.files[day].etag, day in sessions, by_day.get(day, {})) for day in found.stored}
        fresh = found.bars
        if has_published:
            fresh = _with_known_vwap(found.bars.filter(DAY.is_in(sessions)), published)
        self.bars.add(symbol, month, sessions, fresh, found.rejected, origins)
        self._log_rows(symbol, days, found.aside, served.repeats)
        if by_day:
            self._log_differences(symbol, differences)
        done.figures.update(
            sessions_fetched=len(new),
            sessions_from_files=len(new),
            sessions_replaced=len(count_by_day(changes)),
            sessions_compared=len(compare),
            sessions_differing=len(by_day),
            rows_repeated=served.repeats,
        )
        done.figures.update({f"minutes_{kind}": count for kind, count in count_kinds(differences).items()})
        rows = fresh.filter(DAY.is_in(new)).height if has_published else fresh.height
        done.figures.update({**found.figures, "rows": rows})

    def _log_rows(self, symbol: str, days: Sequence[date], aside: pl.DataFrame, repeats: int) -> None:
        if aside.height or repeats:
            causes = "".join(f"; {count:,} rejected: {reason}" for reason, count in reasons(aside).items())
            words = count_clause(repeats, "row repeats", "rows repeat")
            self.log(f"{symbol}, flat files of {name_days(days)}: {words} another exactly{causes}")

    def _log_differences(self, symbol: str, differences: pl.DataFrame) -> None:
        row = differences.row(0, named=True)
        kept = "those of the files are stored" if self.rules.prefers_files else "those of REST stay"
        values = [f"{name}: {row[side]}" for side, name in zip(("first", "second"), _NAMED, strict=True) if row[side]]
        what = describe_differences(count_kinds(differences), *_NAMED)
        self.log(
            f"{symbol}: bars of REST and of flat files differ: {what}; {kept}. "
            f"The first, of {row['timestamp']:%Y-%m-%d %H:%M} UTC: {'; '.join(values)}"
        )


class _Served(NamedTuple):
    """What flat files have of one symbol: rows judged one by one, contradicting ones, and repeated ones."""

    clean: CleanBars
    conflicting: pl.DataFrame
    repeats: int


_NO_BARS: Final = clean_bars(BARS.to_frame())
_NOTHING_SERVED: Final = _Served(_NO_BARS, BARS.to_frame(), 0)


def _judge(served: pl.DataFrame, plans: Mapping[str, _Month]) -> dict[str, _Served]:
    """The rows of each symbol, of the sessions of its plan."""
    if served.is_empty():
        return {}
    wanted = [(symbol, day) for symbol, plan in plans.items() for day in plan.days]
    pairs = pl.DataFrame(wanted, {"symbol": pl.String, "day": pl.Date}, orient="row")
    rows = served.with_columns(day=DAY).join(pairs, on=["symbol", "day"], how="semi").select(*BARS)
    unique = resolve_minutes(rows)
    clean = clean_bars(unique.bars)
    good, bad, unknown, conflicting = map(
        _by_symbol, (clean.good, clean.quarantined, clean.unknown, unique.conflicting)
    )
    repeats = dict(rows.group_by("symbol").len().iter_rows()) if unique.repeats else {}
    found = {}
    for symbol in good.keys() | bad.keys() | conflicting.keys():
        of_symbol = CleanBars(
            good.get(symbol, _NO_BARS.good),
            bad.get(symbol, _NO_BARS.quarantined),
            unknown.get(symbol, _NO_BARS.unknown),
        )
        against = conflicting.get(symbol, _NOTHING_SERVED.conflicting)
        kept = of_symbol.good.height + of_symbol.quarantined.height + against.height
        found[symbol] = _Served(of_symbol, against, repeats.get(symbol, kept) - kept)
    return found


def _differences_on(days: Sequence[date], published: pl.DataFrame, served: pl.DataFrame) -> pl.DataFrame:
    """The differences on some days; most months have none of these."""
    if not days:
        return MINUTE_DIFFERENCES.to_frame()
    return find_differences(*(bars.filter(DAY.is_in(days)) for bars in (published, served)))


def _by_symbol(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {name: part for (name,), part in rows.partition_by("symbol", as_dict=True, maintain_order=True).items()}


def _with_known_vwap(bars: pl.DataFrame, published: pl.DataFrame) -> pl.DataFrame:
    """Bars of a file with the vwap of published ones that are equal: only REST has it."""
    known = published.filter(pl.col("vwap").is_not_null())
    if known.is_empty() or bars.is_empty():
        return bars
    same = ["timestamp", "open", "high", "low", "close", "volume"]
    found = bars.join(known.select(*same, "vwap"), on=same, how="left", suffix=" known", maintain_order="left")
    return found.with_columns(vwap=pl.coalesce("vwap", "vwap known")).select(*BARS)
