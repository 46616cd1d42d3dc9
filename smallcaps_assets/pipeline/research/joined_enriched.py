"""Every event with what followed it (research specification, sections 3.4 and 3.5): one table over all symbols."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.tables.bar_tables import EVENT_RECONCILIATION, EVENT_SCORES
from smallcaps_assets.domain.research.tables.enriched_table import (
    ENRICHED,
    EnrichedParts,
    enrich_events,
    events_with_waves,
)
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES
from smallcaps_assets.domain.research.tape.tape_halts import EVENT_TAPE_STATE
from smallcaps_assets.domain.tables import EVENTS, SHARD
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.events.master import load_imported_events
from smallcaps_assets.lake.files.proven_files import prove_once
from smallcaps_assets.lake.files.stored_tables import is_stored, naming_damaged
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.symbol_paths import symbol_of
from smallcaps_assets.pipeline.research.joined_files import JoinedFile, JoinedFiles
from smallcaps_assets.settings.settings import PROFILES

ENRICHED_TABLE: Final = "events_with_waves_enriched"
# Raised with every code change that changes rows.
ENRICHED_VERSION: Final = "1"
# symbols whose rows are in memory together
_SYMBOLS_AT_ONCE: Final = 200
_FilesOfSymbols = Mapping[str, list[Path]]


class _TapeTables(NamedTuple):
    """The files of each table, by symbol, those of the profiles in their order."""

    reconciliation: _FilesOfSymbols
    states: _FilesOfSymbols


@dataclass(frozen=True)
class EnrichedEvents:
    """Makes the table of a lake.

    Columns of tape belong to a profile. An event has them from the first profile that has a row of it, in the order
    core, plus, premium.

    Attributes:
        lake: the lake.
    """

    lake: Lake

    def publish(self) -> JoinedFile:
        """Publish ENRICHED of every event of which there are outcomes, in MASTER order, made of some symbols at a time.

        Raises:
            InputError: there is no MASTER yet.
            LakeError: a file is damaged or cannot be read or written.
        """
        if not is_stored(self.lake.master):
            raise InputError(f"{self.lake.master}: no MASTER yet. Materialize master_events first.")
        outcomes, candidates, tape = self._outcomes, self._candidates, self._tape
        files = {
            "outcomes": list(outcomes.values()),
            "scores": self._files.of_lake("event_scores"),
            "candidates": list(candidates.values()),
            "reconciliation": _all(tape.reconciliation),
            "states": _all(tape.states),
        }
        inputs = {"code": ENRICHED_VERSION, "master": prove_once(self.lake.master)}
        if is_stored(self.lake.imported_events):
            inputs["imported"] = prove_once(self.lake.imported_events)
        inputs |= {name: self._files.contents(paths) for name, paths in files.items()}
        return self._files.publish_parts(self.lake.research_table(ENRICHED_TABLE), ENRICHED, inputs, self._parts)

    @property
    def _files(self) -> JoinedFiles:
        return JoinedFiles(self.lake)

    @cached_property
    def _outcomes(self) -> Mapping[str, Path]:
        files = self._files.of_symbols(self.lake.research / "event_outcomes")
        return {symbol_of(path.stem): path for path in files}

    @cached_property
    def _candidates(self) -> Mapping[str, Path]:
        return {symbol_of(path.stem): path for path in self._files.of_symbols(self.lake.candidates)}

    @cached_property
    def _tape(self) -> _TapeTables:
        tables = ("event_reconciliation", "event_tape_state")
        return _TapeTables(*(self._of_profiles(table) for table in tables))

    def _of_profiles(self, table: str) -> _FilesOfSymbols:
        found = defaultdict[str, list[Path]](list)
        for profile in PROFILES:
            for path in self._files.of_symbols(self.lake.research / profile / table):
                found[symbol_of(path.stem)].append(path)
        return found

    def _parts(self) -> Iterator[pl.DataFrame]:
        scores = self._read(self._files.of_lake("event_scores"), EVENT_SCORES)
        imported = load_imported_events(self.lake)
        for symbols in _in_parts(tuple(self._outcomes)):
            outcomes = self._read([self._outcomes[symbol] for symbol in symbols], EVENT_OUTCOMES)
            outcomes = outcomes.sort("symbol", "timestamp", "event_type", maintain_order=True)
            events = self._events_of(symbols, outcomes["event_id"], imported)
            own = scores.filter(pl.col("event_id").is_in(outcomes["event_id"].implode()))
            yield enrich_events(
                # an event that is no longer detected, of a symbol whose outcomes are behind, is left out
                events_with_waves(events, outcomes.join(events, on="event_id", how="semi", maintain_order="left")),
                EnrichedParts(
                    own,
                    self._of_tape(self._tape.reconciliation, symbols, EVENT_RECONCILIATION),
                    self._of_tape(self._tape.states, symbols, EVENT_TAPE_STATE),
                ),
            )

    def _events_of(self, symbols: tuple[str, ...], wanted: pl.Series, imported: pl.DataFrame) -> pl.DataFrame:
        """EVENTS of some symbols: those of MASTER, the imported ones, and candidates that are in neither."""
        within = pl.col("symbol").is_between(pl.lit(symbols[0]), pl.lit(symbols[-1]))
        with naming_damaged([self.lake.master], self.lake.root, EVENTS):
            master = self._files.store.scan([self.lake.master], EVENTS).filter(within).collect()
        others = imported.filter(pl.col("event_id").is_in(wanted.implode()))
        known = pl.concat([master, others])["event_id"]
        candidates = [self._candidates[symbol] for symbol in symbols if symbol in self._candidates]
        missing = wanted.filter(~wanted.is_in(known.implode()))
        found = self._read(candidates, SHARD, pl.col("event_id").is_in(missing.implode()))
        rest = found.with_columns(event_group_id=pl.lit(None, pl.String)).select(*EVENTS)
        return pl.concat([master, others, rest]).unique("event_id", keep="first", maintain_order=True)

    def _of_tape(self, files: _FilesOfSymbols, symbols: tuple[str, ...], schema: pl.Schema) -> pl.DataFrame:
        """Rows of tape of some symbols, of each event the first."""
        rows = self._read([path for symbol in symbols for path in files.get(symbol, [])], schema)
        return rows.unique("event_id", keep="first", maintain_order=True)

    def _read(self, files: list[Path], schema: pl.Schema, condition: pl.Expr | None = None) -> pl.DataFrame:
        """Columns of files, each proved first."""
        rows = self._files.scan(files, schema)
        with naming_damaged(files, self.lake.research, schema):
            return (rows if condition is None else rows.filter(condition)).collect()


def _all(files: _FilesOfSymbols) -> list[Path]:
    return [path for paths in files.values() for path in paths]


def _in_parts(symbols: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (symbols[start : start + _SYMBOLS_AT_ONCE] for start in range(0, len(symbols), _SYMBOLS_AT_ONCE))
