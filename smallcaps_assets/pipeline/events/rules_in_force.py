"""What determines the events of a symbol, and which shards were detected otherwise."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import polars as pl

from smallcaps_assets.domain.events.detection import DetectionParams, reference_verdicts
from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.listings.borders import ListingBorders
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.symbols import ExchangeTestSymbols
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage

# Raised with every code change that changes events: shards of an earlier version are detected again.
CODE_VERSION: Final = "2"
# in place of the reference verdict of a symbol of which no events are made
_TEST_SYMBOL: Final = "test symbol"


@dataclass(frozen=True)
class RulesInForce:
    """All that determines events apart from the bars: code, settings, sessions, reference data, borders of listings."""

    params: DetectionParams
    sessions: SessionParams
    reference: pl.DataFrame
    test_symbols: ExchangeTestSymbols
    borders: ListingBorders

    def stale_types(self, symbol: str, coverage: ShardCoverage) -> frozenset[str]:
        """The event types of a shard that were detected by other rules."""
        now = self.identities(symbol)
        return frozenset(name for name in EVENT_TYPES if coverage.detections.get(name) != now[name])

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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
