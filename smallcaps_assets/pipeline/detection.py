"""Event shards: detect the sessions that are new or changed, leave the rest as it is."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.events import (
    BARS_READ,
    COUNTS,
    Detection,
    DetectionParams,
    detect,
    reference_verdicts,
    with_tiers,
)
from smallcaps_assets.domain.features import DAILY
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.tables import EVENT_TYPES, SHARD
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.bars import BarsStore, bars_counted
from smallcaps_assets.lake.shards import Coverage, ShardStore
from smallcaps_assets.pipeline.history import sessions_between
from smallcaps_assets.pipeline.in_flight import in_threads
from smallcaps_assets.pipeline.outcome import Outcome

# Raise it with every change of code that changes what is detected: shards of an earlier version are found again.
CODE_VERSION: Final = "1"

# bars of one detection, so that memory is bounded; a single symbol of 750 sessions has about as many
BARS_AT_ONCE: Final = 250_000
# detections at the same time, each of some 200 MB
THREADS: Final = min(4, os.cpu_count() or 1)
# symbols with nothing to detect that are told together
SETTLED_AT_ONCE: Final = 100


class Backlog(NamedTuple):
    """Sessions of a symbol that have been fetched, and those that are still to be detected."""

    fetched: set[date]
    undetected: set[date]


@dataclass(frozen=True)
class Detector:
    """Everything that finding the events of a symbol takes."""

    bars: BarsStore
    shards: ShardStore
    params: DetectionParams
    sessions: SessionParams
    reference: pl.DataFrame

    def run(self, symbols: Sequence[str]) -> Iterator[Outcome]:
        """Bring the shards of `symbols` up to date; one outcome per symbol, as they come.

        Symbols with little to detect are detected together, which takes no more time than one of them. A symbol whose
        files cannot be read or written is reported with the cause and does not stop the others.
        """
        for outcomes in in_threads(self._settle, self._batches(symbols), most=THREADS):
            yield from outcomes

    def survey(self) -> pl.DataFrame:
        """Every shard: `symbol`, `sessions` (how many it covers), `current` (detected with these settings)."""
        rows = [
            (symbol, len(coverage.sessions), self.is_current(symbol, coverage))
            for symbol in self.shards.symbols()
            if (coverage := self.shards.coverage(symbol))
        ]
        schema = {"symbol": pl.String, "sessions": pl.Int64, "current": pl.Boolean}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def is_current(self, symbol: str, coverage: Coverage | None) -> bool:
        """Whether a shard was detected with these settings; true where there is none."""
        return coverage is None or not (self._stale_types(symbol, coverage) or self._other_tiers(coverage))

    def backlog(self, symbol: str) -> Backlog:
        """The sessions of `symbol` that have bars, and those of them that its shard does not hold as they are now.

        Raises:
            LakeError: a file cannot be read.
        """
        marks, before = self.bars.fingerprints(symbol), self.shards.coverage(symbol)
        if before is None or not self.is_current(symbol, before):
            return Backlog(set(marks), set(marks))
        return Backlog(set(marks), {day for day, mark in marks.items() if before.sessions.get(day) != mark})

    def covered(
        self, symbol: str, marks: Mapping[date, str], volumes: Mapping[date, float], events: pl.DataFrame
    ) -> Coverage:
        """What a shard of these sessions, detected with these settings, says of itself."""
        return Coverage(
            self._identities(symbol), self.params.tier_min_scores, dict(marks), dict(volumes), events.height
        )

    def _batches(self, symbols: Sequence[str]) -> "Iterator[_Batch]":
        """The work that `symbols` need, cut into what is detected at once."""
        batch = _Batch()
        for symbol in symbols:
            try:
                found = self._work(symbol)
            except LakeError as error:
                found = _failed(symbol, error)
            if not batch.has_room(found):
                yield batch
                batch = _Batch()
            batch.add(found)
        if batch.settled or batch.works:
            yield batch

    def _work(self, symbol: str) -> "_Work | Outcome":
        """What is to be detected of a symbol, or its outcome where there is nothing to detect."""
        marks = self.bars.fingerprints(symbol)
        before = self.shards.coverage(symbol)
        stale = frozenset(EVENT_TYPES) if before is None else self._stale_types(symbol, before)
        changed = None if before is None else _first_difference(marks, before.sessions)
        if before and not stale and changed is None and not self._other_tiers(before):
            nothing_detected = {"sessions_detected": 0, "event_types_detected": 0, "events": before.events}
            return Outcome((symbol,), {"sessions": len(marks), **nothing_detected}, rows=before.events)
        days = [*marks] if stale else [day for day in marks if changed and day >= changed]
        return _Work(
            symbol=symbol,
            marks=marks,
            usable=before if before and len(stale) < len(EVENT_TYPES) else None,
            stale=stale,
            changed=changed,
            days=tuple(sorted(days)),
            bars=sum(bars_counted(marks[day]) for day in days),
        )

    def _settle(self, batch: "_Batch") -> list[Outcome]:
        """Detect the symbols of a batch together and publish their shards; alone, where one cannot be read."""
        if not batch.works:
            return batch.settled
        try:
            found = self._detected(batch.works)
        except (LakeError, InputError) as error:
            if len(batch.works) == 1:
                return [*batch.settled, _failed(batch.works[0].symbol, error)]
            alone = [outcome for work in batch.works for outcome in self._settle(_Batch([work]))]
            return [*batch.settled, *alone]
        return [*batch.settled, *(self._published(work, found[work.symbol]) for work in batch.works)]

    def _detected(self, works: "Sequence[_Work]") -> dict[str, Detection]:
        """What is found of each symbol, in the sessions and of the types that its work names."""
        looked_at = [work for work in works if work.days]
        nothing = Detection(SHARD.to_frame(), DAILY.to_frame(), {})
        if not looked_at:
            return {work.symbol: nothing for work in works}
        by_first = groupby(sorted(looked_at, key=attrgetter("first")), key=attrgetter("first"))
        bars = [
            self.bars.read_together([work.symbol for work in together], first, columns=BARS_READ)
            for first, together in by_first
        ]
        first, last = min(work.days[0] for work in looked_at), max(work.days[-1] for work in looked_at)
        symbols = [work.symbol for work in works]
        found = detect(
            pl.concat(bars),
            sessions_between(first, last, self.sessions),
            self.params,
            reference=self.reference.filter(pl.col("symbol").is_in(symbols)),
            earlier_days=pl.concat(work.history() for work in looked_at),
            types=looked_at[0].types,
        )
        events, daily = (frame.partition_by("symbol", as_dict=True) for frame in (found.events, found.daily))
        return {
            symbol: Detection(
                events.get((symbol,), nothing.events),
                daily.get((symbol,), nothing.daily),
                {symbol: found.by_symbol.get(symbol, dict.fromkeys(COUNTS, 0))},
            )
            for symbol in symbols
        }

    def _published(self, work: "_Work", found: Detection) -> Outcome:
        try:
            kept = self.shards.read(work.symbol).filter(work.kept()) if work.usable else SHARD.to_frame()
            new = found.events.filter(~work.kept())
            events = with_tiers(pl.concat([kept, new]), self.params)
            if kept.height and new.height:
                events = events.sort("timestamp", "event_type", "direction", descending=[False, False, True])
            volumes = work.volumes | dict(found.daily.select("day", "dollar_volume_day").iter_rows())
            self.shards.replace(work.symbol, events, self.covered(work.symbol, work.marks, volumes, events))
        except LakeError as error:
            return _failed(work.symbol, error)
        figures: dict[str, int | float] = {
            "sessions": len(work.marks),
            "sessions_detected": len(work.days),
            "event_types_detected": len(work.types) if work.days else 0,
            "events": events.height,
            "events_detected": new.height,
        }
        return Outcome((work.symbol,), figures | found.counts, rows=events.height)

    def _stale_types(self, symbol: str, coverage: Coverage) -> frozenset[str]:
        """The event types that a shard holds as other settings would have them."""
        now = self._identities(symbol)
        return frozenset(name for name in EVENT_TYPES if coverage.detections.get(name) != now[name])

    def _other_tiers(self, coverage: Coverage) -> bool:
        return coverage.tiers != self.params.tier_min_scores

    def _identities(self, symbol: str) -> dict[str, str]:
        """By event type, what decides its events: code, settings, sessions, what reference data allows."""
        allowed = self._verdicts.get(symbol, "unknown")
        return {name: _digest(f"{text}\n{allowed}") for name, text in self._deciding.items()}

    @cached_property
    def _deciding(self) -> dict[str, str]:
        sessions = self.sessions.model_dump_json()
        return {name: f"{CODE_VERSION}\n{self.params.deciding(name)}\n{sessions}" for name in EVENT_TYPES}

    @cached_property
    def _verdicts(self) -> dict[str, str]:
        rows = reference_verdicts(self.reference, self.params.filters).iter_rows()
        return {symbol: repr(verdict) for symbol, *verdict in rows}


@dataclass(frozen=True)
class _Work:
    """What is to be detected of one symbol, and what of its shard stays.

    Event types that are `stale` are detected in all sessions, as their settings changed. From the session `changed`
    on, the first that is new, different or gone, all types are; None where there is none.
    """

    symbol: str
    marks: Mapping[date, str]
    usable: Coverage | None
    stale: frozenset[str]
    changed: date | None
    days: tuple[date, ...]
    bars: int

    @property
    def first(self) -> date:
        """The first session to detect."""
        return self.days[0]

    @property
    def types(self) -> frozenset[str]:
        """The event types to look for."""
        return self.stale if self.changed is None else frozenset(EVENT_TYPES)

    @property
    def volumes(self) -> dict[date, float]:
        """Dollar volume of the sessions that are not detected."""
        known = self.usable.dollar_volumes if self.usable else {}
        return {day: usd for day, usd in known.items() if day in self.marks and day not in set(self.days)}

    def history(self) -> pl.DataFrame:
        """Dollar volumes (DAILY) of the sessions before those to detect."""
        days = {"symbol": [self.symbol] * len(self.volumes), "day": list(self.volumes)}
        return pl.DataFrame(days | {"dollar_volume_day": list(self.volumes.values())}, schema=DAILY).sort("day")

    def kept(self) -> pl.Expr:
        """Which events of the shard stay: of types and sessions that are as they were."""
        current = ~pl.col("event_type").is_in(sorted(self.stale))
        return current if self.changed is None else current & (pl.col("date") < f"{self.changed}")


@dataclass
class _Batch:
    """Symbols that are detected together, and the outcomes of others that need not be."""

    works: list[_Work] = field(default_factory=list)
    settled: list[Outcome] = field(default_factory=list)

    def has_room(self, found: "_Work | Outcome") -> bool:
        """Whether `found` may join: of few bars, and looking for the same types."""
        if isinstance(found, Outcome):
            return len(self.settled) < SETTLED_AT_ONCE
        if not self.works:
            return True
        return found.types == self.works[0].types and sum(work.bars for work in self.works) + found.bars <= BARS_AT_ONCE

    def add(self, found: "_Work | Outcome") -> None:
        """Let it join."""
        if isinstance(found, Outcome):
            self.settled.append(found)
        else:
            self.works.append(found)


def _failed(symbol: str, error: Exception) -> Outcome:
    return Outcome((symbol,), {}, (f"{symbol}: {error}",))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _first_difference(marks: Mapping[date, str], known: Mapping[date, str]) -> date | None:
    """The first session whose events, or whose volume that later days compare with, is not what the shard holds."""
    return min((day for day in marks.keys() | known.keys() if marks.get(day) != known.get(day)), default=None)
