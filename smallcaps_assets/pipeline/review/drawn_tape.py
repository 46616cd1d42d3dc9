"""The captured tape of events, read from the lake for the review page: what is drawn of it, and its figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.micro.features import micro_features
from smallcaps_assets.domain.research.micro.tables import CAPTURED_STATES, MICRO_FEATURES, MICRO_WINDOWS
from smallcaps_assets.domain.research.micro.trade_sides import book_after_quotes, trade_sides
from smallcaps_assets.domain.research.tape.capture_facts import capture_facts, with_captured_states
from smallcaps_assets.domain.research.tape.reading import TapeReading
from smallcaps_assets.domain.research.tape.tape_blocks import covered_windows
from smallcaps_assets.domain.research.tape.tape_halts import RowRanges, WindowTape, tape_halts
from smallcaps_assets.domain.review.tape_drawing import (
    BOOK_STEPS,
    DRAWN_WINDOWS,
    TRADE_MARKS,
    VOLUME_STEPS,
    DrawingLimits,
    book_steps,
    drawn_windows,
    trade_marks,
    volume_steps,
)
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.tape.windows import choose_pieces, event_windows
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.reference_tables import ReferenceTables
from smallcaps_assets.lake.symbol_paths import symbol_of
from smallcaps_assets.lake.tape.files import span_bounds
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.imports.bar_tables import in_batches
from smallcaps_assets.settings.settings import Settings

# rows of tape files that are read at once; one event is never divided
_BATCH_ROWS: Final = 2_000_000
_SIDES: Final = ("left", "right")
_NEVER: Final = (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))


class DrawnTape(NamedTuple):
    """The tape of some events.

    Attributes:
        windows: MICRO_WINDOWS, one span per event.
        drawn: DRAWN_WINDOWS.
        trades: TRADE_MARKS.
        book: BOOK_STEPS.
        volumes: VOLUME_STEPS.
        halts: HALTS of confidence 2.
        micro: MICRO_FEATURES.
    """

    windows: pl.DataFrame
    drawn: pl.DataFrame
    trades: pl.DataFrame
    book: pl.DataFrame
    volumes: pl.DataFrame
    halts: pl.DataFrame
    micro: pl.DataFrame


def no_tapes() -> DrawnTape:
    """The tape of no event."""
    schemas = (MICRO_WINDOWS, DRAWN_WINDOWS, TRADE_MARKS, BOOK_STEPS, VOLUME_STEPS, HALTS, MICRO_FEATURES)
    return DrawnTape(*(schema.to_frame() for schema in schemas))


@dataclass(frozen=True)
class TapeReader:
    """Reads the tape of events of the current manifest.

    Attributes:
        store: the tape.
        events: rows of the manifest (MANIFEST).
        settings: all settings.
        limits: of each chart.
    """

    store: TapeStore
    events: pl.DataFrame
    settings: Settings
    limits: DrawingLimits

    def read(self) -> tuple[DrawnTape, dict[str, str]]:
        """The tape of the events that have trades or quotes, and by event, what is damaged of its tape."""
        parts, damage = [no_tapes()], self.damage_of_missing()
        for batch in self._batches():
            parts += self._read_if_sound(batch, damage)
        return DrawnTape(*(pl.concat(tables) for tables in zip(*parts, strict=True))), damage

    @cached_property
    def captured(self) -> pl.DataFrame:
        """The events with trades or quotes, with the files (List) and rows of each kind; null where it is missing."""
        rows = self._windows.select("event_id")
        for kind in TAPE_KINDS:
            rows = rows.join(self._facts(kind), on="event_id", how="left", maintain_order="left")
        return rows.filter(pl.any_horizontal(pl.col(f"{kind}_files").is_not_null() for kind in TAPE_KINDS))

    def damage_of_missing(self) -> dict[str, str]:
        """By event that lacks trades or quotes, what is wrong with a tape file that has some of its window."""
        found = dict[str, str]()
        for kind in TAPE_KINDS:
            missing = self._windows.join(self._pieces[kind], on="event_id", how="anti")
            symbols = missing["symbol"].unique().sort().to_list()
            for error in self.store.damaged(kind, self._published[kind], symbols):
                path = Path(str(error.facts["file"]))
                # files that are not named as tape files are not among the damaged
                start, end = span_bounds(path) or _NEVER
                meets = (pl.col("start") < end) & (pl.col("end") > start)
                of_file = missing.filter(meets, symbol=symbol_of(path.parent.name))["event_id"]
                found |= dict.fromkeys(of_file, str(error))
        return found

    @cached_property
    def _pieces(self) -> dict[TapeKind, pl.DataFrame]:
        return {
            kind: choose_pieces(covered_windows(self.events, spans), spans) for kind, spans in self._published.items()
        }

    @cached_property
    def _capture(self) -> pl.DataFrame:
        """CAPTURE_FACTS of the events with trades or quotes."""
        symbols = self._windows["symbol"].unique().sort().to_list()
        failures = {kind: self.store.failures(kind, symbols) for kind in TAPE_KINDS}
        shares_from = self.settings.research.quote_sizes_in_shares_from
        return capture_facts(self._pieces, self.store.captured(), failures, shares_from)

    @cached_property
    def _conditions(self) -> pl.DataFrame:
        return ReferenceTables(self.store.lake).trade_conditions()

    @cached_property
    def _sessions(self) -> pl.DataFrame:
        days = self.events["date"].str.to_date("%Y-%m-%d").to_list()
        return sessions_between(min(days), max(days), self.settings.sessions)

    @cached_property
    def _published(self) -> dict[TapeKind, pl.DataFrame]:
        symbols = self._windows["symbol"].unique().sort().to_list()
        return {kind: self.store.published(kind, symbols) for kind in TAPE_KINDS}

    @cached_property
    def _windows(self) -> pl.DataFrame:
        return event_windows(self.events)

    def _facts(self, kind: TapeKind) -> pl.DataFrame:
        """The files of the windows that are published, and how many rows these have."""
        return (
            self._pieces[kind]
            .group_by("event_id")
            .agg(
                pl.col("path").unique().sort().alias(f"{kind}_files"),
                pl.col("rows").sum().alias(f"{kind}_rows"),
            )
        )

    def _batches(self) -> Iterator[list[str]]:
        rows = self.captured.select(
            "event_id", rows=pl.sum_horizontal(pl.col(f"{kind}_rows").fill_null(0) for kind in TAPE_KINDS)
        )
        sized = zip(rows["event_id"].to_list(), rows["rows"].to_list(), strict=True)
        for batch in in_batches(sized, _BATCH_ROWS):
            yield [event for event, _ in batch]

    def _read_if_sound(self, batch: Sequence[str], damage: dict[str, str]) -> list[DrawnTape]:
        """The tape of a batch; events with a damaged file are left out, and named in `damage`."""
        try:
            return [self._read_batch(batch)]
        except LakeError as error:
            if len(batch) == 1:
                damage[batch[0]] = str(error)
                return []
        return [part for event in batch for part in self._read_if_sound([event], damage)]

    def _read_batch(self, batch: Sequence[str]) -> DrawnTape:
        events = self.events.filter(pl.col("event_id").is_in(list(batch))).sort("event_id")
        # numbers that no other batch has
        places = self.events.select("event_id", span=pl.int_range(pl.len(), dtype=pl.Int64))
        spans = events.select("event_id").join(places, on="event_id", how="left", maintain_order="left")
        trades, quotes = (self._rows(kind, spans) for kind in TAPE_KINDS)
        windows = self._micro_windows(events.join(spans, on="event_id", how="left"), trades, quotes)
        windows = windows.sort("span")
        reading = TapeReading(self._conditions, self._sessions, self.settings.research)
        sides, book = trade_sides(windows, trades, quotes, reading), book_after_quotes(quotes)
        drawn = drawn_windows(windows, self.limits)
        return DrawnTape(
            windows=windows,
            drawn=drawn,
            trades=trade_marks(sides, drawn, self.limits),
            book=book_steps(book, drawn, self.limits),
            volumes=volume_steps(sides, drawn),
            halts=self._halts(windows, sides, quotes),
            micro=micro_features(windows, trades, quotes, reading),
        )

    def _rows(self, kind: TapeKind, spans: pl.DataFrame) -> pl.DataFrame:
        """The rows of the windows, of quotes with the opening book, sorted by span and time, as the domain takes them.

        Raises:
            LakeError: a file is damaged.
        """
        files = f"{kind}_files"
        wanted = spans.join(self.captured.filter(pl.col(files).is_not_null()), on="event_id", how="semi")
        schema = {"span": pl.Int64(), **self.store.schema(kind)}
        if wanted.is_empty():
            return pl.DataFrame(schema=schema)
        rows = self.store.scan(kind, wanted["event_id"].to_list(), opening_book=True)
        return (
            rows.join(wanted.lazy(), on="event_id", how="inner")
            .select(*schema)
            .sort("span", "timestamp", "sequence_number", maintain_order=True)
            .collect()
        )

    def _micro_windows(self, events: pl.DataFrame, trades: pl.DataFrame, quotes: pl.DataFrame) -> pl.DataFrame:
        windows = events.join(self._capture, on="event_id", how="left", maintain_order="left")
        since = pl.col("at") - pl.duration(minutes="before")
        bounds = events.select("span", "event_id", at="timestamp", before="window_before_min")
        with_rows = {
            # the opening book is before the window
            kind: found.join(bounds, on="span").filter(pl.col("timestamp") >= since)["event_id"].unique()
            for kind, found in zip(TAPE_KINDS, (trades, quotes), strict=True)
        }
        return with_captured_states(windows, with_rows).select(*MICRO_WINDOWS).match_to_schema(MICRO_WINDOWS)

    def _halts(self, windows: pl.DataFrame, sides: pl.DataFrame, quotes: pl.DataFrame) -> pl.DataFrame:
        """Halts seen in windows of which both trades and quotes are captured."""
        both = windows.filter(pl.all_horizontal(pl.col(f"{kind}_state").is_in(CAPTURED_STATES) for kind in TAPE_KINDS))
        own = self.events.join(both.select("event_id", "span"), on="event_id", how="inner").sort("span")
        timestamp = pl.col("timestamp")
        bounds = own.select(
            "event_id",
            "symbol",
            "date",
            window_start=timestamp - pl.duration(minutes="window_before_min"),
            window_end=timestamp + pl.duration(minutes="window_after_min"),
        )
        spans = own["span"].to_numpy()
        ranges = [
            RowRanges(*(rows["span"].to_numpy().searchsorted(spans, side=side).astype(np.int64) for side in _SIDES))
            for rows in (sides, quotes)
        ]
        return tape_halts(
            bounds, WindowTape(sides, ranges[0], quotes, ranges[1]), self._sessions, self.settings.research
        )[0]
