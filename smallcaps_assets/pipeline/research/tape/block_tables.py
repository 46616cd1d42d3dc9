"""Research tables of blocks of tape (see `domain.research.tape.tape_blocks`), from rows that are in memory."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.bars.halts import bar_halts, bar_runs
from smallcaps_assets.domain.research.micro.days import WindowsAndTape
from smallcaps_assets.domain.research.micro.features import micro_features
from smallcaps_assets.domain.research.micro.ranges import expand
from smallcaps_assets.domain.research.micro.tables import CAPTURED_STATES, MICRO_FEATURES, MICRO_WINDOWS
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.tables.bar_tables import BAR_RECONCILIATION, EVENT_RECONCILIATION
from smallcaps_assets.domain.research.tables.tape_columns import TAPE_HALTS
from smallcaps_assets.domain.research.tape.capture_facts import with_captured_states
from smallcaps_assets.domain.research.tape.reading import TapeReading, read_trade_sets
from smallcaps_assets.domain.research.tape.reconciliation import reconcile_bars, reconcile_events
from smallcaps_assets.domain.research.tape.tape_blocks import owned_minutes
from smallcaps_assets.domain.research.tape.tape_halts import (
    EVENT_TAPE_STATE,
    event_tape_state,
    find_ssr_ids,
    tape_halts,
)
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.tables import UTC_NS, WAVES
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.tape.windows import cut_tiles, merge_windows
from smallcaps_assets.pipeline.research.tape.event_tape import EventTape, tape_of_windows

# The tables, in the order in which they are published.
TAPE_TABLES: Final[Mapping[str, pl.Schema]] = {
    "micro_features": MICRO_FEATURES,
    "bar_reconciliation": BAR_RECONCILIATION,
    "event_reconciliation": EVENT_RECONCILIATION,
    "event_tape_state": EVENT_TAPE_STATE,
    "tape_halts": TAPE_HALTS,
}
# rows of a table by symbol and wave
PartRows = dict[tuple[str, str], pl.DataFrame]
_PAIR: Final = ["symbol", "wave"]
_OF_HALTS: Final = frozenset({"event_tape_state", "tape_halts"})
_OF_WINDOWS: Final = frozenset({"micro_features"}) | _OF_HALTS


class TapeRules(NamedTuple):
    """By which tape is read.

    Attributes:
        conditions: the table of trade conditions (CONDITION_TABLE).
        sessions: SESSION_TABLE that covers the dates.
        params: settings.
    """

    conditions: pl.DataFrame
    sessions: pl.DataFrame
    params: ResearchParams


class FileRows(NamedTuple):
    """Rows of tape files.

    Attributes:
        rows: the rows of all files, file by file, each in its order.
        places: the first row of each file (path), and the one after its last.
    """

    rows: pl.DataFrame
    places: Mapping[str, tuple[int, int]]

    def cut(self, pieces: pl.DataFrame, key: str) -> pl.DataFrame:
        """The rows of pieces in the order of `pieces`, with the `key` of each.

        Args:
            pieces: `path`, `tile_start`, `tile_end` and `key`; optional `is_first`: rows before its start count too.
            key: the column to add.
        """
        times = self.rows["timestamp"].cast(UTC_NS).to_physical().to_numpy()
        bounds = pieces.select(pl.col("tile_start", "tile_end").cast(UTC_NS).to_physical()).to_numpy()
        whole = pieces["is_first"].to_list() if "is_first" in pieces.columns else [False] * pieces.height
        firsts, lasts = np.zeros(pieces.height, dtype=np.int64), np.zeros(pieces.height, dtype=np.int64)
        for number, (path, is_first) in enumerate(zip(pieces["path"], whole, strict=True)):
            first, last = self.places[path]
            start, end = np.searchsorted(times[first:last], bounds[number])
            firsts[number], lasts[number] = first if is_first else first + start, first + end
        members = expand(firsts, lasts)
        rows = self.rows[members.element if members.block is None else members.block]
        return rows.with_columns(pieces[key].gather(members.owner).alias(key))


class BlockBatch(NamedTuple):
    """Some blocks with all that their tables are computed from.

    Attributes:
        events: MICRO_WINDOWS, `symbol` and `wave`; the state of a kind is null where the tape says it.
        pieces: SPAN_PIECES of each kind.
        tape: rows of each kind.
        trade_spans: published spans (PUBLISHED) of trades of the blocks.
        bars: stored bars (BARS) of the days of the blocks, sorted.
    """

    events: pl.DataFrame
    pieces: Mapping[TapeKind, pl.DataFrame]
    tape: Mapping[TapeKind, FileRows]
    trade_spans: pl.DataFrame
    bars: pl.DataFrame


def tables_of_blocks(batch: BlockBatch, rules: TapeRules, tables: frozenset[str]) -> dict[str, PartRows]:
    """Those of TAPE_TABLES that are in `tables`, of the events and minutes of some blocks, by symbol and wave."""
    found: dict[str, pl.DataFrame] = {}
    if tables & _OF_WINDOWS:
        found |= _of_windows(batch, rules, tables)
    if tables - _OF_WINDOWS:
        minutes = _reconcile(batch, rules)
        found["bar_reconciliation"] = minutes
        found["event_reconciliation"] = _reconcile_events(batch.events, minutes)
    pairs = batch.events.select("event_id", *_PAIR)
    split = dict[str, PartRows]()
    for name in tables:
        rows, schema = found[name], TAPE_TABLES[name]
        if name != "bar_reconciliation":
            rows = rows.join(pairs, on="event_id", how="left", maintain_order="left", suffix="_of_event")
        parts = rows.partition_by(_PAIR, as_dict=True, maintain_order=True)
        split[name] = {(symbol, wave): part.select(*schema) for (symbol, wave), part in parts.items()}
    return split


def _of_windows(batch: BlockBatch, rules: TapeRules, tables: frozenset[str]) -> dict[str, pl.DataFrame]:
    """Those of `micro_features`, `event_tape_state` and `tape_halts` that are in `tables`."""
    if batch.events.is_empty():
        return {name: TAPE_TABLES[name].to_frame() for name in _OF_WINDOWS}
    reading = TapeReading(rules.conditions, rules.sessions, rules.params)
    trades, quotes = (batch.tape[kind].cut(batch.pieces[kind], "span") for kind in TAPE_KINDS)
    trades = read_trade_sets(trades, reading)
    own = tape_of_windows(batch.events, WindowsAndTape(batch.events.select(*MICRO_WINDOWS), trades, quotes), reading)
    with_rows = {
        kind: own.events["event_id"].filter(rows > 0)
        for kind, rows in zip(TAPE_KINDS, (own.trades, own.quotes), strict=True)
    }
    events = with_captured_states(batch.events, with_rows)
    found = dict[str, pl.DataFrame]()
    if "micro_features" in tables:
        found["micro_features"] = micro_features(events.select(*MICRO_WINDOWS), trades, quotes, reading)
    if tables & _OF_HALTS:
        found |= _halts(events, own, batch.bars, rules)
    return found


def _halts(events: pl.DataFrame, own: EventTape, bars: pl.DataFrame, rules: TapeRules) -> dict[str, pl.DataFrame]:
    """`event_tape_state` and `tape_halts`; `events` have the states of both kinds of tape."""
    halts, ended = tape_halts(own.events, own.tape, rules.sessions, rules.params)
    has_trades, has_quotes = (
        pl.col("event_id").is_in(events.filter(pl.col(f"{kind}_state").is_in(CAPTURED_STATES))["event_id"].implode())
        for kind in TAPE_KINDS
    )
    kept = halts.select(has_trades & has_quotes).to_series()
    halts, ended = halts.filter(kept), ended.filter(kept)
    state = event_tape_state(
        own.events, own.tape, (halts, ended), _halts_of_bars(bars, rules), find_ssr_ids(rules.conditions)
    ).with_columns(
        in_halt_aftermath=pl.when(has_trades & has_quotes).then("in_halt_aftermath"),
        ssr_condition=pl.when(has_trades).then("ssr_condition"),
    )
    return {"event_tape_state": state, "tape_halts": halts.select(*TAPE_HALTS)}


def _halts_of_bars(bars: pl.DataFrame, rules: TapeRules) -> pl.DataFrame:
    labeled = with_session(bars, rules.sessions).filter(pl.col("day").is_not_null())
    return bar_halts(bar_runs(labeled, rules.sessions, rules.params))


def _reconcile(batch: BlockBatch, rules: TapeRules) -> pl.DataFrame:
    """BAR_RECONCILIATION with `wave`: each minute once, with the wave that it belongs to."""
    found = dict.fromkeys(WAVES, BAR_RECONCILIATION.to_frame())
    for (wave,), spans in batch.trade_spans.group_by("wave", maintain_order=True):
        tiles = cut_tiles(spans)
        own = merge_windows(spans.select("symbol", "wave", "start", "end", event_id="path"))
        found[str(wave)] = reconcile_bars(
            batch.tape["trades"].cut(tiles, "symbol"),
            batch.bars,
            own.select("symbol", "start", "end"),
            sessions=rules.sessions,
            conditions=rules.conditions,
            params=rules.params,
        )
    return owned_minutes(found)


def _reconcile_events(events: pl.DataFrame, minutes: pl.DataFrame) -> pl.DataFrame:
    windows = events.with_columns(
        window_start=pl.col("timestamp") - pl.duration(minutes="window_before_min"),
        window_end=pl.col("timestamp") + pl.duration(minutes="window_after_min"),
    )
    return reconcile_events(windows, minutes.select(*BAR_RECONCILIATION))
