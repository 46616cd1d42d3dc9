"""Research tables of tape, per symbol and wave: only blocks of tape that changed are computed, the other rows stay."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.research.micro.params import check_max_hz
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.tables import BARS, WAVES
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.versions import code_version
from smallcaps_assets.errors import InputError, LakeError, SmallcapsError
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.reference_tables import CONDITIONS_INPUT, ReferenceTables
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.lake.symbol_paths import symbol_of
from smallcaps_assets.lake.tape.bar_minutes import fingerprint_days, read_days
from smallcaps_assets.lake.tape.files import pair_of
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.tape.whole_files import read_tape_files
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.imports.bar_tables import in_batches
from smallcaps_assets.pipeline.research.batches import on_all_cores
from smallcaps_assets.pipeline.research.tape.block_tables import (
    TAPE_TABLES,
    BlockBatch,
    FileRows,
    PartRows,
    TapeRules,
    tables_of_blocks,
)
from smallcaps_assets.pipeline.research.tape.known_parts import KnownParts
from smallcaps_assets.pipeline.research.tape.tape_parts import (
    ASSET_TABLES,
    PartResult,
    TapePart,
    TapeParts,
    failed_part,
    settings_of_tape,
)
from smallcaps_assets.pipeline.research.tape.tape_plan import Block, PublishedTape, TapePlan, plan_tape
from smallcaps_assets.pipeline.tape.capture import Pair
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors

# Raise it with every change of code that changes a number in the tables: all of them are then computed again.
TAPE_TABLES_VERSION: Final = "2"
# rows of tape of a batch, of which several are in memory at a time
_ROWS_AT_ONCE: Final = 750_000
_COLUMNS: Final[Mapping[TapeKind, tuple[str, ...]]] = {
    "trades": ("timestamp", "price", "size", "exchange", "conditions", "correction"),
    "quotes": ("timestamp", "bid_price", "bid_size", "ask_price", "ask_size"),
}


@dataclass(frozen=True)
class TapeResearch:
    """The research tables of the tape of one profile.

    Attributes:
        tape: the tape.
        params: settings of the tables.
        sessions: bounds of the sessions.
        log: receives progress lines.
        tick: called after each batch.
        prefix: before the names of the tables: those of other windows than those of events have one.
    """

    tape: TapeStore
    params: ResearchParams
    sessions: SessionParams
    log: Callable[[str], None] = lambda line: None  # noqa: ARG005
    tick: Callable[[], None] = lambda: None
    prefix: str = ""

    def run(
        self,
        manifest: pl.DataFrame,
        pairs: Sequence[Pair],
        assets: Sequence[str] = tuple(ASSET_TABLES),
        listing: Mapping[TapeKind, pl.DataFrame] | None = None,
    ) -> Iterator[PartResult]:
        """Bring the parts of `pairs` up to date; yields one result per pair.

        A block that cannot be computed, and a file that is damaged and whose windows count as missing, is a problem of
        its pairs; everything else is published.

        Args:
            manifest: the events (CAPTURED).
            pairs: symbol and wave.
            assets: those of ASSET_TABLES.
            listing: what `tape.listing` returned; only the tape of these symbols is listed if it is not given.

        Raises:
            InputError: the profile's quotes are thinned to a rate that the grid is no divisor of.
            LakeError: the disk refuses.
        """
        self._require_grid()
        known, changed = self.known_parts(manifest), list[Pair]()
        for pair in pairs:
            unchanged = known.unchanged(pair, assets)
            if unchanged is None:
                changed.append(pair)
            else:
                yield unchanged
        try:
            for result in self._renew(changed, self.plan(manifest, changed, listing), assets) if changed else ():
                known.note(result)
                yield result
        finally:
            self._keep_states(known)

    def plan(
        self, manifest: pl.DataFrame, pairs: Sequence[Pair], listing: Mapping[TapeKind, pl.DataFrame] | None = None
    ) -> TapePlan:
        """The blocks of the symbols of `pairs`, see `run`.

        Raises:
            LakeError: the tape cannot be listed.
        """
        symbols = sorted({symbol for symbol, _ in pairs})
        published = listing or {kind: self.tape.published(kind, symbols) for kind in TAPE_KINDS}
        failures, damaged = dict[TapeKind, list[dict[str, Any]]](), defaultdict[Pair, list[LakeError]](list)
        for kind, spans in published.items():
            failures[kind] = self.tape.failures(kind, symbols)
            for fault in (*self.tape.damaged(kind, spans, symbols), *self.tape.damaged_failures(kind, symbols)):
                damaged[pair_of(Path(f"{fault.facts['file']}"))].append(fault)
        known = PublishedTape(manifest, published, failures, self.params.quote_sizes_in_shares_from, damaged)
        return plan_tape(known, pairs, self._marks_of_days)

    def known_parts(self, manifest: pl.DataFrame) -> KnownParts:
        """Which parts are up to date as far as that is known without opening a tape file; `manifest` as in `run`."""
        rules = (self.parts.provenance, self.params.quote_sizes_in_shares_from)
        return KnownParts(self.tape, rules, manifest, self.prefix)

    def present_pairs(self, manifest: pl.DataFrame) -> list[Pair]:
        """The partitions of which there is a file or, of a symbol with events in that wave, tape; wave by wave.

        Args:
            manifest: the events (MANIFEST).

        Raises:
            LakeError: a folder cannot be listed.
        """
        lake, profile = self.tape.lake, self.tape.profile
        folders = (list_paths(lake.tape(profile, kind), "wave=*/symbol=*") for kind in TAPE_KINDS)
        captured = {symbol_of(folder.name) for folder in chain.from_iterable(folders)}
        events = manifest.select("symbol", pl.col("session").cast(pl.String)).unique()
        pairs = {(symbol, wave) for symbol, wave in events.iter_rows() if symbol in captured}
        for table in TAPE_TABLES:
            for path in list_paths(lake.research / profile / f"{self.prefix}{table}", "wave=*/symbol=*.parquet"):
                pairs.add((symbol_of(path.stem), path.parent.name.removeprefix("wave=")))
        return [(symbol, wave) for wave in WAVES for symbol, of in sorted(pairs) if of == wave]

    def rules(self, first: date, last: date) -> TapeRules:
        """Conditions, settings and the sessions from `first` to `last`."""
        return TapeRules(self._conditions, sessions_between(first, last, self.sessions), self.params)

    def read(self, kind: TapeKind, paths: Sequence[str]) -> FileRows:
        """The rows of tape files, proved.

        Raises:
            LakeError: a file is damaged or cannot be read.
        """
        schema = {name: self.tape.schema(kind)[name] for name in _COLUMNS[kind]}
        return FileRows(*read_tape_files(paths, schema, self.tape.lake.tape(self.tape.profile, kind)))

    @cached_property
    def parts(self) -> TapeParts:
        """The files of these tables, as these settings make them."""
        provenance = {
            "code": TAPE_TABLES_VERSION,
            "settings": code_version("research", settings_of_tape(self.params), self.sessions),
            CONDITIONS_INPUT: str(self._conditions["sha256"][0]) if self._conditions.height else "",
        }
        return TapeParts(ResearchStore(self.tape.lake), self.tape.profile, provenance, self.prefix)

    @cached_property
    def _conditions(self) -> pl.DataFrame:
        return ReferenceTables(self.tape.lake).trade_conditions()

    def _require_grid(self) -> None:
        try:
            check_max_hz(self.tape.profile, float(self.tape.params.quotes.max_hz), self.params)
        except ValueError as error:
            raise InputError(f"{error}") from None

    def _marks_of_days(self, symbol: str, days: Iterable[date]) -> Mapping[date, str]:
        try:
            return fingerprint_days(self.tape.lake, symbol, days)
        except LakeError:  # named where the bars are read
            return {}

    # ------------------------------------------------------------------------------------------ computing

    def _renew(self, pairs: Sequence[Pair], plan: TapePlan, assets: Sequence[str]) -> Iterator[PartResult]:
        work = list[TapePart]()
        for pair in pairs:
            try:
                part = self.parts.load(pair, plan, assets)
            except LakeError as error:  # a folder in the place of a file, or one that is closed to this user
                yield failed_part(pair, assets, error)
                continue
            if part.blocks:
                work.append(part)
            else:
                yield self.parts.publish(part, plan, assets)
        yield from self._compute(work, plan, assets)

    def _keep_states(self, known: KnownParts) -> None:
        try:
            known.save()
        except LakeError as error:  # the next run reads the footers again
            self.log(f"{error}")

    def _compute(self, parts: Sequence[TapePart], plan: TapePlan, assets: Sequence[str]) -> Iterator[PartResult]:
        """Compute the stale blocks of `parts`, and publish each part as soon as its last block is there."""
        readers: dict[Block, list[TapePart]] = defaultdict(list)
        tables: dict[Block, set[str]] = defaultdict(set)
        for part in parts:
            for name in sorted(part.blocks):
                block = (part.pair[0], name)
                readers[block].append(part)
                tables[block] |= {table for table, stale in part.stale.items() if name in stale}
        left = {part.pair: len(part.blocks) for part in parts}
        if readers:
            rows = sum(plan.blocks[block].rows for block in readers)
            self.log(f"research of tape: {len(readers):,} blocks of {len(parts):,} partitions, {rows:,} rows")
        sizes = ((block, plan.blocks[block].rows) for block in readers)
        batches = [[block for block, _ in batch] for batch in in_batches(sizes, _ROWS_AT_ONCE)]
        work = partial(self._attempt, plan=plan, tables=tables, errors=UnexpectedErrors(self.tape.lake, "research"))
        for results in on_all_cores(work, batches):
            self.tick()
            for together, result in results:
                self._keep(result, together, readers)
                for part in chain.from_iterable(readers[block] for block in together):
                    left[part.pair] -= 1
                    if not left[part.pair]:
                        yield self.parts.publish(part, plan, assets)

    def _keep(
        self,
        result: dict[str, PartRows] | SmallcapsError,
        blocks: Sequence[Block],
        readers: Mapping[Block, Sequence[TapePart]],
    ) -> None:
        of_pairs = {part.pair: part for block in blocks for part in readers[block]}
        if isinstance(result, SmallcapsError):
            for symbol, name in blocks:
                for part in readers[symbol, name]:
                    part.failed[name] = result
            return
        for table, rows in result.items():
            for pair, found in rows.items():
                if pair in of_pairs and table in of_pairs[pair].stale:
                    of_pairs[pair].rows[table].append(found)

    def _attempt(
        self,
        blocks: Sequence[Block],
        *,
        plan: TapePlan,
        tables: Mapping[Block, set[str]],
        errors: UnexpectedErrors,
    ) -> list[tuple[Sequence[Block], dict[str, PartRows] | SmallcapsError]]:
        """The tables of some blocks; where they fail together, of each one by itself."""
        unit = " ".join(blocks[0]) if len(blocks) == 1 else f"{len(blocks)} blocks from {' '.join(blocks[0])} on"
        wanted = frozenset(chain.from_iterable(tables[block] for block in blocks))
        result: dict[str, PartRows] | SmallcapsError
        try:
            result = errors.attempt(unit, lambda: self._tables(blocks, plan, wanted))
        except (LakeError, InputError) as error:  # an UnexpectedError that is raised ends the step
            result = error
        if isinstance(result, SmallcapsError) and len(blocks) > 1:
            single = (self._attempt([block], plan=plan, tables=tables, errors=errors) for block in blocks)
            return list(chain.from_iterable(single))
        return [(blocks, result)]

    def _tables(self, blocks: Sequence[Block], plan: TapePlan, tables: frozenset[str]) -> dict[str, PartRows]:
        named = pl.DataFrame(blocks, schema={"symbol": pl.String, "block": pl.String}, orient="row")
        events = plan.events.join(named, on=["symbol", "block"], how="semi", maintain_order="left")
        files = plan.files.join(named, on=["symbol", "block"], how="semi", maintain_order="left")
        pieces = {
            kind: plan.pieces[kind].filter(pl.col("span").is_in(events["span"].unique().implode()))
            for kind in TAPE_KINDS
        }
        tape = {kind: self.read(kind, files.filter(kind=kind)["path"].to_list()) for kind in TAPE_KINDS}
        facts = [plan.blocks[block] for block in blocks]
        days = pl.DataFrame(
            [(symbol, day) for (symbol, _), found in zip(blocks, facts, strict=True) for day in found.days],
            schema={"symbol": pl.String, "day": pl.Date},
            orient="row",
        )
        rules = self.rules(min(found.days[0] for found in facts), max(found.days[-1] for found in facts))
        batch = BlockBatch(
            events, pieces, tape, files.filter(kind="trades"), read_days(self.tape.lake, days, tuple(BARS))
        )
        return tables_of_blocks(batch, rules, tables)
