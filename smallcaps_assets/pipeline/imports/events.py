"""Import of the MASTER table of an earlier system, or its shards: read file by file, repaired, published once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.lengths import select_minutes
from smallcaps_assets.domain.events.detection import DetectionParams
from smallcaps_assets.domain.imports.bar_facts import FACTS, bar_facts
from smallcaps_assets.domain.imports.clocks import (
    Agreement,
    TimestampForm,
    measure_agreement,
    reinterpret_zone,
    share_outside,
)
from smallcaps_assets.domain.imports.events import (
    IMPORTED_EVENTS,
    REJECTED,
    ROWS,
    SOURCE_COLUMNS,
    as_rows,
    import_events,
    still_rejected,
    typed_events,
)
from smallcaps_assets.domain.imports.prices import PriceScale, scale_problems
from smallcaps_assets.domain.sessions import NEW_YORK, SESSION_TABLE, SessionParams, new_york_date
from smallcaps_assets.domain.symbols import ExchangeTestSymbols, canonical_name, canonical_symbol
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import InputError, LakeError, UnexpectedError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.files.publish import provenance_of, publish_changed
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.imports import record_import
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listing_borders import load_borders
from smallcaps_assets.pipeline.calendar import calendar_days, sessions_between
from smallcaps_assets.pipeline.imports.bar_tables import require_unaltered
from smallcaps_assets.pipeline.imports.symbol_names import symbol_of_path
from smallcaps_assets.pipeline.progress import with_progress
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors

EVENTS_PROVENANCE: Final = "adopted events"
# rows read since copies were last removed, so that a table and its own shards need the memory of one of them
_ROWS_AT_ONCE: Final = 1_000_000
# Of rows that are right, those after the close of short days lie outside: less than 1 %. A clock that is wrong by five
# hours puts a tenth or more there.
MOST_OUTSIDE: Final = 0.02
# Of events on days with bars, nearly all lie on a bar with their close and volume, or hardly any does.
LEAST_ON_BARS: Final = 0.5
# first bytes of every parquet file
_PARQUET_MAGIC: Final = b"PAR1"
# files that an error lists
_MOST_NAMES: Final = 3
# columns of bars that events are compared with
_BAR_COLUMNS: Final = ("symbol", "timestamp", "close", "volume")
# columns of events that are compared with bars
_EVENT_COLUMNS: Final = ("symbol", "event_type", "timestamp", "close", "volume")
_DAYS: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date()})


class EventsOutcome(NamedTuple):
    """Figures on repairs, messages about files that could not be read, and whether anything was written."""

    repairs: dict[str, Any]
    problems: list[str]
    written: bool


@dataclass(frozen=True)
class EventsImport:
    """Imports events.

    Attributes:
        bars: the bars of the lake; they fill in what the earlier table lacks.
        params: of detection; features, cooldown and tiers are used.
        sessions: bounds of the sessions.
        clock: how to read timestamps without a zone or unit.
        scale: the unit of prices; None where it was not given.
        test_symbols: symbols whose events are rejected.
        replace: whether to drop the events of earlier imports; otherwise events are added to them.
        allow_outside: whether many rows may lie outside every session.
        allow_other_bars: whether the bars of the lake may contradict most events.
        log: receives lines about progress.
    """

    bars: BarsStore
    params: DetectionParams
    sessions: SessionParams
    clock: TimestampForm
    scale: PriceScale | None
    test_symbols: ExchangeTestSymbols
    replace: bool
    allow_outside: bool
    allow_other_bars: bool
    log: Callable[[str], None]

    def run(self, files: Sequence[Path], out: Path, quarantine: Path) -> EventsOutcome:
        """Publish MASTER of the events of `files` and of `out` to `out`, and rejected rows to `quarantine`.

        A file that cannot be read is named and does not stop the others. The same files give the same bytes, in
        whatever order and in however many imports.

        Raises:
            InputError: not one event in them, more than MOST_OUTSIDE of the rows outside every session, fewer than
                LEAST_ON_BARS of the events on bars with their close and volume, or `out` holds something else; nothing
                was written.
            LakeError: the disk refuses.
        """
        _require_replaceable(out, self.bars.lake)
        rows, problems = self._read(files)
        if not self.allow_outside:
            self._require_clock(rows)
        before = _published(out, IMPORTED_EVENTS)
        if not self.replace:
            rows = pl.concat([rows, as_rows(before)])
        sessions = self._sessions_of(rows)
        facts, days = self._facts(rows, sessions)
        if not self.allow_other_bars:
            self._require_bars(rows.filter(~pl.col("here")).select(_EVENT_COLUMNS), sessions, facts, days)
        imported = import_events(
            rows,
            sessions,
            facts,
            self.params.cooldown,
            self.params.tier_min_scores,
            test_symbols=self.test_symbols,
        )
        if not imported.repairs["events"]:
            reasons = [
                f"{count_noun(count, 'row')}: {why}" for why, count in imported.repairs["quarantined_because"].items()
            ]
            more = (
                [f"and {count_noun(len(problems) - _MOST_NAMES, 'more file')}"] if len(problems) > _MOST_NAMES else []
            )
            causes = "; ".join([*problems[:_MOST_NAMES], *more, *reasons]) or "no rows"
            raise InputError(f"not one event, so nothing was written: {causes}")
        lake = self.bars.lake
        below = lake.root if out == lake.imported_events else None
        if below:
            record_import(lake, "events")
        provenance = {"what": EVENTS_PROVENANCE}
        written = [publish_changed(out, imported.events, provenance, below=below)]
        rejected_before = _published(quarantine, REJECTED)
        pieces = [imported.rejected] if self.replace else [imported.rejected, rejected_before]
        rejected = still_rejected(pl.concat(pieces), imported.events)
        if rejected.height or quarantine.is_file():
            written.append(publish_changed(quarantine, rejected, provenance, below=below))
        figures = {
            "events_left_out": before.height if self.replace else 0,
            "in_quarantine": rejected.height,
            "left_quarantine": rejected_before.join(rejected, on=list(REJECTED), how="anti", nulls_equal=True).height,
        }
        return EventsOutcome(imported.repairs | figures, problems, any(written))

    def _read(self, files: Sequence[Path]) -> tuple[pl.DataFrame, list[str]]:
        """The distinct rows of all files (ROWS), and messages about files that could not be read."""
        pieces, problems, waiting = [ROWS.to_frame()], [], 0
        unexpected = UnexpectedErrors(self.bars.lake, "import events")
        for file in with_progress(files, len(files), "files of events", self.log):
            try:
                piece = unexpected.attempt(str(file), partial(self._rows_of, file))
            except InputError as error:
                problems.append(str(error))
                continue
            if isinstance(piece, UnexpectedError):
                problems.append(f"{file}: {piece}")
                continue
            pieces.append(piece)
            waiting += piece.height
            if waiting > _ROWS_AT_ONCE and len(pieces) > 1:
                pieces, waiting = [_distinct(pl.concat(pieces).lazy())], 0
        return _distinct(pl.concat(pieces).lazy()), problems

    def _rows_of(self, file: Path) -> pl.DataFrame:
        try:
            typed = typed_events(_scanned(file), self.clock, self.scale)
            self._require_dollars(typed)
            return _distinct(typed.with_columns(copies=pl.lit(1, pl.Int64), here=pl.lit(value=False)))
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{file}: cannot be read to its end ({reason}). Write it again, or leave it out."
            ) from error

    def _require_dollars(self, rows: pl.LazyFrame) -> None:
        """Require that the prices of a file can be dollars."""
        for why in scale_problems(rows.with_columns(file=pl.lit("")), "file", self.scale).values():
            raise InputError(why)

    def _sessions_of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Bounds of the sessions of the rows, and of the trading days before them."""
        first, last = rows.select(a=pl.col("timestamp").min(), b=pl.col("timestamp").max()).row(0)
        if first is None:
            return SESSION_TABLE.to_frame()
        return sessions_between(first.date() - self._before(), last.date(), self.sessions)

    def _require_clock(self, rows: pl.DataFrame) -> None:
        """Require that the rows lie inside sessions if their times are read as declared."""
        share = share_outside(rows, self._sessions_of(rows))
        if share <= MOST_OUTSIDE:
            return
        raise InputError(
            f"{share:.1%} of the rows lie outside every session, on days without one or at night in New York; so "
            f"nothing was written. Most likely {self._likely(rows)}. Or give --allow-outside, if the times are right: "
            "such rows are quarantined then."
        )

    def _likely(self, rows: pl.DataFrame) -> str:
        """The most likely fault of the time zone, and its remedy."""
        for given, zone in self._others():
            moved = reinterpret_zone(rows, given, zone)
            share = share_outside(moved, self._sessions_of(moved))
            if share <= MOST_OUTSIDE:
                return _read_as(given, zone, f"{share:.1%} lie outside")
        return (
            "the time zone is wrong: give the right --timezone, or, where the files "
            "name a zone themselves, correct it with .dt.replace_time_zone(...) in Polars and write them again"
        )

    def _others(self) -> list[tuple[str, str]]:
        """Pairs of the given zone and another common one."""
        given = self.clock.timezone
        if given is None:
            return [("UTC", NEW_YORK), (NEW_YORK, "UTC")]
        return [(given, zone) for zone in ("UTC", NEW_YORK) if zone != given]

    def _before(self) -> timedelta:
        """How far back the days lie at most with which `rvol_day` compares."""
        return calendar_days(self.params.features.rvol_sessions)

    def _require_bars(
        self, events: pl.DataFrame, sessions: pl.DataFrame, facts: pl.DataFrame, days: pl.DataFrame
    ) -> None:
        """Require that the bars of the lake do not contradict most events."""
        found = measure_agreement(events, sessions, facts, days)
        if found.share >= LEAST_ON_BARS:
            return
        raise InputError(
            f"{count_clause(found.compared, 'event lies', 'events lie')} on days of which the lake has bars "
            f"of their symbol, and only "
            f"{found.same:,} of them ({found.same / found.compared:.1%}) on a bar with the same close and volume; so "
            "nothing was written. "
            f"{self._likely_by_bars(events)}. Or give --allow-other-bars, if the times are right."
        )

    def _likely_by_bars(self, events: pl.DataFrame) -> str:
        """The time zone in which most events lie on their bars, and the remedy."""
        zones = self._others()
        found = dict(zip(zones, self._agreements(events, zones), strict=True))
        (given, zone), best = max(found.items(), key=lambda item: item[1].same)
        if best.compared and best.same >= LEAST_ON_BARS * best.compared:
            then = f"{best.same:,} of {best.compared:,} ({best.same / best.compared:.1%}) lie on such a bar"
            return f"Most likely {_read_as(given, zone, then)}"
        tried = " or ".join(zone for _, zone in zones)
        return (
            f"Nor are there enough with clocks of {tried}: another zone is right, or the prices are adjusted for "
            "splits, or the bars are those of another vendor. Give the right --timezone, or prices "
            "as traded"
        )

    def _agreements(self, events: pl.DataFrame, zones: Sequence[tuple[str, str]]) -> list[Agreement]:
        """The agreement of events with bars if times of the second zone were read as those of the first."""
        known = set(self.bars.symbols())
        moved = [reinterpret_zone(events, given, zone).drop_nulls("timestamp") for given, zone in zones]
        sessions = [self._sessions_of(one) for one in moved]
        found = [Agreement(0, 0)] * len(zones)
        symbols = sorted(known.intersection(pl.concat(moved)["symbol"].unique()))
        by_symbol = [one.partition_by("symbol", as_dict=True) for one in moved]
        for symbol in with_progress(
            symbols, len(symbols), "symbols compared with their bars in other time zones", self.log
        ):
            own = [one.get((symbol,), events.clear()) for one in by_symbol]
            first, last = self._days_of(pl.concat(own))
            bars = self.bars.read_together([symbol], first, last, _BAR_COLUMNS)
            bars, days = bars.rename({"close": "bar_close", "volume": "bar_volume"}), _days_with(bars)
            found = [
                so_far.plus(measure_agreement(one, of_zone, bars, days))
                for so_far, one, of_zone in zip(found, own, sessions, strict=True)
            ]
        return found

    def _facts(self, rows: pl.DataFrame, sessions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Facts from the lake's bars at the minutes of the rows (FACTS), and days that have bars (_DAYS)."""
        minutes = rows.select("symbol", "timestamp").drop_nulls().unique().sort("symbol", "timestamp")
        known = set(self.bars.symbols())
        of_symbols = [own for own in minutes.partition_by("symbol", maintain_order=True) if own["symbol"][0] in known]
        found, days = [FACTS.to_frame()], [_DAYS.to_frame()]
        borders = load_borders(self.bars.lake)
        for own in with_progress(of_symbols, len(of_symbols), "symbols compared with their bars", self.log):
            first, last = self._days_of(own)
            bars, _ = select_minutes(self.bars.read(own["symbol"][0], first - self._before(), last))
            found.append(bar_facts(bars, sessions, own, self.params.features, borders))
            days.append(_days_with(bars).join(_days_with(own), on=list(_DAYS), how="semi"))
        return pl.concat(found), pl.concat(days)

    def _days_of(self, minutes: pl.DataFrame) -> tuple[date, date]:
        day = new_york_date(pl.col("timestamp"))
        first, last = minutes.select(a=day.min(), b=day.max()).row(0)
        return first, last


def _days_with(minutes: pl.DataFrame) -> pl.DataFrame:
    """The days (_DAYS) of minutes."""
    return minutes.select("symbol", day=new_york_date(pl.col("timestamp"))).unique()


def _read_as(given: str, zone: str, then: str) -> str:
    """The message that times of `zone` were read as those of `given`, with the remedy."""
    return (
        f"times of {zone} were read as those of {given}: then {then}. Give --timezone {zone}, or, where the files "
        f'name {given} themselves, .dt.replace_time_zone("{zone}") in Polars and write them again'
    )


def _scanned(file: Path) -> pl.LazyFrame:
    """Scan a table of events; with the symbol of its path if it has no column for it."""
    with file.open("rb") as opened:
        mark = opened.read(len(_PARQUET_MAGIC))
    if mark != _PARQUET_MAGIC:
        raise InputError(
            "is no parquet file, and events are read from parquet only. Convert it: "
            'pl.read_csv(..., try_parse_dates=True).write_parquet("events.parquet") in Polars.'
        )
    require_unaltered(file)
    frame, symbol = pl.scan_parquet(file, hive_partitioning=False, glob=False), symbol_of_path(file)
    if symbol is None:
        return frame
    if frame.collect_schema().get("symbol", pl.Null()) == pl.Null():
        return frame.with_columns(symbol=pl.lit(symbol))
    own = pl.col("symbol").cast(pl.String).fill_null(pl.lit(symbol))
    others = frame.select(own.filter(canonical_symbol(own) != canonical_name(symbol)).first()).collect().item()
    if others is not None:
        raise InputError(
            f"the path says symbol {symbol}, the column symbol {others}. Rename the folder or file, or correct the "
            "column."
        )
    return frame.with_columns(symbol=own)


def _distinct(rows: pl.LazyFrame) -> pl.DataFrame:
    """Distinct rows (ROWS) with the number of their copies."""
    return rows.group_by(*SOURCE_COLUMNS, "here").agg(pl.col("copies").sum()).select(*ROWS).collect(engine="streaming")


def _published(path: Path, schema: pl.Schema) -> pl.DataFrame:
    """Read what an earlier import published; empty if there is no file."""
    if not path.is_file():
        return schema.to_frame()
    return read_table(path, schema)


def _require_replaceable(out: Path, lake: Lake) -> None:
    """Require that only an earlier import of events is replaced.

    Raises:
        InputError: `out` is a folder or another file.
        LakeError: the events that were imported into the lake are damaged.
    """
    if out == lake.imported_events and is_stored(out):
        read_table(out, IMPORTED_EVENTS)
    try:
        own = not out.exists() or (out.is_file() and (provenance_of(out) or {}).get("what") == EVENTS_PROVENANCE)
    except LakeError:
        own = False
    if not own:
        raise InputError(f"--out {out}: exists, and is not a file of imported events. Give the path of another file.")
