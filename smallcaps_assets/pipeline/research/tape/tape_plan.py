"""Which blocks of tape the research tables of a symbol and wave are computed from, and which of them have changed."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.micro.tables import MICRO_WINDOWS
from smallcaps_assets.domain.research.tape.capture_facts import capture_facts
from smallcaps_assets.domain.research.tape.tape_blocks import covered_windows, share_rows, tape_blocks
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.tape.windows import choose_pieces
from smallcaps_assets.domain.versions import digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.tape.whole_files import content_fingerprint
from smallcaps_assets.pipeline.tape.capture import Pair

# What a table depends on beside the rules: the tape of both kinds, the trades, the bars of the days, the events.
_INPUTS: Final[Mapping[str, tuple[str, ...]]] = {
    "micro_features": ("tape", "events"),
    "bar_reconciliation": ("trades", "bars"),
    "event_reconciliation": ("trades", "bars", "events"),
    "event_tape_state": ("tape", "bars", "events"),
    "tape_halts": ("tape", "bars", "events"),
}
# Events whose tape is published, at least of one kind.
_EVENTS: Final = pl.Schema(
    {
        **MICRO_WINDOWS,
        "symbol": pl.String(),
        "wave": pl.String(),
        "start": UTC_US,
        "end": UTC_US,
        "known_at": UTC_US,
        "block": pl.String(),
    }
)
_BLOCK: Final = ["symbol", "block"]

Block = tuple[str, str]
# digest of what a table is computed from, by block
Digests = dict[str, str]


class PublishedTape(NamedTuple):
    """What is published of some symbols.

    Attributes:
        manifest: all events (MANIFEST).
        listing: published spans (PUBLISHED) of each kind.
        failures: the records of failed spans of each kind.
        sizes_in_shares_from: the setting in force; null: the footers say the unit.
        damaged: what is wrong with the files of a symbol and wave that are not in `listing` or `failures`.
    """

    manifest: pl.DataFrame
    listing: Mapping[TapeKind, pl.DataFrame]
    failures: Mapping[TapeKind, Sequence[Mapping[str, Any]]]
    sizes_in_shares_from: date | None
    damaged: Mapping[Pair, Sequence[LakeError]] = MappingProxyType({})


class BlockFacts(NamedTuple):
    """The bounds (UTC), the days (ET) and the number of rows of tape of a block."""

    start: datetime
    end: datetime
    days: tuple[date, ...]
    rows: int


@dataclass(frozen=True)
class TapePlan:
    """The blocks of some symbols.

    Attributes:
        events: the events with published tape, with their spans of rows and their blocks.
        pieces: SPAN_PIECES of each kind.
        files: published spans (PUBLISHED) of both kinds, with `kind` and `block`.
        blocks: the bounds, the days (ET) and the number of rows of each block.
        expected: what each table of a pair is computed from.
        damaged: of a pair, what is wrong with files that count as missing.
    """

    events: pl.DataFrame
    pieces: Mapping[TapeKind, pl.DataFrame]
    files: pl.DataFrame
    blocks: Mapping[Block, BlockFacts]
    expected: Mapping[Pair, Mapping[str, Digests]]
    damaged: Mapping[Pair, Sequence[LakeError]] = field(default_factory=dict)


def plan_tape(
    tape: PublishedTape, pairs: Sequence[Pair], marks_of_days: Callable[[str, Iterable[date]], Mapping[date, str]]
) -> TapePlan:
    """The blocks of the symbols of `pairs`, and what each table of these pairs is computed from.

    Args:
        tape: what is published of these symbols.
        pairs: symbol and wave.
        marks_of_days: fingerprints of the bars of days of a symbol.
    """
    symbols = pl.col("symbol").is_in(sorted({symbol for symbol, _ in pairs}))
    manifest = tape.manifest.filter(symbols)
    listing = {kind: tape.listing[kind].filter(symbols) for kind in TAPE_KINDS}
    blocks, block_files = tape_blocks(listing)
    covered = {kind: covered_windows(manifest, listing[kind]) for kind in TAPE_KINDS}
    pieces = {kind: choose_pieces(covered[kind], listing[kind]) for kind in TAPE_KINDS}
    spans, span_pieces = share_rows(pieces)
    events = _events(tape, manifest, pieces, spans, block_files)
    files = pl.concat(listing[kind].with_columns(kind=pl.lit(kind)) for kind in TAPE_KINDS)
    files = files.join(block_files, on=["symbol", "path"], how="inner", maintain_order="left")
    totals = files.group_by(_BLOCK).agg(pl.col("rows").sum())
    counts = {(symbol, block): int(count or 0) for symbol, block, count in totals.iter_rows()}
    bounds = blocks.with_columns(first=new_york_date(pl.col("start")), last=new_york_date(pl.col("end")))
    known = {
        (symbol, block): BlockFacts(start, end, _days(first, last), counts.get((symbol, block), 0))
        for symbol, block, start, end, first, last in bounds.iter_rows()
    }
    facts = _Facts(files, events, {block: found.days for block, found in known.items()}, marks_of_days)
    expected = {pair: facts.expected(pair) for pair in pairs}
    return TapePlan(events, span_pieces, files, known, expected, tape.damaged)


class _Facts:
    """Digests of what blocks hold, by block, and by wave of the events."""

    def __init__(
        self,
        files: pl.DataFrame,
        events: pl.DataFrame,
        days: Mapping[Block, tuple[date, ...]],
        marks_of_days: Callable[[str, Iterable[date]], Mapping[date, str]],
    ) -> None:
        lines: dict[Block, dict[str, list[str]]] = defaultdict(lambda: {kind: [] for kind in TAPE_KINDS})
        without_columns = pl.col("missing_columns").list.join(" ").fill_null("").alias("without")
        named = files.select(*_BLOCK, "kind", "path", "rows", "bytes", "wave", without_columns)
        self._waves: dict[Pair, set[str]] = defaultdict(set)
        for symbol, block, kind, path, count, size, wave, without in named.iter_rows():
            content = _content(path, count, size)
            lines[symbol, block][kind].append(f"{kind} {wave} {Path(path).stem} {content} {without}")
            if kind == "trades":
                self._waves[symbol, wave].add(block)
        self._trades = {block: digest(sorted(found["trades"])) for block, found in lines.items()}
        self._tape = {
            block: digest([*sorted(found["trades"]), *sorted(found["quotes"])]) for block, found in lines.items()
        }
        by_symbol: dict[str, set[date]] = defaultdict(set)
        for (symbol, _), of_block in days.items():
            by_symbol[symbol] |= set(of_block)
        marks = {symbol: marks_of_days(symbol, found) for symbol, found in by_symbol.items()}
        self._bars = {
            block: digest(f"{day} {marks[block[0]].get(day)}" for day in found) for block, found in days.items()
        }
        self._events: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        shown = pl.concat_str(
            pl.col(
                "event_id", "timestamp", "direction", "window_before_min", "window_after_min", "quotes_hz",
                "quotes_hz_after", "quotes_by_change", "quote_size_unit", "trades_state", "quotes_state",
            ).cast(pl.String).fill_null("-"),
            separator=" ",
        )  # fmt: skip
        grouped = events.sort("event_id").group_by("symbol", "wave", "block").agg(shown.alias("line"))
        for symbol, wave, block, found in grouped.iter_rows():
            self._events[symbol, wave][block] = digest(found)

    def expected(self, pair: Pair) -> dict[str, Digests]:
        """What each table of a pair is computed from, by block."""
        symbol, events = pair[0], self._events.get(pair, {})
        found = dict[str, Digests]()
        for table, inputs in _INPUTS.items():
            blocks = events.keys() if "events" in inputs else self._waves.get(pair, set())
            of_inputs = {"tape": self._tape, "trades": self._trades, "bars": self._bars}
            found[table] = {
                block: digest(
                    events[block] if name == "events" else of_inputs[name].get((symbol, block), "") for name in inputs
                )
                for block in sorted(blocks)
            }
        return found


def _content(path: str, rows: int, size: int) -> str:
    try:
        return content_fingerprint(path, rows, size)
    except LakeError:  # its block is stale then, and named where its rows are read
        return "unreadable"


def _days(first: date, last: date) -> tuple[date, ...]:
    return tuple(first + timedelta(days=number) for number in range((last - first).days + 1))


def _events(
    tape: PublishedTape,
    manifest: pl.DataFrame,
    pieces: Mapping[TapeKind, pl.DataFrame],
    spans: pl.DataFrame,
    block_files: pl.DataFrame,
) -> pl.DataFrame:
    """The events with published tape (_EVENTS), in the order of their ids."""
    known = manifest.select(
        "event_id",
        "timestamp",
        "direction",
        "window_before_min",
        "window_after_min",
        "symbol",
        wave="session",
        start=pl.col("timestamp") - pl.duration(minutes="window_before_min"),
        end=pl.col("timestamp") + pl.duration(minutes="window_after_min"),
        known_at=pl.col("timestamp") + pl.duration(minutes=1),
    )
    files = pl.concat(pieces[kind].select("event_id", "path") for kind in TAPE_KINDS).unique("event_id")
    blocks = files.join(block_files, on="path", how="inner").select("event_id", "block")
    facts = capture_facts(pieces, manifest, tape.failures, tape.sizes_in_shares_from)
    return (
        known.join(spans, on="event_id", how="inner")
        .join(blocks, on="event_id", how="inner")
        .join(facts, on="event_id", how="inner")
        .select(*_EVENTS)
        .match_to_schema(_EVENTS)
        .sort("event_id")
    )
