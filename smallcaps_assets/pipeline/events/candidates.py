"""Event candidates beside the shards: keep those of unchanged sessions, add the newly detected ones."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.lengths import select_minutes
from smallcaps_assets.domain.events.detection import BARS_READ, DetectionParams, detect, with_tiers
from smallcaps_assets.domain.listings.borders import NO_BORDERS, ListingBorders
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.symbols import ExchangeTestSymbols
from smallcaps_assets.domain.tables import CANDIDATES, KEPT_CANDIDATES
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.bar_files.month_files import count_bars
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.candidates import CandidateOrigin, CandidateStore
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.events.rows import require_all
from smallcaps_assets.pipeline.events.work import SymbolWork, remains_valid


class RenewedCandidates(NamedTuple):
    """What became of the candidates of one symbol: figures, and the error that kept them from being published."""

    figures: Mapping[str, int]
    error: LakeError | InputError | None = None


@dataclass(frozen=True)
class CandidateKeeper:
    """Publishes the candidates of symbols; those of test symbols stay empty."""

    store: CandidateStore
    bars: BarsStore
    params: DetectionParams
    sessions: SessionParams
    reference: pl.DataFrame
    test_symbols: ExchangeTestSymbols
    borders: ListingBorders = NO_BORDERS

    def renew(
        self, works: Iterable[SymbolWork], found: pl.DataFrame, coverages: Mapping[str, ShardCoverage]
    ) -> dict[str, RenewedCandidates]:
        """Publish the candidates of several symbols, one after the other, before their shards are published.

        Args:
            works: what was detected; all of them combine.
            found: the candidates (KEPT_CANDIDATES) of the detected sessions and types.
            coverages: of the shards that are about to be published.
        """
        works = list(works)
        valid = remains_valid(works)
        of_tests = pl.col("symbol").is_in(self.test_symbols.among(work.symbol for work in works))
        new = found.filter(~valid & ~of_tests).partition_by("symbol", as_dict=True, maintain_order=True)
        renewed, none = {}, KEPT_CANDIDATES.to_frame()
        for work in works:
            added = new.get((work.symbol,), none)
            try:
                renewed[work.symbol] = self._renew(work, added, valid & ~of_tests, coverages[work.symbol])
            except (LakeError, InputError) as error:
                renewed[work.symbol] = RenewedCandidates({}, error)
        self.store.sweep([work.symbol for work in works])
        return renewed

    def remove_outdated(self, coverages: Mapping[str, ShardCoverage]) -> None:
        """Remove candidates whose settings are not those of the shards that are about to be published.

        A file that cannot be read or removed stays: `verify` names it.
        """
        for symbol, coverage in coverages.items():
            with suppress(LakeError):
                origin = self.store.origin(symbol)
                if origin is not None and not origin.has_settings_of(coverage):
                    self.store.remove(symbol)

    def published(self, symbol: str, detections: dict[str, str], sessions: Mapping[date, str]) -> pl.DataFrame:
        """The candidates (CANDIDATES) of these sessions of `symbol`, detected and published if they are not yet.

        Raises:
            LakeError: files cannot be read or written.
            InputError: the bars lack a column.
        """
        origin = CandidateOrigin.of(detections, self.params.tier_min_scores, sessions)
        rows = self.store.read(symbol, [origin]).rows
        if rows is None:
            rows = self._detect(symbol, sessions)
            self.store.publish(symbol, rows, origin)
        return rows.select(*CANDIDATES)

    def _renew(
        self, work: SymbolWork, added: pl.DataFrame, valid: pl.Expr, coverage: ShardCoverage
    ) -> RenewedCandidates:
        after = CandidateOrigin.of_shard(coverage)
        rows, set_aside = added, False
        if work.usable is not None:
            before = CandidateOrigin.of_shard(work.usable)
            # a process that was killed before it published the shard has published its candidates already
            stored = self.store.read(work.symbol, [before, after], conditions=True)
            set_aside = stored.set_aside
            if stored.rows is None:
                rows = self._detect(work.symbol, coverage.sessions)
            else:
                # as in most nights, every stored session is before those that were detected
                all_valid = work.only_appends and stored.origin == before and work.symbol not in self.test_symbols
                kept = stored.rows if all_valid else stored.rows.filter(valid)
                if before.tiers != after.tiers:
                    kept = with_tiers(kept, self.params)
                rows = kept.vstack(added)
                if not work.only_appends:
                    order = ("symbol", "timestamp", "event_type", "direction")
                    rows = rows.sort(order, descending=[False, False, False, True])
        self.store.publish(work.symbol, rows, after)
        figures = {"candidates": rows.height}
        return RenewedCandidates(figures | ({"damaged_candidates_set_aside": 1} if set_aside else {}))

    def _detect(self, symbol: str, sessions: Mapping[date, str]) -> pl.DataFrame:
        """The candidates (KEPT_CANDIDATES) of all sessions, whose fingerprints are given, from the bars in the lake."""
        if not sessions or symbol in self.test_symbols:
            return KEPT_CANDIDATES.to_frame()
        bars = self.bars.read_together([symbol], columns=BARS_READ)
        require_all(bars, {symbol: sum(map(count_bars, sessions.values()))}, "bars")
        minutes, _ = select_minutes(bars)
        found = detect(
            minutes,
            sessions_and_earlier(min(sessions), max(sessions), self.params.features.rvol_sessions, self.sessions),
            self.params,
            reference=self.reference.filter(symbol=symbol),
            keep_conditions=True,
            borders=self.borders.of_symbols([symbol]),
        ).candidates
        assert found is not None  # noqa: S101 -- as asked for
        return found
