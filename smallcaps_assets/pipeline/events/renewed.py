"""Shards as they are detected, before they are published, and what is said of each symbol afterwards."""

from dataclasses import replace
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.events.detection import DETECTION_COUNTS
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.pipeline.events.candidates import RenewedCandidates
from smallcaps_assets.pipeline.events.lost_bars import SESSIONS_GONE
from smallcaps_assets.pipeline.events.work import SymbolWork
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.problems import Problem


class RenewedShards(NamedTuple):
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


def with_candidates(outcome: Outcome, renewed: RenewedCandidates | None) -> Outcome:
    """An outcome with the figures of the candidates of its symbol, and with what was wrong with them."""
    if renewed is None:
        return outcome
    symbol, error = outcome.partition[0], renewed.error
    problems = () if error is None else (Problem.of(f"candidates of {symbol}", error, symbol=symbol),)
    return replace(outcome, figures={**outcome.figures, **renewed.figures}, problems=problems)


def failed_outcome(symbol: str, error: Exception) -> Outcome:
    """The outcome of a symbol that could not be detected."""
    return Outcome((symbol,), {}, (Problem.of(symbol, error, symbol=symbol),))
