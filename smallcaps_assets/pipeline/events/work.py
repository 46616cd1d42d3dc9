"""What is to be detected of each symbol, and which symbols are detected together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import attrgetter
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.events.features import DAILY
from smallcaps_assets.lake.months import FileState, MonthCoverage
from smallcaps_assets.lake.shards import ShardCoverage
from smallcaps_assets.pipeline.outcome import Outcome

# of one detection, so that memory is bounded; a single symbol of 750 sessions has more bars than that
BARS_AT_ONCE: Final = 250_000
# whose shards are renewed together: the shards of so many are held in memory
SYMBOLS_AT_ONCE: Final = 100


class Covered(NamedTuple):
    """A file of bars, its sessions with their fingerprints, and the dollar volumes of those that are not detected."""

    state: FileState | None
    fingerprints: dict[date, str]
    dollar_volumes: dict[date, float]


@dataclass(frozen=True)
class Work:
    """What is to be detected of one symbol, and what of its shard is usable.

    Event types that are `stale` are detected in all sessions, as their settings changed. From the session `changed`
    on, the first that is new, different or gone, all types are; None where there is none. Of the files of bars, those
    that are `kept` have no session to detect. The work `only_appends` where all that is to be detected comes after what
    the shard covers.
    """

    symbol: str
    usable: ShardCoverage | None
    stale: frozenset[str]
    changed: date | None
    kept: Mapping[str, MonthCoverage]
    files: Mapping[str, Covered]
    days: tuple[date, ...]
    bars: int
    only_appends: bool

    @property
    def first(self) -> date:
        """The first session to detect."""
        return self.days[0]

    @property
    def types(self) -> frozenset[str]:
        """The event types to look for."""
        return self.stale if self.changed is None else frozenset(EVENT_TYPES)

    @property
    def sessions(self) -> int:
        """How many sessions have been fetched."""
        return sum(map(len, self.kept.values())) + sum(len(file.fingerprints) for file in self.files.values())

    def history(self, days: int) -> list[tuple[date, float]]:
        """Dollar volumes of the last `days` with bars before those to detect."""
        kept: dict[date, float] = {}
        for month in sorted(self.kept.values(), key=attrgetter("last"), reverse=True):
            if len(kept) >= days:
                break
            kept |= month.dollar_volumes()
        # of any month: an old file may have been written again
        others = {day: usd for file in self.files.values() for day, usd in file.dollar_volumes.items()}
        return sorted((kept | others).items())[-days:]

    def months(self, found: dict[date, float]) -> dict[str, MonthCoverage]:
        """What the shard covers once the dollar volumes of the detected sessions are `found`."""
        anew = {
            name: MonthCoverage.of(file.state, file.fingerprints, file.dollar_volumes | found)
            for name, file in self.files.items()
        }
        return {**self.kept, **anew}

    def detected_alike(self, other: "Work") -> bool:
        """Whether the same is to be looked for, in all sessions or only from some on."""
        return self.stale == other.stale and (self.changed is None) == (other.changed is None)


def history(works: Sequence[Work], days: int) -> pl.DataFrame:
    """Dollar volumes (DAILY) of the last `days` with bars before those to detect, of each symbol."""
    rows = [(work.symbol, day, usd) for work in works for day, usd in work.history(days)]
    return pl.DataFrame(rows, DAILY, orient="row")


def staying(works: Sequence[Work]) -> pl.Expr:
    """Which events of shards stay: of types and sessions that are as they were. The works are detected alike."""
    current = ~pl.col("event_type").is_in(sorted(works[0].stale))
    if works[0].changed is None:
        return current
    changed = {work.symbol: f"{work.changed}" for work in works}
    since = pl.col("symbol").replace_strict(changed, default=None, return_dtype=pl.String)
    return current & (pl.col("date") < since)


@dataclass
class Batch:
    """Symbols that are detected together, and the outcomes of others that need not be."""

    works: list[Work] = field(default_factory=list)
    settled: list[Outcome] = field(default_factory=list)

    def has_room(self, found: Work | Outcome) -> bool:
        """Whether `found` may join."""
        if len(self.works) + len(self.settled) >= SYMBOLS_AT_ONCE:
            return False
        if isinstance(found, Outcome) or not self.works:
            return True
        few = sum(work.bars for work in self.works) + found.bars <= BARS_AT_ONCE
        return few and found.detected_alike(self.works[0])

    def add(self, found: Work | Outcome) -> None:
        """Let it join."""
        if isinstance(found, Outcome):
            self.settled.append(found)
        else:
            self.works.append(found)
