"""Import of trades and quotes that were downloaded before, one file per event; no capture fetches them again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import polars as pl

from smallcaps_assets.domain.imports.prices import PriceScale
from smallcaps_assets.domain.imports.tape import merge_tape, require_dollars, tape_faults, typed_tape
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.symbols import canonical_name, canonical_symbol
from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.domain.tape.judging import JudgedTape, judge_tape
from smallcaps_assets.domain.tape.nbbo import Thinning
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.tape.tables import WINDOWS
from smallcaps_assets.domain.tape.windows import current_spans, event_windows, merge_windows, uncovered_windows
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError, LakeError, UnexpectedError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.tape.files import Span, spans_of
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import ROWS_PER_PAGE
from smallcaps_assets.pipeline.imports.bar_tables import require_unaltered
from smallcaps_assets.pipeline.imports.symbol_names import symbol_of_path
from smallcaps_assets.pipeline.imports.window_bounds import Claim, require_bounds, require_trades
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.progress import Progress
from smallcaps_assets.pipeline.tape.capture import Pair
from smallcaps_assets.pipeline.tape.spans import SpanPublisher, current_time
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors
from smallcaps_assets.runtime.user_files import find_user_files

# minutes around each event that the files cover, as the user declares
COVERED: Final = pl.Schema({"event_id": pl.String(), "held_before": pl.Int64(), "held_after": pl.Int64()})
REJECTED_FILES: Final = pl.Schema(
    {"kind": pl.String(), "event_id": pl.String(), "file": pl.String(), "reason": pl.String()}
)
FIGURES: Final = (
    *("files", "not_in_manifest", "there_already", "shorter_than_the_window"),
    *("adopted", "refused", "rows", "repeats", "rows_rejected"),
)
_EVENT: Final = "event="
# columns that say the symbol
_SYMBOLS: Final = ("symbol", "ticker", "sym")


@dataclass(frozen=True)
class TapeFile:
    """A file of one event."""

    kind: TapeKind
    event_id: str
    path: Path


class WindowsOutcome(NamedTuple):
    """Figures of each kind (FIGURES), rejected files (REJECTED_FILES), and partitions with new windows.

    `stopped` is the error that ended it early; windows published by then stay.
    """

    figures: Mapping[TapeKind, dict[str, int]]
    rejected: pl.DataFrame
    changed: Mapping[TapeKind, set[Pair]]
    stopped: LakeError | None


def tape_files(folder: Path, log: Callable[[str], None]) -> list[TapeFile]:
    """The files of events below a folder, sorted.

    They are `event=ID/trades.parquet` and `ID_trades.parquet`, and the same of quotes; others are left out. So are
    hidden files and backup copies; `log` receives a line about them.
    """
    if not folder.is_dir():
        return []
    found = find_user_files(folder, lambda path: path.name.endswith(".parquet"))
    note = found.note()
    if note:
        log(note)
    return [file for path in found.files if (file := _tape_file(path)) is not None]


def _tape_file(path: Path) -> TapeFile | None:
    event_id, _, kind = path.stem.rpartition("_")
    of_folders = (part.removeprefix(_EVENT) for part in reversed(path.parts[:-1]) if part.startswith(_EVENT))
    event_id = unquote(event_id or next(of_folders, ""))
    of_kind = [known for known in TAPE_KINDS if known == kind]
    return TapeFile(of_kind[0], event_id, path) if of_kind and event_id else None


@dataclass(frozen=True)
class WindowsImport:
    """Imports windows.

    Attributes:
        folder: the folder of the files; the provenance names them relative to it.
        tape: the tape to publish to.
        manifest: the current manifest (MANIFEST).
        covered: COVERED, of every event whose files may be imported.
        sessions: the bounds between which there are trades and quotes; None to trust `covered` without a check.
        resolution: how quotes were thinned; None where they are the full stream.
        timezone: time zone of timestamps without one.
        scale: the unit of prices; None for dollars.
        config_hash: that of the manifest, for the provenance.
        log: receives lines about progress.
        clock: the current time.
    """

    folder: Path
    tape: TapeStore
    manifest: pl.DataFrame
    covered: pl.DataFrame
    sessions: SessionParams | None
    resolution: Thinning | None
    timezone: str | None
    scale: PriceScale | None
    config_hash: str
    log: Callable[[str], None]
    clock: Callable[[], datetime] = current_time

    def run(self, files: Sequence[TapeFile]) -> WindowsOutcome:
        """Publish the windows that files cover completely; a faulty file is rejected and does not stop the others.

        Raises:
            InputError: the files do not reach the minutes that they are declared to cover; nothing is published.
        """
        works = [_Work(self, kind, [file for file in files if file.kind == kind]) for kind in TAPE_KINDS]
        if self.sessions is not None:
            for work in works:
                require_bounds(work.claims(), self.timezone, self.sessions)
        changed: dict[TapeKind, set[Pair]] = {kind: set() for kind in TAPE_KINDS}
        stopped = None
        try:
            for work in works:
                for pair in work.pairs():
                    changed[work.kind].add(pair)
        except LakeError as error:
            stopped = error
        rejected = pl.DataFrame([row for work in works for row in work.rejected], schema=REJECTED_FILES, orient="row")
        return WindowsOutcome({work.kind: work.figures for work in works}, rejected, changed, stopped)

    def whole(self, kind: TapeKind, pairs: Sequence[Pair]) -> list[Outcome]:
        """Outcomes of those `pairs` of (symbol, wave) whose windows are all published."""
        asked = pl.DataFrame(pairs, schema={"symbol": pl.String, "wave": pl.String}, orient="row")
        windows = event_windows(self.manifest).join(asked, on=["symbol", "wave"], how="semi")
        published = self.tape.published(kind, asked["symbol"].unique(maintain_order=True).to_list())
        missing = uncovered_windows(windows, published).select("symbol", "wave").unique()
        done = windows.join(missing, on=["symbol", "wave"], how="anti").group_by("symbol", "wave").len().sort(pl.all())
        return [self._outcome(kind, *row) for row in done.iter_rows()]

    def _outcome(self, kind: TapeKind, symbol: str, wave: str, windows: int) -> Outcome:
        rows, version = self.tape.partition_version(kind, symbol, wave)
        return Outcome((symbol, wave), {"windows": windows, "requests": 0}, rows=rows, version=version)


class _Work:
    """The files of one kind."""

    def __init__(self, plan: WindowsImport, kind: TapeKind, files: Sequence[TapeFile]) -> None:
        self.plan, self.kind, self.tape = plan, kind, plan.tape
        self.files: dict[str, list[TapeFile]] = {}
        for file in files:
            self.files.setdefault(file.event_id, []).append(file)
        self.rejected: list[tuple[str, str, str, str]] = []
        self.figures = dict.fromkeys(FIGURES, 0) | {"files": len(files)}
        windows = event_windows(plan.manifest).with_columns(
            plan.manifest[name] for name in ("timestamp", "close", "volume")
        )
        before, after = (pl.duration(minutes=f"held_{side}") for side in ("before", "after"))
        named = pl.Series("event_id", list(self.files), dtype=pl.String).to_frame()
        self.windows = (
            windows.join(named, on="event_id", how="semi")
            .join(plan.covered, on="event_id", how="left", maintain_order="left")
            .with_columns(held_start=pl.col("timestamp") - before, held_end=pl.col("timestamp") + after)
            .cast({"held_start": UTC_US, "held_end": UTC_US})
        )
        self.by_event = {row["event_id"]: row for row in self.windows.to_dicts()}
        self.figures["not_in_manifest"] = len(self.files) - self.windows.height
        self.publisher = SpanPublisher(kind, plan.tape, windows, plan.config_hash, plan.clock)
        # apart: files that can be read do not show that windows can be published
        self.unread = UnexpectedErrors(plan.tape.lake, f"import {kind}")
        self.unpublished = UnexpectedErrors(plan.tape.lake, f"import {kind} of window")

        symbols = self.windows["symbol"].unique(maintain_order=True).to_list()
        # stale files are replaced, since an import is free
        missing = uncovered_windows(
            self.windows.select(*WINDOWS), current_spans(self.tape.published(self.kind, symbols))
        )
        self.figures["there_already"] = self.windows.height - missing.height
        self.complete = self.windows.join(missing, on="event_id", how="semi").filter(
            (pl.col("held_start") <= pl.col("start")) & (pl.col("held_end") >= pl.col("end"))
        )
        self.figures["shorter_than_the_window"] = missing.height - self.complete.height

    def claims(self) -> list[Claim]:
        """The files to read, with the minutes that they are declared to cover."""
        rows = self.complete.select("event_id", "timestamp", "held_start", "held_end").iter_rows()
        return [Claim(file.path, *bounds) for event, *bounds in rows for file in self.files[event]]

    def pairs(self) -> Iterator[Pair]:
        """Publish all usable windows; yields the partitions with new ones."""
        progress = Progress(self.complete.height, f"{self.kind} windows imported", self.plan.log)
        for span in spans_of(merge_windows(self.complete.select(*WINDOWS))):
            published = self._attempt(span)
            progress.add(len(span.events_merged))
            if published:
                yield span.symbol, span.wave

    def _attempt(self, span: Span) -> int:
        """Publish the rows of a span; where an error that nobody foresaw keeps it from that, its files are rejected."""
        found = self.unpublished.attempt(f"{span.symbol} {span.wave} {span.name}", partial(self._span, span))
        if not isinstance(found, UnexpectedError):
            return found
        for event in span.events_merged:
            self._reject(self.files[event][0], str(found))
        return 0

    def _span(self, span: Span) -> int:
        """Publish the rows of a span; returns the number of tape files."""
        sound = {event: rows for event in span.events_merged if (rows := self._sound(event)) is not None}
        if not sound:
            return 0
        if self.kind == "trades" or self.plan.resolution is None:
            self._reject_gaps(sound)
        windows = self.windows.filter(pl.col("event_id").is_in(list(sound))).select(*WINDOWS)
        trades = self.tape.published("trades", [span.symbol]) if self.kind == "quotes" else None
        parts = spans_of(merge_windows(windows))
        for part in parts:
            self._publish(part, [sound[event] for event in part.events_merged], trades)
        return len(parts)

    def _publish(self, part: Span, sound: Sequence["_Sound"], trades: pl.DataFrame | None) -> None:
        inside = pl.col("timestamp").is_between(part.start, part.end, closed="left")
        rows = merge_tape([one.rows.filter(inside) for one in sound], self.kind)
        rejected = pl.concat(one.judged.rejected.filter(inside) for one in sound).unique(maintain_order=True)
        sources = [one.file.path.relative_to(self.plan.folder).as_posix() for one in sound]
        repeats = sum(one.repeats for one in sound)
        result = self.publisher.publish_imported(part, JudgedTape(rows, rejected), sources, trades, repeats)
        self.figures["adopted"] += len(sound)
        self.figures["rows"] += result.rows
        self.figures["repeats"] += repeats
        self.figures["rows_rejected"] += result.rejected

    def _sound(self, event: str) -> "_Sound | None":
        """The rows of the first sound file of an event; faulty files before it are rejected."""
        for file in self.files[event]:
            try:
                found = self.unread.attempt(str(file.path), partial(self._read, file, self.by_event[event]))
            except InputError as error:
                self._reject(file, str(error))
                continue
            if not isinstance(found, UnexpectedError):
                return found
            self._reject(file, str(found))
        return None

    def _read(self, file: TapeFile, window: Mapping[str, Any]) -> "_Sound":
        """A file, checked over all minutes that it is declared to cover.

        Raises:
            InputError: they are faulty; the message lists the faults.
        """
        symbol = symbol_of_path(file.path)
        if symbol not in (None, window["symbol"]):
            raise InputError(f"is in the folder of {symbol}, but the event is of {window['symbol']}")
        try:
            require_unaltered(file.path)
            frame = pl.read_parquet(file.path, hive_partitioning=False, glob=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise InputError(f"cannot be read: {str(error).splitlines()[0]}") from error
        _require_symbol(frame, window["symbol"])
        try:
            schema, scale = self.tape.schema(self.kind), self.plan.scale
            rows, repeats = typed_tape(frame, self.kind, schema, self.plan.timezone, scale)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise InputError(f"cannot be made into {self.kind}: {str(error).splitlines()[0]}") from error
        if frame.height and frame.height % ROWS_PER_PAGE == 0:
            raise InputError(f"looks cut off: its {frame.height:,} rows are whole pages of the vendor's answers")
        start, end = window["held_start"], window["held_end"]
        # a request up to the end returns rows at the end as well
        rows = rows.filter(pl.col("timestamp") != end)
        require_dollars(rows, self.kind, window["close"])
        judged = judge_tape(rows, self.kind)
        faults = [judged.fault.sentence] if judged.fault else tape_faults(judged.rows, self.kind, start, end)
        if faults:
            times = rows["timestamp"].dt.to_string("%Y-%m-%d %H:%M:%S").drop_nulls()
            seen = f" (it goes from {times[0]} to {times[-1]} UTC)" if times.len() else ""
            raise InputError("; ".join(faults) + seen)
        if self.kind == "trades":
            require_trades(judged.rows, window, BarsStore(self.tape.lake))
        return _Sound(file, judged, repeats)

    def _reject_gaps(self, sound: dict[str, "_Sound"]) -> None:
        """Reject files that lack rows which an overlapping file has in minutes that both cover."""
        times = merge_tape([one.rows for one in sound.values()], self.kind)["timestamp"]
        for event, one in list(sound.items()):
            window = self.by_event[event]
            expected = int(times.is_between(window["held_start"], window["held_end"], closed="left").sum())
            if expected != one.rows.height:
                self._reject(
                    one.file, f"has {count_noun(one.rows.height, 'row')}, with its neighbours there are {expected:,}"
                )
                del sound[event]

    def _reject(self, file: TapeFile, reason: str) -> None:
        name = file.path.relative_to(self.plan.folder).as_posix()
        self.rejected.append((self.kind, file.event_id, name, reason))
        self.figures["refused"] += 1


def _require_symbol(frame: pl.DataFrame, symbol: str) -> None:
    """Require that the columns which say the symbol of rows name no other one than the event's.

    Raises:
        InputError: one does.
    """
    texts = (pl.String, pl.Categorical, pl.Enum)
    for name in (name for name, found in frame.schema.items() if name.casefold() in _SYMBOLS and found in texts):
        own = canonical_symbol(pl.col(name).cast(pl.String))
        other = frame.select(own.filter(own != canonical_name(symbol)).first()).item()
        if other is not None:
            raise InputError(f"its column {name} says {other}, but the event is of {symbol}")


class _Sound(NamedTuple):
    """A file, its tape, which has no fault, and how many rows were removed because they repeat another exactly."""

    file: TapeFile
    judged: JudgedTape
    repeats: int

    @property
    def rows(self) -> pl.DataFrame:
        """Its possible rows."""
        return self.judged.rows


def still_rejected_files(
    before: pl.DataFrame, now: pl.DataFrame, files: Sequence[TapeFile], ledger: pl.DataFrame
) -> pl.DataFrame:
    """Rejected files (REJECTED_FILES): those of now, and earlier ones whose event still lacks that kind, not retried.

    Args:
        before: files that earlier imports rejected.
        now: rejected files of `files`.
        files: all files of this import.
        ledger: the ledger after this import.
    """
    key = ["kind", "event_id"]
    tried = pl.DataFrame(
        [(file.kind, file.event_id) for file in files], schema=dict.fromkeys(key, pl.String), orient="row"
    )
    published = (
        ledger.filter(pl.col(f"{kind}_rows").is_not_null()).select(pl.lit(kind).alias("kind"), "event_id")
        for kind in TAPE_KINDS
    )
    left = before.join(pl.concat([tried, *published]), on=key, how="anti")
    return pl.concat([left, now]).sort(pl.all())
