"""Tape windows: the trades and quotes of merged windows, one file per span and kind, and the reader of one window."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from smallcaps_assets.domain.manifests.selection import ProfileParams
from smallcaps_assets.domain.tables import QUOTES, QUOTES_ALL, TRADES, TRADES_ALL, UTC_NS, UTC_US
from smallcaps_assets.domain.tape.budget import SizeBudget
from smallcaps_assets.domain.tape.nbbo import Thinning
from smallcaps_assets.domain.tape.windows import event_windows, merge_windows, pieces, uncovered
from smallcaps_assets.domain.versions import digest
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.publish import (
    disk_errors,
    provenance_of,
    publish_frame,
    publish_text,
    read_json,
    sweep_below,
)

Kind = Literal["trades", "quotes"]
KINDS: Final[tuple[Kind, ...]] = ("trades", "quotes")
STAMP: Final = "%Y%m%dT%H%M%S"
EFFORT_NAMES: Final = ("requests", "retries", "throttled")

SCHEMAS: Final[dict[tuple[str, str], pl.Schema]] = {
    ("trades", "minimal"): TRADES,
    ("trades", "all"): TRADES_ALL,
    ("quotes", "minimal"): QUOTES,
    ("quotes", "all"): QUOTES_ALL,
}

# What an artefact's footer says, one certificate per span. `skipped` is why the vendor was not asked, `taken_from` the
# files of other profiles that the rows were cut out of instead, `adopted_from` files that a user had already. Events of
# `budget_hz` and `over_budget` are those whose later quotes were thinned further because their tape was too large, and
# those that are too large even so.
CERTIFICATE: Final = pl.Schema(
    {
        "events_merged": pl.List(pl.String()),
        "pages": pl.Int64(),
        "requests": pl.Int64(),
        "retries": pl.Int64(),
        "throttled": pl.Int64(),
        "received": pl.Int64(),
        "rows": pl.Int64(),
        "request_ids": pl.List(pl.String()),
        "fetched_at": UTC_US,
        "skipped": pl.String(),
        "taken_from": pl.List(pl.String()),
        "adopted_from": pl.List(pl.String()),
        "thinning": pl.Struct({"by_change_only": pl.Boolean(), "max_hz": pl.Int64()}),
        "budget_mb": pl.Float64(),
        "budget_events": pl.List(pl.String()),
        "budget_hz": pl.List(pl.Float64()),
        "over_budget": pl.List(pl.String()),
        "config_hash": pl.String(),
        "package_version": pl.String(),
    }
)
# What lies in the lake: one row per published span; `bytes` is the size of its file.
PUBLISHED: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "wave": pl.String(),
        "start": UTC_US,
        "end": UTC_US,
        "path": pl.String(),
        "bytes": pl.Int64(),
        **CERTIFICATE,
    }
)

COUNTS: Final = pl.Schema(
    {"event_id": pl.String(), "path": pl.String(), "rows": pl.Int64(), "first": UTC_NS, "last": UTC_NS}
)


@dataclass(frozen=True)
class Span:
    """A stretch of one symbol's tape [start, end), UTC, and the events whose windows it covers."""

    symbol: str
    wave: str
    start: datetime
    end: datetime
    events_merged: tuple[str, ...]

    @property
    def name(self) -> str:
        """What identifies the span within its symbol: what it covers, in UTC."""
        return f"{self.start:{STAMP}}_{self.end:{STAMP}}"


def spans_of(table: pl.DataFrame) -> list[Span]:
    """The rows of a table of spans (SPANS)."""
    return [Span(**row | {"events_merged": tuple(row["events_merged"])}) for row in table.to_dicts()]


