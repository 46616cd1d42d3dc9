"""Bars that come into a month file: sessions replaced by the vendor's bars, imported bars merged minute by minute."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.quality import bar_problems
from smallcaps_assets.domain.imports.conflicts import compare_bars
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.import_records import ImportRecord
from smallcaps_assets.lake.bar_files.month_files import (
    DAY,
    NO_BARS,
    PublishedMonth,
    fingerprint_sessions,
    publish_month,
)
from smallcaps_assets.lake.flat_bars.origins import FlatOrigin


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


@dataclass(frozen=True)
class ChangingMonth:
    """The file of an ET month of a symbol, to be published with other bars. The caller holds the lock of the symbol.

    Attributes:
        path: the file, which need not exist.
        symbol: whose bars it has.
        here: its contents as they are published.
        below: the folder below which folders are made, see `publish`.
    """

    path: Path
    symbol: str
    here: PublishedMonth
    below: Path

    def replace_sessions(
        self, sessions: Collection[date], bars: pl.DataFrame, origins: Mapping[date, FlatOrigin]
    ) -> None:
        """Publish those of `bars` that are of `sessions` in the place of the bars of these sessions.

        `origins` of sessions of the month are recorded; those of `sessions` without one are of no flat file.

        Raises:
            LakeError: the file cannot be published, or the bars break a rule of bars.
        """
        new = DAY.is_in(list(sessions))
        here = self.here
        kept = here.bars.filter(~new)
        known = {day: mark for day, mark in here.sessions.items() if day not in sessions}
        fresh = bars.filter(new)
        others = {day: origin for day, origin in here.origins.items() if day not in sessions}
        marks = known | dict.fromkeys(sessions, NO_BARS) | fingerprint_sessions(fresh)
        self._publish(PublishedMonth(pl.concat([kept, fresh]), marks, here.imports, others | dict(origins)))

    def merge(
        self, bars: pl.DataFrame, covers: Collection[date], import_record: ImportRecord | None, *, replace: bool
    ) -> Merged:
        """Merge `bars` (BARS, unique by timestamp) into the published ones; see `BarsStore.merge`.

        Raises:
            LakeError: see `replace_sessions`.
        """
        here = self.here
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
            self._publish(PublishedMonth(stored, marks, imports, origins))
        return Merged(
            found.new.height, found.equal, found.differing.height, found.filled.height, len(uncovered), merged
        )

    def _publish(self, month: PublishedMonth) -> None:
        stored = month.bars.sort("timestamp")
        problems = bar_problems(stored, self.symbol)
        if problems:
            raise LakeError(
                f"{self.path}: {'; '.join(problems)}, so nothing was published. Remove the file if it exists, and "
                f"materialize minute_bars of {self.symbol} again.",
                self.path,
            )
        publish_month(self.path, self.symbol, month._replace(bars=stored), below=self.below)
