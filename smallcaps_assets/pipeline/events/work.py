"""The sessions to detect of each symbol, and the batches of symbols that are detected together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import attrgetter
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.events.features import DAILY
from smallcaps_assets.lake.bar_files.months import FileState, MonthCoverage
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.pipeline.outcome import Outcome

# Bars of one detection, which bounds its memory; a single symbol of 750 sessions exceeds it.
_BARS_AT_ONCE: Final = 250_000
# Symbols of one detection, whose shards are in memory together.
_SYMBOLS_AT_ONCE: Final = 100


class CoveredFile(NamedTuple):
    """A bar file: fingerprints of its sessions, and dollar volumes of those that need no detection."""

    state: FileState | None
    fingerprints: dict[date, str]
    dollar_volumes: dict[date, float]


@dataclass(frozen=True)
class SymbolWork:
    """What to detect of one symbol, and which part of its shard is usable.

    Attributes:
        symbol: the symbol.
        usable: the coverage of the shard; None if all of it is stale.
        stale: event types whose settings changed; they are detected in all sessions.
        changed: the first session that is new, different or gone, from which all types are detected; None without one.
        kept: bar files without a session to detect.
        files: the other bar files.
        days: the sessions to detect.
        bars: the number of their bars.
        only_appends: whether every session to detect is after those that the shard covers.
        gone: the sessions that the shard covers and whose bars are gone.
        set_aside: why the shard was set aside, as a damaged one is; None if it was not.
    """

    symbol: str
    usable: ShardCoverage | None
    stale: frozenset[str]
    changed: date | None
    kept: Mapping[str, MonthCoverage]
    files: Mapping[str, CoveredFile]
    days: tuple[date, ...]
    bars: int
    only_appends: bool
    gone: tuple[date, ...] = ()
    set_aside: str | None = None

    @property
    def first(self) -> date:
        """The first session to detect."""
        return self.days[0]

    @property
    def types(self) -> frozenset[str]:
        """The event types to detect."""
        return self.stale if self.changed is None else frozenset(EVENT_TYPES)

    @property
    def sessions(self) -> int:
        """The number of fetched sessions."""
        return sum(map(len, self.kept.values())) + sum(len(file.fingerprints) for file in self.files.values())

    def history(self, days: int) -> list[tuple[date, float]]:
        """Dollar volumes of the last `days` days with bars before the sessions to detect."""
        kept: dict[date, float] = {}
        for month in sorted(self.kept.values(), key=attrgetter("last"), reverse=True):
            if len(kept) >= days:
                break
            kept |= month.dollar_volumes()
        # from any month, since an old file may have been rewritten
        others = {day: usd for file in self.files.values() for day, usd in file.dollar_volumes.items()}
        return sorted((kept | others).items())[-days:]

    def months(self, found: dict[date, float]) -> dict[str, MonthCoverage]:
        """The coverage of the new shard; `found` are the dollar volumes of the detected sessions."""
        rewritten = {
            name: MonthCoverage.of(file.state, file.fingerprints, file.dollar_volumes | found)
            for name, file in self.files.items()
        }
        return {**self.kept, **rewritten}

    def combines_with(self, other: "SymbolWork") -> bool:
        """Whether both can be detected together: the same event types, in all sessions or only from one on."""
        return self.stale == other.stale and (self.changed is None) == (other.changed is None)


def history(works: Sequence[SymbolWork], days: int) -> pl.DataFrame:
    """Dollar volumes (DAILY) of the last `days` days with bars before the sessions to detect, by symbol."""
    rows = [(work.symbol, day, usd) for work in works for day, usd in work.history(days)]
    return pl.DataFrame(rows, DAILY, orient="row")


def remains_valid(works: Sequence[SymbolWork]) -> pl.Expr:
    """Whether an event of the shards remains valid: its type and session are unchanged. All works combine."""
    current = ~pl.col("event_type").is_in(sorted(works[0].stale))
    if works[0].changed is None:
        return current
    changed = {work.symbol: f"{work.changed}" for work in works}
    since = pl.col("symbol").replace_strict(changed, default=None, return_dtype=pl.String)
    return current & (pl.col("date") < since)


@dataclass
class DetectionBatch:
    """Symbols that are detected together, and the outcomes of symbols that need no detection."""

    works: list[SymbolWork] = field(default_factory=list)
    settled: list[Outcome] = field(default_factory=list)

    def has_room(self, found: SymbolWork | Outcome) -> bool:
        """Whether `found` can be added."""
        if len(self.works) + len(self.settled) >= _SYMBOLS_AT_ONCE:
            return False
        if isinstance(found, Outcome) or not self.works:
            return True
        few = sum(work.bars for work in self.works) + found.bars <= _BARS_AT_ONCE
        return few and found.combines_with(self.works[0])

    def add(self, found: SymbolWork | Outcome) -> None:
        """Add the work or the outcome of a symbol."""
        if isinstance(found, Outcome):
            self.settled.append(found)
        else:
            self.works.append(found)
