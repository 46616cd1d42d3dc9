"""The tape of one profile: publish spans, tell what is published, stale or missing, read the windows of events."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.manifests.selection import ProfileParams
from smallcaps_assets.domain.research.controls.tables import is_control_id, with_controls
from smallcaps_assets.domain.tape.budget import SizeBudget
from smallcaps_assets.domain.tape.nbbo import Thinning
from smallcaps_assets.domain.tape.opening_book import count_opening_book
from smallcaps_assets.domain.tape.schemas import (
    OPENING_BOOK,
    TAPE_KINDS,
    TAPE_SCHEMAS,
    TapeKind,
    missing_columns,
    schema_record,
)
from smallcaps_assets.domain.tape.size_units import QUOTE_SIZE_UNIT, SHARES_FROM, size_unit
from smallcaps_assets.domain.tape.tables import PUBLISHED, SPANS
from smallcaps_assets.domain.tape.windows import (
    choose_pieces,
    current_spans,
    event_windows,
    merge_windows,
    stale_windows,
    uncovered_windows,
)
from smallcaps_assets.domain.versions import digest
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.proven_files import prove_once
from smallcaps_assets.lake.files.publish import make_folders, publish_frame, sweep_below
from smallcaps_assets.lake.files.stored_tables import prove
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.failures import effort_so_far, read_failures, record_failure
from smallcaps_assets.lake.tape.files import FooterReader, Span, list_tape_files
from smallcaps_assets.lake.tape.reading import count_pieces, scan_opening_books, scan_pieces

_NAMED: Final = 5  # events in a message


class TapeBacklog(NamedTuple):
    """The backlog of one kind of tape for some windows, from one listing of the footers.

    Attributes:
        windows: the windows (WINDOWS).
        spans: the spans to fetch (SPANS).
        published: all published spans (PUBLISHED) of the windows' symbols.
        stale: windows (STALE) that are published but lack a column, and are not in `spans`.
        in_other_profiles: published trades (PUBLISHED) of other profiles, for the symbols to fetch; empty for quotes.
        retried: those of `spans` that are published, and asked for again because their answer is contradicted; none
            unless `lake.tape.contradictions` added them.
    """

    windows: pl.DataFrame
    spans: pl.DataFrame
    published: pl.DataFrame
    stale: pl.DataFrame
    in_other_profiles: pl.DataFrame
    retried: pl.DataFrame = SPANS.to_frame()


@dataclass(frozen=True)
class TapeStore:
    """The tape of one profile in a lake.

    Readers need neither `budget` nor `quotes_without_trades`: they decide what is no longer good enough and is to be
    fetched again.
    """

    lake: Lake
    profile: str
    params: ProfileParams
    budget: SizeBudget | None = None
    quotes_without_trades: bool = False
    # recorded in the footers of quotes, see `domain.tape.size_units`
    quote_sizes_in_shares_from: date | None = None
    # passes on the files whose footers are read, for a display of progress
    watched: Callable[[Sequence[Path]], Iterable[Path]] = tuple

    def schema(self, kind: TapeKind) -> pl.Schema:
        """The columns that this profile requires."""
        return TAPE_SCHEMAS[kind, self.params.columns]

    def resolution(self, kind: TapeKind) -> dict[str, Any]:
        """How much of the stream this profile keeps, as recorded in every footer."""
        thinning = {"thinning": self.params.quotes.model_dump()} if kind == "quotes" else {}
        return {"columns": self.params.columns, **thinning}

    # ------------------------------------------------------------------------------------------ what is there

    def published(self, kind: TapeKind, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """Spans (PUBLISHED) of all waves at no less than the profile's thinning, including stale ones."""
        return self._footers(kind, self.watched(list_tape_files(self.lake, self.profile, kind, symbols)))

    def listing(self) -> dict[TapeKind, pl.DataFrame]:
        """All published spans (PUBLISHED) of each kind: reads every footer once, for the functions that share it."""
        return {kind: self.published(kind) for kind in TAPE_KINDS}

    def damaged(self, kind: TapeKind, published: pl.DataFrame, symbols: Sequence[str] | None = None) -> list[LakeError]:
        """What is wrong with the files that are damaged or not ours, so that their windows count as missing.

        Only footers are read: `lake.verification` proves the rest.

        Args:
            kind: trades or quotes.
            published: what `published` returns for the same symbols.
            symbols: only the files of these.
        """
        return self._footer_reader(kind).damaged(list_tape_files(self.lake, self.profile, kind, symbols), published)

    def all_damaged(self, published: Mapping[TapeKind, pl.DataFrame]) -> list[LakeError]:
        """The same of both kinds and all symbols, and of records of failed spans; `published` is that of `listing`."""
        of_kinds = ((*self.damaged(kind, spans), *self.damaged_failures(kind)) for kind, spans in published.items())
        return list(chain.from_iterable(of_kinds))

    def partition_version(
        self, kind: TapeKind, symbol: str, wave: str, published: pl.DataFrame | None = None
    ) -> tuple[int, str]:
        """How many rows of one symbol and wave are published, and a fingerprint of them.

        Args:
            kind: trades or quotes.
            symbol: the symbol.
            wave: the wave.
            published: the published spans (PUBLISHED) where they are known; otherwise they are listed.
        """
        if published is None:
            folder = self.lake.tape_wave(self.profile, kind, wave, symbol)
            files = [path for path in sorted(list_paths(folder, "*.parquet")) if not path.name.startswith(".")]
            published = self._footers(kind, files)
        rows = published.filter(symbol=symbol, wave=wave).select("path", "rows", "bytes", "fetched_at")
        lines = (f"{Path(path).name} {count} {size} {when}" for path, count, size, when in rows.iter_rows())
        return int(rows["rows"].sum()), digest(lines)

    def is_published(self, kind: TapeKind, span: Span) -> bool:
        """Whether exactly this span is published with all columns, at no less than the profile's thinning."""
        path = self._path(kind, span)
        return path.is_file() and not current_spans(self._footers(kind, [path])).is_empty()

    def fetched_at(self, kind: TapeKind, span: Span) -> datetime | None:
        """When the published file of exactly this span was fetched; None if that is unknown or it is not published."""
        path = self._path(kind, span)
        found = self._footers(kind, [path])["fetched_at"] if path.is_file() else pl.Series([], dtype=pl.Datetime)
        return next(iter(found.to_list()), None)

    def missing_spans(self, kind: TapeKind, windows: pl.DataFrame, *, upgrade: bool = False) -> pl.DataFrame:
        """The spans to fetch (SPANS) so that every window (WINDOWS) is covered; with `upgrade`, by current files."""
        return self.backlog(kind, windows, upgrade=upgrade).spans

    def backlog(self, kind: TapeKind, windows: pl.DataFrame, *, upgrade: bool = False) -> TapeBacklog:
        """What is missing and what is stale of `windows` (WINDOWS).

        Args:
            kind: trades or quotes.
            windows: the windows; further columns are ignored.
            upgrade: fetch stale windows again as well.
        """
        symbols = windows["symbol"].unique(maintain_order=True).to_list()
        published = self.published(kind, symbols)
        spans = merge_windows(uncovered_windows(windows, current_spans(published) if upgrade else published))
        stale = stale_windows(windows, published)
        in_other_profiles = PUBLISHED.to_frame()
        if kind == "trades" and spans.height:
            in_other_profiles = self.published_in_other_profiles(spans["symbol"].unique().sort().to_list())
        return TapeBacklog(windows, spans, published, stale.clear() if upgrade else stale, in_other_profiles)

    def published_in_other_profiles(self, symbols: Sequence[str]) -> pl.DataFrame:
        """Published trades (PUBLISHED) of other profiles, of known origin and with all columns of this one.

        Trades are never thinned, so those of any profile can be copied.
        """
        others = sorted(folder.parent.name for folder in list_paths(self.lake.root / "tape", "*/trades"))
        stores = [TapeStore(self.lake, other, self.params) for other in others if other != self.profile]
        found = pl.concat([PUBLISHED.to_frame(), *(store.published("trades", symbols) for store in stores)])
        has_origin = pl.col("fetched_at").is_not_null() | (pl.col("adopted_from").list.len() > 0)
        return current_spans(found).filter(has_origin)

    def failures(self, kind: TapeKind, symbols: Collection[str] | None = None) -> list[dict[str, Any]]:
        """State, cause, wave, events and requests of the spans, of all or of some symbols, whose last fetch failed.

        Records that are damaged are left out: `damaged_failures` names them.
        """
        return self._failures(kind, symbols)[0]

    def damaged_failures(self, kind: TapeKind, symbols: Collection[str] | None = None) -> list[LakeError]:
        """What is wrong with the records of failed spans that cannot be read; their windows count as missing."""
        return self._failures(kind, symbols)[1]

    def _failures(
        self, kind: TapeKind, symbols: Collection[str] | None
    ) -> tuple[list[dict[str, Any]], list[LakeError]]:
        return read_failures(self.lake.quarantine_path(self.lake.tape(self.profile, kind)), symbols)

    # ------------------------------------------------------------------------------------------ publishing

    def prepare(self, kind: TapeKind) -> None:
        """Create the folders of this kind, and remove what killed writers left in them.

        Raises:
            LakeError: the folder of the lake does not exist, or the disk refuses.
        """
        folder = self.lake.tape(self.profile, kind)
        for place in (folder, self.lake.quarantine_path(folder)):
            make_folders(place, self.lake.root)
            sweep_below(place, "wave=*/symbol=*/.*.part")

    def publish(  # noqa: PLR0913 -- the parts of a tape file
        self,
        kind: TapeKind,
        span: Span,
        rows: pl.DataFrame,
        certificate: Mapping[str, Any],
        rejected: pl.DataFrame | None = None,
        *,
        below: Path | None = None,
    ) -> Path:
        """Publish the tape of one span, which may be empty, and drop the record of its earlier failure.

        Args:
            kind: trades or quotes.
            span: the span.
            rows: its rows, with the profile's columns; the first of quotes may be the opening book.
            certificate: further entries of the footer.
            rejected: rows that were set aside, with their `reason`; they go to the quarantine first.
            below: the folder that must exist, by default the lake's; only folders below it are created.

        Raises:
            LakeError: `below` does not exist, or the disk refuses.
        """
        path = self._path(kind, span)
        aside = self.lake.quarantine_path(path)
        failure = aside.with_suffix(".json")
        # what failed attempts took counts towards the file
        effort = {name: certificate.get(name, 0) + count for name, count in effort_so_far(failure).items()}
        schema = self.schema(kind)
        if rows.schema != schema:
            rows = rows.match_to_schema(schema)
        of_quotes = self._facts_of_quotes(span, rows) if kind == "quotes" else {}
        provenance = {
            **certificate,
            **effort,
            **of_quotes,
            **self.resolution(kind),
            **schema_record(schema),
            "symbol": span.symbol,
            "wave": span.wave,
            "events_merged": span.events_merged,
            "rows": rows.height,
            "rejected": 0 if rejected is None else rejected.height,
        }
        if rejected is not None and rejected.height:
            place = self.lake.quarantine_path(below) if below else self.lake.root
            publish_frame(aside, rejected, sweeps=False, below=place)
        # thousands of files share a folder, which `prepare` sweeps once
        publish_frame(path, rows, provenance, sweeps=False, below=below or self.lake.root)
        if rejected is None or rejected.is_empty():
            aside.unlink(missing_ok=True)
        failure.unlink(missing_ok=True)
        return path

    def _facts_of_quotes(self, span: Span, rows: pl.DataFrame) -> dict[str, Any]:
        """What only the footers of quotes record."""
        shares_from = self.quote_sizes_in_shares_from
        return {
            OPENING_BOOK: count_opening_book(rows, span.start),
            QUOTE_SIZE_UNIT: size_unit(span.start, shares_from),
            SHARES_FROM: None if shares_from is None else f"{shares_from}",
        }

    def record_failure(  # noqa: PLR0913 -- the fields of the record
        self,
        kind: TapeKind,
        span: Span,
        state: str,
        cause: str,
        effort: Mapping[str, int] | None = None,
        *,
        below: Path | None = None,
    ) -> None:
        """Record why a span could not be fetched, and what the attempt took, for people and for the ledger."""
        path = self._failure(self._path(kind, span))
        record_failure(path, span, state, cause, effort or {}, below or self.lake.root)

    # ------------------------------------------------------------------------------------------ reading

    def trades(self, event_id: str) -> pl.DataFrame:
        """Trades in the window of one event of the current manifest, sorted by (timestamp, sequence_number).

        Raises: see `scan`.
        """
        return self._read("trades", event_id)

    def quotes(self, event_id: str, *, opening_book: bool = False) -> pl.DataFrame:
        """Quotes in the window of one event of the current manifest, sorted by (timestamp, sequence_number).

        With `opening_book`, the last stored quote before the window comes first, if there is one.

        Raises: see `trades`.
        """
        return self._read("quotes", event_id, opening_book=opening_book)

    def scan(
        self, kind: TapeKind, events: Iterable[str], *, opening_book: bool = False, prove: bool = True
    ) -> pl.LazyFrame:
        """Rows in the windows of many events of the current manifest: event_id and the profile's columns.

        A `control_id` of the profile is taken as well; its window is the widest of its controls. Only then is the
        control manifest read.

        Each event has exactly the rows of its window [start, end); rows in several windows are returned for each of
        them. Rows come in no particular order. Columns that a file lacks are null. Manifest, footers and hashes are
        checked when this is called; rows are read when the frame is collected.

        Args:
            kind: trades or quotes.
            events: ids of events; repeated ids count once.
            opening_book: add to each event the last stored quote before its window, if there is one; only for quotes.
            prove: make sure that no file is damaged, which reads each one whole, once in a process while it is
                unchanged.

        Raises:
            InputError: an event is not in the manifest, or its tape is not published.
            LakeError: the manifest or the footer of a file cannot be read, or a file is damaged; names it.
        """
        where = self._where(kind, events)
        if prove:
            for path in where["path"].unique().sort():
                prove_once(Path(path))
        return self._rows(kind, where, opening_book=opening_book)

    def captured(self, damaged: list[LakeError] | None = None) -> pl.DataFrame:
        """What is captured (CAPTURED): the events of the current manifest, then the windows of its controls.

        Args:
            damaged: receives what is wrong with the control manifest, whose windows are then left out.

        Raises:
            InputError: there is no manifest yet.
            LakeError: the manifest is damaged or cannot be read; without `damaged`, also that of the controls.
        """
        current = ManifestStore.in_lake(self.lake, self.profile).current()
        controls = ControlStore(self.lake, self.profile).find(current)
        if controls.damage is not None:
            if damaged is None:
                raise controls.damage
            damaged.append(controls.damage)
        return with_controls(current.rows, controls.rows)

    def _where(self, kind: TapeKind, events: Iterable[str]) -> pl.DataFrame:
        """The pieces of the windows of events, each in its file; raises as `scan`."""
        wanted = pl.Series("event_id", list(events), dtype=pl.String).unique(maintain_order=True).to_frame()
        manifest = ManifestStore.in_lake(self.lake, self.profile).load()
        others = wanted.join(manifest, on="event_id", how="anti")
        captured = self.captured() if others.select(is_control_id(pl.col("event_id")).any()).item() else manifest
        unknown = wanted.join(captured, on="event_id", how="anti")["event_id"]
        if unknown.len():
            raise InputError(f"not in the current manifest of profile {self.profile}: {_names(unknown)}.")
        windows = event_windows(captured.join(wanted, on="event_id", how="semi"))
        published = self.published(kind, windows["symbol"].unique(maintain_order=True).to_list())
        missing = uncovered_windows(windows, published)
        if missing.height:
            for damage in self.damaged(kind, published, missing["symbol"].unique(maintain_order=True).to_list()):
                raise damage
            of_events = _names(missing["event_id"])
            raise InputError(
                f"the {kind} of {of_events} are not in the lake yet: materialize {self.profile}/tape_{kind}."
            )
        return choose_pieces(windows, published)

    def _rows(self, kind: TapeKind, where: pl.DataFrame, *, opening_book: bool) -> pl.LazyFrame:
        """The rows of pieces with their event_id, of quotes with the opening book of each event on request."""
        rows, schema = [self.scan_pieces(kind, where)], self.schema(kind)
        if opening_book and kind == "quotes":
            rows.append(scan_opening_books(where, schema))
        return pl.concat(part.select("event_id", *schema) for part in rows)

    def scan_pieces(self, kind: TapeKind, where: pl.DataFrame) -> pl.LazyFrame:
        """Rows of pieces of windows; see `lake.tape.reading`."""
        return scan_pieces(where, self.schema(kind))

    def count_pieces(self, kind: TapeKind, where: pl.DataFrame) -> pl.DataFrame:
        """Rows of each event in each of its files (PIECE_COUNTS); see `lake.tape.reading`."""
        return count_pieces(where, self.schema(kind), self.lake.tape(self.profile, kind))

    def _read(self, kind: TapeKind, event_id: str, *, opening_book: bool = False) -> pl.DataFrame:
        where = self._where(kind, [event_id])
        for path in where["path"].unique(maintain_order=True):
            prove(Path(path))
        rows = self._rows(kind, where, opening_book=opening_book).drop("event_id")
        return rows.sort("timestamp", "sequence_number", maintain_order=True).collect()

    def _path(self, kind: TapeKind, span: Span) -> Path:
        return self.lake.tape_wave(self.profile, kind, span.wave, span.symbol) / f"{span.name}.parquet"

    def _failure(self, path: Path) -> Path:
        return self.lake.quarantine_path(path).with_suffix(".json")

    def _footers(self, kind: TapeKind, paths: Iterable[Path]) -> pl.DataFrame:
        return self._footer_reader(kind).read(paths)

    def _footer_reader(self, kind: TapeKind) -> FooterReader:
        return FooterReader(
            partial(self._is_fine_enough, kind), partial(missing_columns, kind, self.schema(kind).names())
        )

    def _is_fine_enough(self, kind: TapeKind, provenance: Mapping[str, Any]) -> bool:
        """Whether a file was thinned no more than the profile asks."""
        if kind == "trades":
            return True
        if provenance.get("skipped") and self.quotes_without_trades:
            return False
        if provenance.get("budget_hz") and self.budget and provenance["budget_mb"] < self.budget.event_mb:
            return False
        return Thinning(**provenance["thinning"]).resolves(self.params.quotes)


def _names(events: pl.Series) -> str:
    """Some event ids, for a message."""
    more = f" and {events.len() - _NAMED:,} more" if events.len() > _NAMED else ""
    return f"{', '.join(events.head(_NAMED))}{more}"
