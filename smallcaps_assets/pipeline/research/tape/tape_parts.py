"""The files of the research tables of one symbol and wave: what they were computed from, and which rows stay.

A file says in its footer by which code, settings and conditions its rows were computed, and of each block a digest of
what they depend on: the hashes of its tape files, the fingerprints of its days of bars, and its events.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.research.bars.halts import HaltParams
from smallcaps_assets.domain.research.micro.params import MicroParams
from smallcaps_assets.domain.research.micro.segments import SEGMENTS
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.tape.conditions import TradeParams
from smallcaps_assets.domain.research.tape.reconciliation import ReconciliationParams
from smallcaps_assets.domain.research.tape.tape_halts import TapeHaltParams
from smallcaps_assets.domain.versions import digest
from smallcaps_assets.errors import LakeError, SmallcapsError
from smallcaps_assets.lake.files.remedies import asset_of_table
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.problems import Problem
from smallcaps_assets.pipeline.research.tape.block_tables import TAPE_TABLES
from smallcaps_assets.pipeline.research.tape.tape_plan import TapePlan
from smallcaps_assets.pipeline.tape.capture import Pair

# Sections of the settings that decide the tables of each asset; which trades count is in those of all three.
_DECIDED_BY: Final[Mapping[str, tuple[type[Params], ...]]] = {
    "micro_features": (MicroParams,),
    "bar_reconciliation": (ReconciliationParams,),
    "event_tape_state": (TapeHaltParams, HaltParams, TradeParams),
}
# The tables of each asset.
ASSET_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "micro_features": ("micro_features",),
    "bar_reconciliation": ("bar_reconciliation", "event_reconciliation"),
    "event_tape_state": ("event_tape_state", "tape_halts"),
}
_ORDER: Final[Mapping[str, tuple[pl.Expr, ...]]] = {
    "micro_features": (pl.col("event_id"), pl.col("segment").cast(pl.Enum(list(SEGMENTS)))),
    "bar_reconciliation": (pl.col("symbol"), pl.col("timestamp")),
    "event_reconciliation": (pl.col("event_id"),),
    "event_tape_state": (pl.col("event_id"),),
    "tape_halts": (pl.col("event_id"), pl.col("start")),
}
_BLOCKS: Final = "blocks"


def settings_of_tape(params: ResearchParams, *assets: str) -> dict[str, Any]:
    """The settings that decide the tables of tape, or those of some assets; one step makes all of them."""
    sections = chain.from_iterable(_DECIDED_BY[asset] for asset in assets or _DECIDED_BY)
    return params.model_dump(mode="json", include={name for section in sections for name in section.model_fields})


class PartResult(NamedTuple):
    """What was done for a symbol and wave.

    Attributes:
        pair: symbol and wave.
        outcomes: an outcome per asset.
        computed: the events that were computed.
        written: the assets of which a file was written or removed.
    """

    pair: Pair
    outcomes: Mapping[str, Outcome]
    computed: tuple[str, ...]
    written: frozenset[str]


@dataclass(eq=False)
class TapePart:
    """The work on one symbol and wave.

    Attributes:
        stored: what the footer of each table says; None where there is no usable file.
        stale: the blocks of each table to compute.
        rows: what was computed, by table.
        failed: blocks that could not be computed, and why.
    """

    pair: Pair
    stored: Mapping[str, Mapping[str, Any] | None]
    stale: Mapping[str, set[str]]
    rows: dict[str, list[pl.DataFrame]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, SmallcapsError] = field(default_factory=dict)

    @property
    def blocks(self) -> set[str]:
        """The blocks to compute for any table."""
        return set(chain.from_iterable(self.stale.values()))


@dataclass(frozen=True)
class TapeParts:
    """The parts of one profile.

    Attributes:
        store: where they are.
        profile: the profile.
        provenance: by what rows are computed, beside the tape, the bars and the events.
        prefix: before the names of the tables.
    """

    store: ResearchStore
    profile: str
    provenance: Mapping[str, str]
    prefix: str = ""

    def load(self, pair: Pair, plan: TapePlan, assets: Sequence[str]) -> TapePart:
        """What is stored of a pair, and what is to be computed; files that are damaged are set aside first.

        Raises:
            LakeError: the disk refuses.
        """
        tables = [table for asset in assets for table in ASSET_TABLES[asset]]
        stored = {table: self.store.computed_from(self.path(pair, table)) for table in tables}
        known = {table: self._usable(stored[table]) for table in tables}
        stale = {
            table: {name for name, mark in plan.expected[pair][table].items() if known[table].get(name) != mark}
            for table in tables
        }
        return TapePart(pair, stored, stale)

    def current(self, pair: Pair, plan: TapePlan, table: str) -> set[str]:
        """The blocks of which the published rows of a table are up to date, by its footer alone."""
        known = self._usable(self._as_it_is(self.path(pair, table)))
        return {name for name, mark in plan.expected[pair][table].items() if known.get(name) == mark}

    def path(self, pair: Pair, table: str) -> Path:
        """The file of a table of a pair."""
        return self.store.lake.research_wave(self.profile, f"{self.prefix}{table}", pair[1], pair[0])

    def _usable(self, stored: Mapping[str, Any] | None) -> Mapping[str, str]:
        """The blocks of a file that was computed by the same rules; none of any other file."""
        if stored is None or {name: stored.get(name) for name in self.provenance} != self.provenance:
            return {}
        blocks = stored.get(_BLOCKS)
        return blocks if isinstance(blocks, dict) else {}

    def publish(self, part: TapePart, plan: TapePlan, assets: Sequence[str]) -> PartResult:
        """Publish the tables of a part whose rows are computed; unchanged files stay as they are.

        Raises:
            LakeError: the disk refuses.
        """
        written = {table for table in part.stale if self._publish_table(part, plan, table)}
        computed = plan.events.filter(
            pl.col("symbol") == part.pair[0],
            pl.col("wave") == part.pair[1],
            pl.col("block").is_in(sorted(part.blocks - part.failed.keys())),
        )
        outcomes = {asset: self._outcome(part, plan, asset) for asset in assets}
        changed = frozenset(asset for asset in assets if written.intersection(ASSET_TABLES[asset]))
        return PartResult(part.pair, outcomes, tuple(computed["event_id"]), changed)

    def _publish_table(self, part: TapePart, plan: TapePlan, table: str) -> bool:
        """Publish or remove the file of a table; returns whether it changed."""
        path, stored = self.path(part.pair, table), part.stored[table]
        if stored == self._made_from(part, plan, table):
            return False
        with self.store.locked():
            now = self._as_it_is(path)
            if now != stored:
                self._lose_replaced(part, plan, table, now)
            made_from = self._made_from(part, plan, table)
            if now == made_from:
                return False
            if not made_from[_BLOCKS]:
                if now is not None:
                    self.store.remove(path)
                return now is not None
            self.store.publish(path, self._rows(part, plan, table, made_from[_BLOCKS].keys()), made_from)
            return True

    def _made_from(self, part: TapePart, plan: TapePlan, table: str) -> dict[str, Any]:
        """What a table is computed from, without the blocks that failed."""
        # blocks that failed, but are current in this table, keep their rows
        lost = part.stale[table] & part.failed.keys()
        marks = {name: mark for name, mark in plan.expected[part.pair][table].items() if name not in lost}
        return {**self.provenance, _BLOCKS: marks}

    def _rows(self, part: TapePart, plan: TapePlan, table: str, blocks: AbstractSet[str]) -> pl.DataFrame:
        """The rows of some blocks: those computed, and those kept of the file."""
        schema, stale = TAPE_TABLES[table], part.stale[table]
        # a batch computes each of its tables for all of its blocks: also for those whose rows are kept
        computed = pl.concat(part.rows[table] or [schema.to_frame()])
        rows = [_of_blocks(computed, part.pair, stale & blocks, plan)]
        kept = blocks - stale
        if kept:
            stored = self.store.read(self.path(part.pair, table), schema)
            rows.append(_of_blocks(stored, part.pair, kept, plan))
        return pl.concat(rows).sort(*_ORDER[table], maintain_order=True)

    def _as_it_is(self, path: Path) -> Mapping[str, Any] | None:
        """What a file was computed from, now; None where there is none, or one that cannot be read."""
        try:
            return self.store.recorded(path)
        except LakeError:
            return None

    def _lose_replaced(self, part: TapePart, plan: TapePlan, table: str, now: Mapping[str, Any] | None) -> None:
        """Blocks that were to be kept fail where the file, replaced by another run since, is not of their tape."""
        known, expected = self._usable(now), plan.expected[part.pair][table]
        for name in expected.keys() - part.stale[table]:
            if known.get(name) != expected[name]:
                part.stale[table].add(name)
                part.failed[name] = LakeError(
                    f"{self.path(part.pair, table)}: another run replaced it meanwhile, with rows of other tape or "
                    f"events. Materialize {self.profile}/{asset_of_table(f'{self.prefix}{table}')} again.",
                    self.path(part.pair, table),
                )

    def _outcome(self, part: TapePart, plan: TapePlan, asset: str) -> Outcome:
        symbol, wave = part.pair
        tables = ASSET_TABLES[asset]
        expected = plan.expected[part.pair]
        marks = [f"{table} {name} {mark}" for table in tables for name, mark in expected[table].items()]
        stale = set(chain.from_iterable(part.stale[table] for table in tables))
        failed = {name: error for name, error in part.failed.items() if name in stale}
        own = plan.events.filter(pl.col("symbol") == symbol, pl.col("wave") == wave)
        figures: dict[str, int | float] = {
            "events": own.height,
            "events_computed": own.filter(pl.col("block").is_in(sorted(stale - failed.keys()))).height,
        }
        problems = tuple(
            Problem.of(f"{symbol} {wave} {name}", error, symbol=symbol) for name, error in sorted(failed.items())
        )
        problems += tuple(
            Problem.of(f"{symbol} {wave}", error, symbol=symbol) for error in plan.damaged.get(part.pair, ())
        )
        version = digest([*self.provenance.values(), *marks])
        return Outcome(part.pair, figures, problems, version=version)


def failed_part(pair: Pair, assets: Sequence[str], error: SmallcapsError) -> PartResult:
    """What was done for a symbol and wave whose files could not be looked at: nothing."""
    symbol, wave = pair
    problem = Problem.of(f"{symbol} {wave}", error, symbol=symbol)
    return PartResult(pair, {asset: Outcome(pair, {}, (problem,)) for asset in assets}, (), frozenset())


def _of_blocks(rows: pl.DataFrame, pair: Pair, blocks: AbstractSet[str], plan: TapePlan) -> pl.DataFrame:
    """The rows of events or minutes of some blocks."""
    if "event_id" in rows.columns:
        own = plan.events.filter(
            pl.col("symbol") == pair[0], pl.col("wave") == pair[1], pl.col("block").is_in(sorted(blocks))
        )
        return rows.join(own.select("event_id"), on="event_id", how="semi", maintain_order="left")
    bounds = [plan.blocks[pair[0], name] for name in blocks]
    schema = {"since": rows.schema["timestamp"], "until": rows.schema["timestamp"]}
    table = pl.DataFrame([(found.start, found.end) for found in bounds], schema=schema, orient="row").sort("since")
    placed = rows.join_asof(table, left_on="timestamp", right_on="since", strategy="backward")
    return placed.filter(pl.col("timestamp") < pl.col("until")).select(*rows.columns)
