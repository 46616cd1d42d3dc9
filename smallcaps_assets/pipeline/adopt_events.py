"""Taking in a MASTER table of an earlier system, or its shards: read file by file, put right, published once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.adopted_clock import Clock, on_clocks_of, share_outside
from smallcaps_assets.domain.adopted_events import (
    ADOPTED,
    REFUSED,
    ROWS,
    TOLD,
    adopt,
    as_rows,
    still_refused,
    typed_events,
)
from smallcaps_assets.domain.bar_facts import FACTS, bar_facts
from smallcaps_assets.domain.events import DetectionParams
from smallcaps_assets.domain.sessions import NEW_YORK, SESSION_TABLE, SessionParams, new_york_date
from smallcaps_assets.domain.tables import matched
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.imports import remember_import
from smallcaps_assets.lake.publish import disk_errors, provenance_of, publish_changed
from smallcaps_assets.pipeline.bar_tables import symbol_of_path
from smallcaps_assets.pipeline.history import sessions_between
from smallcaps_assets.pipeline.progress import with_progress

ADOPTED_MARK: Final = "adopted events"
# rows read since copies were last removed, so that a table and its own shards need the memory of one of them
ROWS_AT_ONCE: Final = 1_000_000
# Of rows that are right, those after the close of short days lie outside: less than 1 %. A clock that is wrong by five
# hours puts a tenth or more there.
MOST_OUTSIDE: Final = 0.02
# how every parquet file begins
_MARK: Final = b"PAR1"
# files that an error names
NAMED: Final = 3
# calendar days that hold the trading days before, with which `rvol_day` compares
_DAYS_PER_TRADING_DAY: Final = 3


class EventsAdopted(NamedTuple):
    """What came of it: figures, files that could not be read with the cause, and whether anything was written."""

    repairs: dict[str, Any]
    problems: list[str]
    written: bool


@dataclass(frozen=True)
class EventsImport:
    """Everything that taking in events needs.

    Attributes:
        bars: of the lake; they fill in what the earlier table does not know.
        params: of detection; features, cooldown and tiers are used.
        sessions: bounds of the sessions.
        clock: how timestamps are read that do not say it themselves.
        replace: whether what earlier imports brought is left out; otherwise events are added to it.
        allow_outside: whether many rows may lie outside every session.
        log: takes lines about progress.
    """

    bars: BarsStore
    params: DetectionParams
    sessions: SessionParams
    clock: Clock
    replace: bool
    allow_outside: bool
    log: Callable[[str], None]

    def run(self, files: Sequence[Path], out: Path, refused_to: Path) -> EventsAdopted:
        """Publish MASTER of the events of `files` and of `out` to `out`, and the rows that are none to `refused_to`.

        A file that cannot be read is named and does not stop the others. The same files give the same bytes, in
        whatever order and in however many imports.

        Raises:
            InputError: not one event in them, more than MOST_OUTSIDE of the rows outside every session, or `out` holds
                something else; nothing was written.
            LakeError: the disk refuses.
        """
        _require_own(out)
        rows, problems = self._read(files)
        if not self.allow_outside:
            self._require_clock(rows)
        before = _published(out, ADOPTED)
        if not self.replace:
            rows = pl.concat([rows, as_rows(before)])
        sessions = self._sessions_of(rows)
        adopted = adopt(rows, sessions, self._facts(rows, sessions), self.params.cooldown, self.params.tier_min_scores)
        if not adopted.repairs["events"]:
            told = [f"{count:,} rows: {why}" for why, count in adopted.repairs["quarantined_because"].items()]
            more = [f"and {len(problems) - NAMED:,} more files"] if len(problems) > NAMED else []
            causes = "; ".join([*problems[:NAMED], *more, *told]) or "no rows"
            raise InputError(f"not one event, so nothing was written: {causes}")
        if out == self.bars.lake.adopted_events:
            remember_import(self.bars.lake, "events")
        said = {"what": ADOPTED_MARK}
        written = [publish_changed(out, adopted.events, said)]
        refused_before = _published(refused_to, REFUSED)
        pieces = [adopted.refused] if self.replace else [adopted.refused, refused_before]
        refused = still_refused(pl.concat(pieces), adopted.events)
        if refused.height or refused_to.is_file():
            written.append(publish_changed(refused_to, refused, said))
        figures = {
            "events_left_out": before.height if self.replace else 0,
            "in_quarantine": refused.height,
            "left_quarantine": refused_before.join(refused, on=list(REFUSED), how="anti", nulls_equal=True).height,
        }
        return EventsAdopted(adopted.repairs | figures, problems, any(written))

    def _read(self, files: Sequence[Path]) -> tuple[pl.DataFrame, list[str]]:
        """The distinct rows of all files (ROWS), and why some could not be read."""
        pieces, problems, waiting = [ROWS.to_frame()], [], 0
        for file in with_progress(files, len(files), "files of events", self.log):
            try:
                piece = self._rows_of(file)
            except InputError as error:
                problems.append(str(error))
                continue
            pieces.append(piece)
            waiting += piece.height
            if waiting > ROWS_AT_ONCE and len(pieces) > 1:
                pieces, waiting = [_distinct(pl.concat(pieces).lazy())], 0
        return _distinct(pl.concat(pieces).lazy()), problems

    def _rows_of(self, file: Path) -> pl.DataFrame:
        try:
            typed = typed_events(_scanned(file), self.clock)
            return _distinct(typed.with_columns(copies=pl.lit(1, pl.Int64), here=pl.lit(value=False)))
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{file}: cannot be read to its end ({reason}). Write it again, or leave it out."
            ) from error

    def _sessions_of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Bounds of the sessions of the rows, and of the trading days before them."""
        first, last = rows.select(a=pl.col("timestamp").min(), b=pl.col("timestamp").max()).row(0)
        if first is None:
            return SESSION_TABLE.to_frame()
        return sessions_between(first.date() - self._before(), last.date(), self.sessions)

    def _require_clock(self, rows: pl.DataFrame) -> None:
        """Make sure that the times of the rows can be what they are said to be."""
        share = share_outside(rows, self._sessions_of(rows))
        if share <= MOST_OUTSIDE:
            return
        raise InputError(
            f"{share:.1%} of the rows lie outside every session, on days without one or at night in New York; so "
            f"nothing was written. Most likely {self._likely(rows)}. Or give --allow-outside, if the times are right: "
            "such rows are set aside then."
        )

    def _likely(self, rows: pl.DataFrame) -> str:
        """What is wrong with the clock of the rows, and how it is put right."""
        for said, zone in permutations(("UTC", NEW_YORK)) if self.clock.timezone is None else self._others():
            moved = on_clocks_of(rows, said, zone)
            share = share_outside(moved, self._sessions_of(moved))
            if share <= MOST_OUTSIDE:
                return (
                    f"clocks of {zone} were taken for those of {said}: then {share:.1%} lie outside. Give --timezone "
                    f'{zone}, or, where the files name {said} themselves, .dt.replace_time_zone("{zone}") in Polars '
                    "and write them again"
                )
        return (
            "the clocks did not stand where it is said: give the --timezone in which they stood, or, where the files "
            "name a zone themselves, put it right with .dt.replace_time_zone(...) in Polars and write them again"
        )

    def _others(self) -> list[tuple[str, str]]:
        """Zones other than the one said in which clocks often stand, each after the one said."""
        said = self.clock.timezone or "UTC"
        return [(said, zone) for zone in ("UTC", NEW_YORK) if zone != said]

    def _before(self) -> timedelta:
        return timedelta(days=1 + _DAYS_PER_TRADING_DAY * self.params.features.rvol_days)

    def _facts(self, rows: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
        """What the bars of the lake tell of the minutes of the rows (FACTS), one symbol after the other."""
        minutes = rows.select("symbol", "timestamp").drop_nulls().unique().sort("symbol", "timestamp")
        known = set(self.bars.symbols())
        of_symbols = [own for own in minutes.partition_by("symbol", maintain_order=True) if own["symbol"][0] in known]
        found = [FACTS.to_frame()]
        for own in with_progress(of_symbols, len(of_symbols), "symbols held against their bars", self.log):
            first, last = self._days_of(own)
            bars = self.bars.read(own["symbol"][0], first - self._before(), last)
            found.append(bar_facts(bars, sessions, own, self.params.features))
        return pl.concat(found)

    def _days_of(self, minutes: pl.DataFrame) -> tuple[date, date]:
        day = new_york_date(pl.col("timestamp"))
        first, last = minutes.select(a=day.min(), b=day.max()).row(0)
        return first, last


def _scanned(file: Path) -> pl.LazyFrame:
    """A table of events as it is; its symbol where only its path says it."""
    with file.open("rb") as opened:
        mark = opened.read(len(_MARK))
    if mark != _MARK:
        raise InputError(
            "is no parquet file, and events are read from parquet only. Convert it: "
            'pl.read_csv(..., try_parse_dates=True).write_parquet("events.parquet") in Polars.'
        )
    frame, symbol = pl.scan_parquet(file, hive_partitioning=False), symbol_of_path(file)
    if symbol is None or "symbol" in frame.collect_schema():
        return frame
    return frame.with_columns(symbol=pl.lit(symbol))


def _distinct(rows: pl.LazyFrame) -> pl.DataFrame:
    """Rows (ROWS) with those that are alike as one."""
    return rows.group_by(*TOLD, "here").agg(pl.col("copies").sum()).select(*ROWS).collect(engine="streaming")


def _published(path: Path, schema: pl.Schema) -> pl.DataFrame:
    """What an earlier import published; empty where there was none."""
    if not path.is_file():
        return schema.to_frame()
    with disk_errors("read", path):
        return matched(pl.scan_parquet(path, hive_partitioning=False), schema, str(path)).collect()


def _require_own(out: Path) -> None:
    """Make sure that only an earlier import of events is replaced.

    Raises:
        InputError: `out` is a folder, or a file that is none.
    """
    try:
        own = not out.exists() or (out.is_file() and (provenance_of(out) or {}).get("what") == ADOPTED_MARK)
    except LakeError:
        own = False
    if not own:
        raise InputError(f"--out {out}: is there, and is no file of adopted events. Give the path of another file.")