@dataclass(frozen=True)
class TapeStore:
    """The tape of one profile in a lake.

    Who only reads needs neither of the last two: they say what is no longer good enough, and is to be fetched again.
    """

    lake: Lake
    profile: str
    params: ProfileParams
    budget: SizeBudget | None = None
    quotes_without_trades: bool = False

    def schema(self, kind: Kind) -> pl.Schema:
        """The columns this profile keeps."""
        return SCHEMAS[kind, self.params.columns]

    def resolution(self, kind: Kind) -> dict[str, Any]:
        """How much of the stream this profile keeps, as it is written into every artefact."""
        thinning = {"thinning": self.params.quotes.model_dump()} if kind == "quotes" else {}
        return {"columns": self.params.columns, **thinning}

    def published(self, kind: Kind, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """Spans (PUBLISHED) of this profile, of all waves, that hold at least the resolution asked."""
        folder = self.lake.tape(self.profile, kind)
        names = ["*"] if symbols is None else symbols
        files = [path for name in names for path in folder.glob(f"wave=*/symbol={name}/*.parquet")]
        rows = [self._row(kind, path) for path in sorted(files) if not path.name.startswith(".")]
        return pl.DataFrame([row for row in rows if row], schema=PUBLISHED, orient="row")

    def held(self, kind: Kind, symbol: str, wave: str) -> tuple[int, str]:
        """How many rows of one symbol and wave are published, and what tells them from others."""
        files = sorted(self.lake.tape_wave(self.profile, kind, wave, symbol).glob("*.parquet"))
        rows = [row for path in files if not path.name.startswith(".") and (row := self._row(kind, path))]
        told = (f"{Path(row['path']).name} {row['rows']} {row['bytes']} {row['fetched_at']}" for row in rows)
        return sum(row["rows"] for row in rows), digest(told)

    def holds(self, kind: Kind, span: Span) -> bool:
        """Whether exactly this span is published, at the resolution asked."""
        path = self._path(kind, span)
        return path.is_file() and self._row(kind, path) is not None

    def due(self, kind: Kind, windows: pl.DataFrame) -> list[Span]:
        """The spans to fetch so that every window (WINDOWS) is covered; empty when all are."""
        return spans_of(self.lacking(kind, windows))

    def lacking(self, kind: Kind, windows: pl.DataFrame) -> pl.DataFrame:
        """What `due` says, as a table (SPANS)."""
        symbols = windows["symbol"].unique(maintain_order=True).to_list()
        return merge_windows(uncovered(windows, self.published(kind, symbols)))

    def published_elsewhere(self, symbols: Sequence[str]) -> pl.DataFrame:
        """Trades (PUBLISHED) that other profiles hold with the columns asked: trades are never thinned."""
        others = sorted(folder.parent.name for folder in (self.lake.root / "tape").glob("*/trades"))
        stores = [TapeStore(self.lake, other, self.params) for other in others if other != self.profile]
        found = pl.concat([PUBLISHED.to_frame(), *(store.published("trades", symbols) for store in stores)])
        # what says neither is of no known origin
        return found.filter(pl.col("fetched_at").is_not_null() | (pl.col("adopted_from").list.len() > 0))

    def publish(self, kind: Kind, span: Span, rows: pl.DataFrame, certificate: Mapping[str, Any]) -> Path:
        """Publish the tape of one span, which may be empty; forget what was said of an earlier failure.

        Raises:
            LakeError: the disk refuses.
        """
        path = self._path(kind, span)
        failure = self._failure(path)
        # what earlier attempts took is part of what the artefact took
        spent = _spent(read_json(failure)) if failure.is_file() else {}
        effort = {name: certificate.get(name, 0) + count for name, count in spent.items()}
        own = {"events_merged": span.events_merged, "rows": rows.height}
        said = {**certificate, **effort, **self.resolution(kind), **own}
        if rows.schema != self.schema(kind):
            rows = rows.match_to_schema(self.schema(kind))
        publish_frame(path, rows, said)
        failure.unlink(missing_ok=True)
        return path

    def sweep(self, kind: Kind) -> None:
        """Remove what killed writers left of this kind, artefacts and refusals."""
        folder = self.lake.tape(self.profile, kind)
        for place in (folder, self.lake.quarantine_path(folder)):
            sweep_below(place, "wave=*/symbol=*/.*.part")

    def refuse(self, kind: Kind, span: Span, state: str, cause: str, spent: Mapping[str, int] | None = None) -> None:
        """Keep why a span could not be fetched, and what the attempt took, for people and for the ledger."""
        failure = self._failure(self._path(kind, span))
        before = _spent(read_json(failure)) if failure.is_file() else {}
        taken = {name: before.get(name, 0) + (spent or {}).get(name, 0) for name in EFFORT_NAMES}
        record = {"state": state, "cause": cause, "wave": span.wave, "events": span.events_merged, **taken}
        publish_text(failure, json.dumps(record, indent=2) + "\n")

    def refusals(self, kind: Kind) -> list[dict[str, Any]]:
        """What `refuse` kept of the spans that are still to be fetched: state, cause, wave, events, effort."""
        folder = self.lake.quarantine_path(self.lake.tape(self.profile, kind))
        return [read_json(path) for path in sorted(folder.glob("wave=*/symbol=*/*.json"))]

    def trades(self, event_id: str) -> pl.DataFrame:
        """Trades of exactly the window of an event of the current manifest, sorted by (timestamp, sequence_number)."""
        return self._read("trades", event_id)

    def quotes(self, event_id: str) -> pl.DataFrame:
        """Quotes of exactly the window of an event of the current manifest, sorted by (timestamp, sequence_number)."""
        return self._read("quotes", event_id)

    def scan_pieces(self, kind: Kind, where: pl.DataFrame) -> pl.LazyFrame:
        """Rows of the pieces of windows (see `domain.windows.pieces`), with their event_id and path.

        Files with more columns than this profile keeps are read as if they had no more.
        """
        paths = where["path"].unique().sort().to_list()
        wanted = where.lazy().select(
            "event_id",
            "path",
            piece_start=pl.col("piece_start").cast(pl.Datetime("ns", "UTC")),
            piece_end=pl.col("piece_end").cast(pl.Datetime("ns", "UTC")),
        )
        rows = pl.scan_parquet(
            paths,
            hive_partitioning=False,
            include_file_paths="path",
            schema=self.schema(kind),
            extra_columns="ignore",
        )
        inside = pl.col("timestamp").is_between("piece_start", "piece_end", closed="left")
        return rows.join(wanted, on="path", how="inner").filter(inside).drop("piece_start", "piece_end")

    def count_pieces(self, kind: Kind, where: pl.DataFrame) -> pl.DataFrame:
        """Rows of each event in each of its files (COUNTS), with the first and last time; streamed, whatever the size.

        Raises:
            LakeError: a file cannot be read.
        """
        if where.is_empty():
            return COUNTS.to_frame()

        def counted(some: pl.DataFrame, place: Path) -> pl.DataFrame:
            rows = self.scan_pieces(kind, some).group_by("event_id", "path")
            times = rows.agg(
                rows=pl.len().cast(pl.Int64), first=pl.col("timestamp").min(), last=pl.col("timestamp").max()
            )
            with disk_errors("read", place):
                return times.collect(engine="streaming").match_to_schema(COUNTS)

        try:
            return counted(where, self.lake.tape(self.profile, kind))
        except LakeError:  # of many files, name the one
            some = where.partition_by("path", maintain_order=True)
            return pl.concat(counted(piece, Path(piece["path"][0])) for piece in some)

    def _read(self, kind: Kind, event_id: str) -> pl.DataFrame:
        manifest = ManifestStore(self.lake.manifests(self.profile), self.profile).load()
        windows = event_windows(manifest.filter(pl.col("event_id") == event_id))
        if windows.is_empty():
            raise InputError(f"event {event_id!r} is not in the current manifest of profile {self.profile}.")
        published = self.published(kind, windows["symbol"].to_list())
        if not uncovered(windows, published).is_empty():
            raise InputError(
                f"the {kind} of {event_id} are not in the lake yet: materialize {self.profile}/tape_{kind}."
            )
        rows = self.scan_pieces(kind, pieces(windows, published))
        return rows.select(*self.schema(kind)).sort("timestamp", "sequence_number").collect()

    def _path(self, kind: Kind, span: Span) -> Path:
        return self.lake.tape_wave(self.profile, kind, span.wave, span.symbol) / f"{span.name}.parquet"

    def _failure(self, path: Path) -> Path:
        return self.lake.quarantine_path(path).with_suffix(".json")

    def _row(self, kind: Kind, path: Path) -> dict[str, Any] | None:
        """What is published at a path (PUBLISHED); None where it is not good enough, cannot be read or is not ours."""
        try:
            start, end = (datetime.fromisoformat(f"{part}+0000") for part in path.stem.split("_"))
            said = provenance_of(path)
        except (LakeError, ValueError):  # what cannot be read is not there: it is fetched again, in its place
            return None
        if said is None or not self._suffices(kind, said):
            return None
        fetched_at = said.get("fetched_at")
        return {
            "symbol": path.parent.name.removeprefix("symbol="),
            "wave": path.parent.parent.name.removeprefix("wave="),
            "start": start,
            "end": end,
            "path": str(path),
            "bytes": path.stat().st_size,
            **{name: said.get(name) for name in CERTIFICATE},
            "fetched_at": datetime.fromisoformat(fetched_at) if fetched_at else None,
        }

    def _suffices(self, kind: Kind, said: Mapping[str, Any]) -> bool:
        if self.params.columns == "all" and said["columns"] != "all":
            return False
        if kind == "trades":
            return True
        if said.get("skipped") and self.quotes_without_trades:
            return False
        if said.get("budget_hz") and self.budget and said["budget_mb"] < self.budget.event_mb:
            return False
        return Thinning(**said["thinning"]).resolves(self.params.quotes)


def _spent(record: Mapping[str, Any]) -> dict[str, int]:
    """Requests, retries and answers with 429 that a refusal tells of."""
    return {name: int(record.get(name, 0)) for name in EFFORT_NAMES}
