"""Detection from the candidates of a lake, also while it is still looked up which other symbols have some."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.commands.detecting.batches import Batch, Found, as_found, found_before
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.bars.suspect_prints import LISTED_PRINTS
from smallcaps_assets.domain.bars.unknown import UNKNOWN
from smallcaps_assets.domain.events.stricter import detect_in_candidates
from smallcaps_assets.pipeline.events.kept_candidates import KeptCandidates
from smallcaps_assets.settings.settings import Settings

# bounds of the calendar
FIRST_DATE, LAST_DATE = date(1900, 1, 1), date(2199, 12, 31)
# symbols whose candidates are judged together, and in how many threads: reading a file keeps one processor busy
JUDGED_AT_ONCE: Final = 64
JUDGING_THREADS: Final = min(4, os.cpu_count() or 1)
# batches that are kept until they are asked for, some 10 MB each
_KEPT: Final = 16


@dataclass(frozen=True)
class CandidateJudge:
    """Judges symbols of a lake by their candidates, from `first` to `last` (ET dates, both included)."""

    candidates: KeptCandidates
    configurations: Sequence[Settings]
    first: date | None
    last: date | None
    reference: pl.DataFrame | None

    def __call__(self, symbols: list[str]) -> Batch:
        """The results of symbols that have candidates. May be called in threads.

        Raises:
            LakeError: a file cannot be read.
        """
        sessions, in_range = self.candidates.sessions(symbols), self._in_range(pl.col("day"))
        daily = sessions.daily.filter(in_range)
        least = min(settings.detection.filters.least_dollar_volume_day_usd for settings in self.configurations)
        rows = self.candidates.read(symbols, least)
        if self.first or self.last:
            rows = rows.filter(self._in_range(pl.col("date").str.to_date("%Y-%m-%d")))
        found: list[Found] = []
        for settings in self.configurations:
            found.append(
                found_before(settings, self.configurations, found)
                or as_found(detect_in_candidates(rows, daily, settings.detection, self.reference), settings)
            )
        bars = int(sessions.bars.filter(in_range)["bars"].sum())
        nothing = QUARANTINED_BARS.to_frame(), UNKNOWN.to_frame()
        return Batch(symbols, bars, *nothing, found if bars else [], LISTED_PRINTS.to_frame(), from_candidates=True)

    def _in_range(self, day: pl.Expr) -> pl.Expr:
        return day.is_between(self.first or FIRST_DATE, self.last or LAST_DATE)


class JudgedAhead:
    """Batches of consecutive symbols, judged while the symbols after them are still looked at.

    Looking keeps one processor busy, judging the others. What is not judged ahead is judged when it is asked for: the
    results are the same.
    """

    def __init__(self, judge: Callable[[list[str]], Batch]) -> None:
        """`judge`: see CandidateJudge; called in threads."""
        self._judge, self._begun = judge, dict[tuple[str, ...], Future[Batch]]()
        self._next = list[str]()
        self._threads = ThreadPoolExecutor(JUDGING_THREADS)

    def see(self, symbol: str, *, is_usable: bool, has_bars: bool) -> None:
        """Take the next symbol in order.

        A batch ends before one that is not judged by its candidates, and leaves out those without bars.
        """
        self._next += [symbol] if is_usable and has_bars else []
        if self._next and (not is_usable or len(self._next) == JUDGED_AT_ONCE):
            self._begin()

    def end(self) -> None:
        """There are no further symbols."""
        if self._next:
            self._begin()

    def __call__(self, symbols: list[str]) -> Batch:
        """The results of a batch; they are given once."""
        begun = self._begun.pop(tuple(symbols), None)
        return self._judge(symbols) if begun is None else begun.result()

    def waiting(self) -> list[list[str]]:
        """The batches that were begun and not asked for yet."""
        return [list(symbols) for symbols in self._begun]

    def close(self) -> None:
        """Cancel what has not begun, forget all of it, and wait for what has."""
        for begun in self._begun.values():
            begun.cancel()
        self._begun.clear()
        self._threads.shutdown()

    def _begin(self) -> None:
        if len(self._begun) < _KEPT:
            self._begun[tuple(self._next)] = self._threads.submit(self._judge, self._next)
        self._next = []
