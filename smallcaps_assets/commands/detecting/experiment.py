"""Detection with several configurations over part of the universe; bars or candidates are read once, batch by batch."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.commands.detecting.batches import Batch, Found, as_found, found_before
from smallcaps_assets.commands.detecting.judge import FIRST_DATE, JUDGED_AT_ONCE, JUDGING_THREADS, LAST_DATE
from smallcaps_assets.domain.bars.quality import CleanBars, clean_bars
from smallcaps_assets.domain.bars.suspect_prints import LISTED_PRINTS, suspect_prints, with_events
from smallcaps_assets.domain.events.detection import Detection, detect
from smallcaps_assets.domain.events.features import DAILY
from smallcaps_assets.domain.listings.borders import NO_BORDERS, ListingBorders
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.pipeline.calendar import calendar_days, sessions_between
from smallcaps_assets.pipeline.concurrency import in_order
from smallcaps_assets.pipeline.imports.bar_tables import FILE
from smallcaps_assets.pipeline.imports.bars_by_symbol import BarsBySymbol
from smallcaps_assets.pipeline.progress import Progress
from smallcaps_assets.settings.settings import Settings

_ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Experiment:
    """Detection over the bars of `symbols` from `first` to `last` (ET dates, both included), for all configurations.

    Symbols of `with_candidates` are judged by `judge`, which finds the same events; the others by their bars. With
    `keeps_candidates`, which needs bars, batches hold what the outcomes of events are computed from.
    """

    files: BarsBySymbol | None  # of the symbols without candidates; None if there are none
    symbols: list[str]  # sorted
    first: date | None
    last: date | None
    configurations: list[Settings]
    reference: pl.DataFrame | None
    borders: ListingBorders = NO_BORDERS
    with_candidates: Collection[str] = frozenset()
    judge: Callable[[list[str]], Batch] | None = None  # called in threads
    keeps_candidates: bool = False

    def run(self, folder: Path, log: Callable[[str], None]) -> Iterator[Batch]:
        """Yield the results by batch, in order of symbols; each bar is read once.

        Args:
            folder: an empty folder for bars that have to be partitioned by symbol first.
            log: receives lines of progress.
        """
        batches = list(self._batches())
        of_bars = [symbols for symbols, from_candidates in batches if not from_candidates]
        files = self.files.partition(of_bars, folder) if self.files else None
        progress = Progress(len(self.symbols), "symbols detected", log)
        of_candidates = (symbols for symbols, from_candidates in batches if from_candidates)
        with closing(in_order(self._judge, of_candidates, JUDGING_THREADS)) as judged:
            for symbols, from_candidates in batches:
                yield next(judged) if from_candidates or files is None else self._batch(files, symbols)
                progress.add(len(symbols))
        without_symbol = files.read_nameless() if files else BARS.to_frame()
        if without_symbol.height:
            clean = clean_bars(without_symbol)
            yield Batch(
                [], without_symbol.height, clean.quarantined, clean.unknown, [], prints=LISTED_PRINTS.to_frame()
            )

    def _batches(self) -> Iterator[tuple[list[str], bool]]:
        """The symbols in order, and whether they are judged by their candidates."""
        for from_candidates, part in groupby(self.symbols, key=lambda symbol: symbol in self.with_candidates):
            symbols = list(part)
            if from_candidates:
                for start in range(0, len(symbols), JUDGED_AT_ONCE):
                    yield symbols[start : start + JUDGED_AT_ONCE], True
            elif self.files:
                for batch in self.files.batches(symbols, self._since(), self.last):
                    yield batch, False

    def _judge(self, symbols: list[str]) -> Batch:
        assert self.judge is not None  # noqa: S101 -- there is one where symbols have candidates
        return self.judge(symbols)

    def _since(self) -> date | None:
        """The first day whose bars are read: before the first by as many sessions as relative volume looks back."""
        if self.first is None:
            return None
        return self._sessions_back(max(settings.features.rvol_days for settings in self.configurations))

    def _sessions_back(self, sessions: int) -> date:
        """The day that lies as many sessions before the first day; the first day without a calendar."""
        assert self.first is not None  # noqa: S101 -- only asked for where there is a first day
        begin = max(FIRST_DATE, self.first - calendar_days(sessions))
        before = sessions_between(begin, self.first - _ONE_DAY, self.configurations[0].sessions)["date"]
        return before.tail(sessions).min() or self.first  # type: ignore[return-value]

    def _batch(self, files: BarsBySymbol, symbols: list[str]) -> Batch:
        clean = _clean(files, symbols, self._since(), self.last)
        in_range = pl.lit(True) if self.first is None else (self.first <= DAY).fill_null(value=True)
        bars, rejected = clean.good.filter(in_range), clean.quarantined.filter(in_range)
        found: list[Found] = []
        if bars.height:
            before = clean.good.filter(~in_range)
            for settings in self.configurations:
                same = found_before(settings, self.configurations, found)
                found.append(same or self._detect(files, bars, before, settings))
        unknown, prints = clean.unknown.filter(in_range), self._prints(bars, found)
        kept = bars if self.keeps_candidates else None
        return Batch(symbols, bars.height + rejected.height, rejected, unknown, found, prints, bars=kept)

    def _prints(self, bars: pl.DataFrame, found: Sequence[Found]) -> pl.DataFrame:
        if not found:
            return LISTED_PRINTS.to_frame()
        return with_events(suspect_prints(bars, self.configurations[0].checks.bars.suspect_print), found[0].master)

    def _detect(self, files: BarsBySymbol, bars: pl.DataFrame, before: pl.DataFrame, settings: Settings) -> Found:
        earlier = None if self.first is None else self._earlier_days(files, bars, before, settings)
        rules = settings, self.reference, self.borders, earlier
        detected = _detect_events(bars, *rules, keep_candidates=self.keeps_candidates)
        return as_found(detected, settings)

    def _earlier_days(
        self, files: BarsBySymbol, bars: pl.DataFrame, before: pl.DataFrame, settings: Settings
    ) -> pl.DataFrame:
        """DAILY of the days before the first, from further back for symbols that did not trade in every session."""
        daily = _daily(before, settings)
        days = dict(daily.group_by("symbol").len().iter_rows())
        oldest, since = self._sessions_back(settings.features.rvol_sessions), self._since()
        if since is None or oldest >= since:
            return daily
        older = [
            _daily(_clean(files, [symbol], oldest, since - _ONE_DAY).good, settings)
            for symbol in bars["symbol"].unique(maintain_order=True)
            if days.get(symbol, 0) < settings.features.rvol_days
        ]
        return pl.concat([daily, *older])


def _clean(files: BarsBySymbol, symbols: Sequence[str], first: date | None, last: date | None) -> CleanBars:
    """Read rows and judge them file by file; rows rejected on reading stay rejected."""
    read = files.read_with_files(symbols, first, last)
    clean = clean_bars(read.good, [FILE], in_dollars=files.reader.form.scale is not None)
    rejected = pl.concat([clean.quarantined, read.quarantined]).sort("symbol", "timestamp")
    return CleanBars(clean.good, rejected, clean.unknown)


def _daily(bars: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    return _detect_events(bars, settings).daily if bars.height else DAILY.to_frame()


def _detect_events(  # noqa: PLR0913 -- all but the first two are optional
    bars: pl.DataFrame,
    settings: Settings,
    reference: pl.DataFrame | None = None,
    borders: ListingBorders = NO_BORDERS,
    earlier_days: pl.DataFrame | None = None,
    *,
    keep_candidates: bool = False,
) -> Detection:
    known = bars.filter(DAY.is_between(FIRST_DATE, LAST_DATE))
    first, last = known.select(first=DAY.min(), last=DAY.max()).row(0) if known.height else (FIRST_DATE, FIRST_DATE)
    begin = max(FIRST_DATE, first - calendar_days(settings.features.rvol_sessions))
    sessions = sessions_between(begin, last, settings.sessions)
    return detect(
        bars,
        sessions,
        settings.detection,
        reference=reference,
        earlier_days=earlier_days,
        keep_candidates=keep_candidates,
        borders=borders,
    )


def sample(symbols: Sequence[str], size: int, seed: int) -> list[str]:
    """`size` of `symbols`, sorted: fixed by the seed, stable as symbols are added, contained in a larger sample."""

    def draw(symbol: str) -> str:
        return hashlib.sha256(f"{seed}|{symbol}".encode()).hexdigest()

    return sorted(sorted(symbols, key=draw)[:size])
