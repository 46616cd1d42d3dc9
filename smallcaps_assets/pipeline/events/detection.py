"""Event shards: detect the sessions that are new or changed, keep the rest."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, partial
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.lengths import select_minutes
from smallcaps_assets.domain.events.detection import (
    BARS_READ,
    DETECTION_COUNTS,
    Detection,
    DetectionParams,
    detect,
    reference_verdicts,
    with_tiers,
)
from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.events.features import DAILY
from smallcaps_assets.domain.listings.borders import NO_BORDERS, ListingBorders
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.symbols import ExchangeTestSymbols
from smallcaps_assets.domain.tables import KEPT_CANDIDATES, SHARD
from smallcaps_assets.errors import InputError, LakeError, SmallcapsError, UnexpectedError
from smallcaps_assets.lake.bar_files.listed import MonthFile, MonthFiles
from smallcaps_assets.lake.bar_files.month_files import count_bars
from smallcaps_assets.lake.bar_files.months import MonthCoverage
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.candidates import CandidateStore
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.lake.events.shard_proofs import prove_shard
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.events.candidates import CandidateKeeper, RenewedCandidates
from smallcaps_assets.pipeline.events.lost_bars import SESSIONS_GONE
from smallcaps_assets.pipeline.events.rows import require_all
from smallcaps_assets.pipeline.events.work import CoveredFile, DetectionBatch, SymbolWork, history, remains_valid
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.problems import Problem
from smallcaps_assets.pipeline.unexpected import UNFORESEEN, UnexpectedErrors

# Raised with every code change that changes events: shards of an earlier version are detected again.
CODE_VERSION: Final = "2"
NO_TEST_SYMBOLS: Final = ExchangeTestSymbols()
# in place of the reference verdict of a symbol of which no events are made
_TEST_SYMBOL: Final = "test symbol"

# Concurrent detections, about 200 MB each.
THREADS: Final = min(4, os.cpu_count() or 1) + 1
NO_DAYS: Final = DAILY.to_frame()


class DetectionBacklog(NamedTuple):
    """The fetched sessions of a symbol, and those of them that are not detected."""

    fetched: set[date]
    undetected: set[date]


@dataclass(frozen=True)
class Detector:
    """Detects the events of symbols in a lake and publishes their shards; those of test symbols stay empty.

    Beside the shards it publishes their candidates, unless `keeps_candidates` is false. No baseline reaches over a
    border of listings; where the borders of a symbol change, its shard is stale.
    """

    bars: BarsStore
    shards: ShardStore
    params: DetectionParams
    sessions: SessionParams
    reference: pl.DataFrame
    test_symbols: ExchangeTestSymbols = NO_TEST_SYMBOLS
    keeps_candidates: bool = True
    borders: ListingBorders = NO_BORDERS

    def run(self, symbols: Sequence[str], tick: Callable[[], None] = lambda: None) -> Iterator[Outcome]:
        """Bring the shards of `symbols` up to date; one outcome per symbol, in order of completion.

        Symbols with little to detect are detected together, which takes no more time than one symbol. A symbol whose
        files cannot be read or written, or that meets an error that nobody foresaw, is reported with the cause; the
        others continue. `tick` is called at least once a second.

        Raises:
            UnexpectedError: many symbols in a row met errors that nobody foresaw.
        """
        self.shards.differences.move()
        for outcomes in in_threads(self._detect_batch, self._batches(symbols), most=THREADS, tick=tick):
            yield from outcomes

    def survey(self) -> pl.DataFrame:
        """Every shard: `symbol`, `sessions` (the number it covers), `current` (detected with these settings).

        One that cannot be read covers nothing and is not current.
        """
        rows = []
        for symbol in self.shards.symbols():
            try:
                coverage = self.shards.coverage(symbol)
            except LakeError:
                rows.append((symbol, 0, False))
                continue
            if coverage:
                rows.append((symbol, coverage.session_count, self.is_current(symbol, coverage)))
        schema = {"symbol": pl.String, "sessions": pl.Int64, "current": pl.Boolean}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def is_current(self, symbol: str, coverage: ShardCoverage | None) -> bool:
        """Whether a shard was detected with these settings; true without a shard."""
        return coverage is None or not (self._stale_types(symbol, coverage) or self._tiers_differ(coverage))

    def backlog(self, symbol: str) -> DetectionBacklog:
        """The fetched sessions of `symbol`, and those whose current bars its shard does not cover.

        Raises:
            LakeError: a file cannot be read.
        """
        before = self.shards.coverage(symbol)
        fetched = self.fetched_sessions(symbol, before)
        if before is None or not self.is_current(symbol, before):
            return DetectionBacklog(set(fetched), set(fetched))
        return DetectionBacklog(
            set(fetched), {day for day, fingerprint in fetched.items() if before.sessions.get(day) != fingerprint}
        )

    def fetched_sessions(self, symbol: str, before: ShardCoverage | None) -> dict[date, str]:
        """The fingerprints of the fetched sessions of `symbol`, see `BarsStore.fingerprints`.

        Bar files that have not changed since the detection are not opened.

        Raises:
            LakeError: a file cannot be read.
        """
        known = before.months if before else {}
        files = self.bars.months(symbol, known)
        if before and not files.opened and len(files.same) == len(known):
            return before.sessions
        by_month = {name: known[name].fingerprints() for name in files.same}
        by_month |= {name: file.fingerprints for name, file in files.opened.items()}
        return {day: fingerprint for name in sorted(by_month) for day, fingerprint in by_month[name].items()}

    def candidates_of(self, symbol: str) -> pl.DataFrame:
        """The candidates (CANDIDATES) of all fetched sessions of `symbol`, with the settings in force.

        Where they are not published, as in lakes of earlier releases, they are detected from the bars and published;
        the shard stays as it is.

        Raises:
            LakeError: files cannot be read or written.
            InputError: the bars lack a column.
        """
        sessions = self.fetched_sessions(symbol, self.shards.coverage(symbol))
        return self._candidates.published(symbol, self.identities(symbol), sessions)

    def _batches(self, symbols: Sequence[str]) -> Iterator[DetectionBatch]:
        """The work of `symbols` in batches."""
        batch = DetectionBatch()
        for symbol in symbols:
            try:
                found = self._unplanned.attempt(symbol, partial(self._plan, symbol))
            except LakeError as error:
                found = _failed(symbol, error)
            if isinstance(found, UnexpectedError):
                found = _failed(symbol, found)
            if not batch.has_room(found):
                yield batch
                batch = DetectionBatch()
            batch.add(found)
        if batch.settled or batch.works:
            yield batch

    def _plan(self, symbol: str) -> SymbolWork | Outcome:
        """The work of a symbol, or its outcome if there is nothing to detect."""
        before, set_aside = prove_shard(self.shards, symbol)
        known = before.months if before else {}
        files = self.bars.months(symbol, known)
        stale = frozenset(EVENT_TYPES) if before is None else self._stale_types(symbol, before)
        changed = None if before is None else _first_difference(files, known)
        if before and not stale and changed is None and not self._tiers_differ(before):
            nothing_detected = {"sessions_detected": 0, "event_types_detected": 0, "events": before.events}
            return Outcome((symbol,), {"sessions": before.session_count, **nothing_detected}, rows=before.events)
        # all sessions from this one on are detected
        first = date.min if stale else changed or date.max
        since = first.isoformat()
        kept = {name: known[name] for name in files.same if known[name].last < since}
        changed_files = {
            name: MonthFile(known[name].state, known[name].fingerprints()) for name in files.same if name not in kept
        } | files.opened
        remaining = {name: _covered(file, known.get(name), first) for name, file in changed_files.items()}
        detected = {
            day: fingerprint
            for file in remaining.values()
            for day, fingerprint in file.fingerprints.items()
            if day >= first
        }
        return SymbolWork(
            symbol=symbol,
            usable=before if before and len(stale) < len(EVENT_TYPES) else None,
            stale=stale,
            changed=changed,
            kept=kept,
            files=remaining,
            days=tuple(sorted(detected)),
            bars=sum(map(count_bars, detected.values())),
            gone=_gone(files, known),
            only_appends=not stale and all(known[name].last < since for name in known.keys() - kept),
            set_aside=set_aside,
        )

    def _detect_batch(self, batch: DetectionBatch) -> list[Outcome]:
        """Detect the symbols of a batch together and publish their shards; one by one if a symbol cannot be read."""
        if not batch.works:
            return batch.settled
        if len(batch.works) == 1:
            return [*batch.settled, self._detect_one(batch.works[0])]
        together = self._detect_together(batch.works)
        return [*batch.settled, *(map(self._detect_one, batch.works) if together is None else together)]

    def _detect_together(self, works: Sequence[SymbolWork]) -> list[Outcome] | None:
        """Detect several symbols and publish their shards; None where they have to be detected one by one."""
        try:
            try:
                renewed = self._renew(works)
            except (LakeError, InputError):
                return None
            return self._publish(works, renewed)
        except SmallcapsError:
            raise
        except UNFORESEEN:
            return None

    def _detect_one(self, work: SymbolWork) -> Outcome:
        """Detect one symbol and publish its shard."""

        def renew_and_publish() -> Outcome:
            try:
                renewed = self._renew([work])
            except (LakeError, InputError) as error:
                return _failed(work.symbol, error)
            return self._publish([work], renewed)[0]

        found = self._unexpected.attempt(work.symbol, renew_and_publish)
        return _failed(work.symbol, found) if isinstance(found, UnexpectedError) else found

    def _publish(self, works: Sequence[SymbolWork], renewed: "_Renewed") -> list[Outcome]:
        """Publish the candidates and the new shards of several symbols.

        Candidates that cannot be published are a problem of their symbol, whose shard is published all the same.
        """
        candidates = dict[str, RenewedCandidates]()
        if self.keeps_candidates:
            candidates = self._candidates.renew(works, renewed.candidates, renewed.coverages)
        else:
            self._candidates.remove_outdated(renewed.coverages)
        failed = self.shards.replace_together(renewed.events, renewed.coverages)
        for work in works:
            self._unexpected.succeeded(work.symbol)
        return [
            _failed(work.symbol, failed[work.symbol])
            if work.symbol in failed
            else _with_candidates(renewed.outcome(work), candidates.get(work.symbol))
            for work in works
        ]

    def _renew(self, works: Sequence[SymbolWork]) -> "_Renewed":
        """The new shards of several symbols: the events that remain valid and the newly detected ones."""
        found = self._detect(works)
        of_tests = pl.col("symbol").is_in(self.test_symbols.among(work.symbol for work in works))
        valid = remains_valid(works) & ~of_tests
        new = found.events.filter(~valid & ~of_tests)
        added = dict(new.group_by("symbol").len().iter_rows())
        # most sessions have no event: shards of symbols without new events need not be read
        same = {
            work.symbol: work.usable
            for work in works
            if work.usable and work.only_appends and work.symbol not in added and not self._tiers_differ(work.usable)
        }
        read = {work.symbol: work.usable.events for work in works if work.usable and work.symbol not in same}
        kept = self.shards.read_together(list(read))
        require_all(kept, read, "events")
        events = with_tiers(pl.concat([kept.filter(valid), new]), self.params)
        if all(work.only_appends for work in works):  # the new events of a symbol follow the old ones
            events = events.sort("symbol", maintain_order=True)
        else:
            events = events.sort(
                "symbol", "timestamp", "event_type", "direction", descending=[False, False, False, True]
            )
        heights = dict(events.group_by("symbol").len().iter_rows())
        volumes: dict[str, dict[date, float]] = {work.symbol: {} for work in works}
        for symbol, day, usd in found.daily.iter_rows():
            volumes[symbol][day] = usd
        coverages = {}
        for work in works:
            months, before = work.months(volumes[work.symbol]), same.get(work.symbol)
            coverages[work.symbol] = (
                replace(before, months=months)
                if before
                else ShardCoverage(
                    detections=self.identities(work.symbol),
                    tiers=self.params.tier_min_scores,
                    months=months,
                    events=heights.get(work.symbol, 0),
                )
            )
        left_out = dict(found.events.filter(of_tests).group_by("symbol").len().iter_rows())
        candidates = KEPT_CANDIDATES.to_frame() if found.candidates is None else found.candidates
        return _Renewed(events, candidates, coverages, found.by_symbol, added, left_out)

    def _detect(self, works: Sequence[SymbolWork]) -> Detection:
        """Detect the sessions and event types of the works."""
        to_detect = [work for work in works if work.days]
        if not to_detect:
            return Detection(SHARD.to_frame(), NO_DAYS, {})
        by_first = groupby(sorted(to_detect, key=attrgetter("first")), key=attrgetter("first"))
        bars = pl.concat(
            self.bars.read_together([work.symbol for work in group], first, columns=BARS_READ)
            for first, group in by_first
        )
        require_all(bars, {work.symbol: work.bars for work in to_detect}, "bars")
        first, last = min(work.days[0] for work in to_detect), max(work.days[-1] for work in to_detect)
        # earlier releases, and people's own copies, may have put other bars into the lake
        minutes, left_out = select_minutes(bars)
        found = detect(
            minutes,
            sessions_and_earlier(first, last, self.params.features.rvol_sessions, self.sessions),
            self.params,
            reference=self.reference.filter(pl.col("symbol").is_in([work.symbol for work in works])),
            earlier_days=history(to_detect, self.params.features.rvol_days),
            types=to_detect[0].types,
            keep_conditions=self.keeps_candidates,
            borders=self.borders.of_symbols([work.symbol for work in works]),
        )
        none = dict.fromkeys(DETECTION_COUNTS, 0)
        counts = {symbol: found.by_symbol.get(symbol, none) | others for symbol, others in left_out.items()}
        return found._replace(by_symbol=found.by_symbol | counts)

    def _stale_types(self, symbol: str, coverage: ShardCoverage) -> frozenset[str]:
        """The event types of a shard that were detected with other settings."""
        now = self.identities(symbol)
        return frozenset(name for name in EVENT_TYPES if coverage.detections.get(name) != now[name])

    def _tiers_differ(self, coverage: ShardCoverage) -> bool:
        return coverage.tiers != self.params.tier_min_scores

    def identities(self, symbol: str) -> dict[str, str]:
        """By event type, a digest of all that determines its events: code, settings, sessions, reference verdicts.

        Borders of listings are part of it where the symbol has some.
        """
        verdict = _TEST_SYMBOL if symbol in self.test_symbols else self._verdicts.get(symbol, "unknown")
        if borders := self.borders.text(symbol):
            verdict += f"\nlistings change on {borders}"
        if verdict not in self._identities:
            self._identities[verdict] = {
                name: _digest(f"{text}\n{verdict}") for name, text in self._params_by_type.items()
            }
        return self._identities[verdict]

    @cached_property
    def _candidates(self) -> CandidateKeeper:
        store = CandidateStore(self.bars.lake)
        rules = self.params, self.sessions, self.reference, self.test_symbols, self.borders
        return CandidateKeeper(store, self.bars, *rules)

    @cached_property
    def _unexpected(self) -> UnexpectedErrors:
        return UnexpectedErrors(self.bars.lake, "event_shards")

    @cached_property
    def _unplanned(self) -> UnexpectedErrors:
        # apart: symbols that can be planned do not show that they can be detected
        return UnexpectedErrors(self.bars.lake, "plan of event_shards")

    @cached_property
    def _identities(self) -> dict[str, dict[str, str]]:
        """Digests by reference verdict; there are few distinct verdicts."""
        return {}

    @cached_property
    def _params_by_type(self) -> dict[str, str]:
        sessions = self.sessions.model_dump_json()
        return {name: f"{CODE_VERSION}\n{self.params.dump_for(name)}\n{sessions}" for name in EVENT_TYPES}

    @cached_property
    def _verdicts(self) -> dict[str, str]:
        rows = reference_verdicts(self.reference, self.params.filters).iter_rows()
        return {symbol: repr(verdict) for symbol, *verdict in rows}


class _Renewed(NamedTuple):
    """Shards to publish, with the rows removed by each rule and the number of new events, by symbol.

    `candidates` are those of the detected sessions; `left_out` counts the events of test symbols, which are not
    published.
    """

    events: pl.DataFrame
    candidates: pl.DataFrame
    coverages: dict[str, ShardCoverage]
    counts: dict[str, dict[str, int]]
    new: dict[str, int]
    left_out: dict[str, int]

    def outcome(self, work: SymbolWork) -> Outcome:
        """The outcome of one published symbol."""
        events = self.coverages[work.symbol].events
        figures: dict[str, int | float] = {
            "sessions": work.sessions,
            "sessions_detected": len(work.days),
            "event_types_detected": len(work.types) if work.days else 0,
            "events": events,
            "events_detected": self.new.get(work.symbol, 0),
        }
        if work.gone:
            figures[SESSIONS_GONE] = len(work.gone)
        if work.set_aside is not None:
            figures["damaged_shard_set_aside"] = 1
        if work.symbol in self.left_out:
            figures["events_of_test_symbol_left_out"] = self.left_out[work.symbol]
        return Outcome(
            (work.symbol,), figures | self.counts.get(work.symbol, dict.fromkeys(DETECTION_COUNTS, 0)), rows=events
        )


def _with_candidates(outcome: Outcome, renewed: RenewedCandidates | None) -> Outcome:
    if renewed is None:
        return outcome
    symbol, error = outcome.partition[0], renewed.error
    problems = () if error is None else (Problem.of(f"candidates of {symbol}", error, symbol=symbol),)
    return replace(outcome, figures={**outcome.figures, **renewed.figures}, problems=problems)


def _failed(symbol: str, error: Exception) -> Outcome:
    return Outcome((symbol,), {}, (Problem.of(symbol, error, symbol=symbol),))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _covered(file: MonthFile, known: MonthCoverage | None, first: date) -> CoveredFile:
    """A file whose sessions are detected from `first` on, with the dollar volumes of its earlier sessions."""
    volumes = {day: usd for day, usd in known.dollar_volumes().items() if day < first} if known else {}
    return CoveredFile(*file, volumes)


def _gone(files: MonthFiles, known: Mapping[str, MonthCoverage]) -> tuple[date, ...]:
    """The sessions that a shard was detected from and that no bar file has any more."""
    now = {day for file in files.opened.values() for day in file.fingerprints}
    before = {day for name in known.keys() - files.same for day in known[name].fingerprints()}
    return tuple(sorted(before - now))


def _first_difference(files: MonthFiles, known: Mapping[str, MonthCoverage]) -> date | None:
    """The first session whose bars differ from those that the shard was detected from; None without one."""
    differing = set[date]()
    for name in files.opened.keys() | known.keys() - files.same:
        now = files.opened[name].fingerprints if name in files.opened else {}
        before = known[name].fingerprints() if name in known else {}
        differing |= {day for day in now.keys() | before.keys() if now.get(day) != before.get(day)}
    return min(differing, default=None)
