"""Event shards: detect the sessions that are new or changed, keep the rest."""

import os
from collections.abc import Callable, Iterator, Sequence
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
    with_tiers,
)
from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.events.features import DAILY
from smallcaps_assets.domain.listings.borders import NO_BORDERS, ListingBorders
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.symbols import ExchangeTestSymbols
from smallcaps_assets.domain.tables import KEPT_CANDIDATES, SHARD
from smallcaps_assets.errors import InputError, LakeError, SmallcapsError, UnexpectedError
from smallcaps_assets.lake.bar_files.listed import MonthFile
from smallcaps_assets.lake.bar_files.month_files import count_bars
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.candidates import CandidateStore
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.lake.events.shard_proofs import prove_shard
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.events.candidates import CandidateKeeper, RenewedCandidates
from smallcaps_assets.pipeline.events.changed_files import covered_file, first_difference, gone_sessions
from smallcaps_assets.pipeline.events.renewed import RenewedShards, failed_outcome, with_candidates
from smallcaps_assets.pipeline.events.rows import require_all
from smallcaps_assets.pipeline.events.rules_in_force import RulesInForce
from smallcaps_assets.pipeline.events.work import DetectionBatch, SymbolWork, history, remains_valid
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.unexpected import UNFORESEEN, UnexpectedErrors

NO_TEST_SYMBOLS: Final = ExchangeTestSymbols()
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
        return coverage is None or not (self._rules.stale_types(symbol, coverage) or self._tiers_differ(coverage))

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
                found = failed_outcome(symbol, error)
            if isinstance(found, UnexpectedError):
                found = failed_outcome(symbol, found)
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
        stale = frozenset(EVENT_TYPES) if before is None else self._rules.stale_types(symbol, before)
        changed = None if before is None else first_difference(files, known)
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
        remaining = {name: covered_file(file, known.get(name), first) for name, file in changed_files.items()}
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
            gone=gone_sessions(files, known),
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
                return failed_outcome(work.symbol, error)
            return self._publish([work], renewed)[0]

        found = self._unexpected.attempt(work.symbol, renew_and_publish)
        return failed_outcome(work.symbol, found) if isinstance(found, UnexpectedError) else found

    def _publish(self, works: Sequence[SymbolWork], renewed: RenewedShards) -> list[Outcome]:
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
            failed_outcome(work.symbol, failed[work.symbol])
            if work.symbol in failed
            else with_candidates(renewed.outcome(work), candidates.get(work.symbol))
            for work in works
        ]

    def _renew(self, works: Sequence[SymbolWork]) -> RenewedShards:
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
        return RenewedShards(events, candidates, coverages, found.by_symbol, added, left_out)

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

    def _tiers_differ(self, coverage: ShardCoverage) -> bool:
        return coverage.tiers != self.params.tier_min_scores

    def identities(self, symbol: str) -> dict[str, str]:
        """By event type, a digest of all that determines its events: code, settings, sessions, reference verdicts.

        Borders of listings are part of it where the symbol has some.
        """
        return self._rules.identities(symbol)

    @cached_property
    def _rules(self) -> RulesInForce:
        return RulesInForce(self.params, self.sessions, self.reference, self.test_symbols, self.borders)

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
