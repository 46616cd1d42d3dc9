"""Publish one span, thinned and within the size budget, with its certificate; or record its failure."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.tape.budget import BYTES_PER_MB, SizeBudget, fit_budget
from smallcaps_assets.domain.tape.judging import JudgedTape, TapeFault, judge_tape
from smallcaps_assets.domain.tape.nbbo import thin_frame
from smallcaps_assets.domain.tape.opening_book import count_opening_book
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.tape.tables import WINDOWS
from smallcaps_assets.domain.tape.windows import cut_pieces, uncovered_windows
from smallcaps_assets.errors import BadPage, LakeError, MarketDataError, UnexpectedError
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.files.stored_tables import prove
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.rejected import read_rejected
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.pages import Download
from smallcaps_assets.pipeline.problems import Problem

SILENT: Final = "no trades in the span, outside regular hours"
_NOTHING: Final = dict.fromkeys(("pages", "requests", "retries", "throttled", "received", "repeats"), 0)


def current_time() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class SpanResult:
    """The result of one span."""

    span: Span
    rows: int = 0
    bytes: int = 0
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    repeats: int = 0
    rejected: int = 0
    problem: str | None = None

    @property
    def came_back_empty(self) -> bool:
        """Whether the vendor answered, and has no row of the span."""
        return self.requests > 0 and self.problem is None and not self.rows and not self.rejected


@dataclass(frozen=True)
class SpanPublisher:
    """Publishes the spans of one kind of tape.

    Attributes:
        kind: trades or quotes.
        tape: where they are published.
        windows: the windows of all events concerned (WINDOWS), with `known_at`.
        config_hash: hash of the settings behind the manifest.
        clock: returns the time.
    """

    kind: TapeKind
    tape: TapeStore
    windows: pl.DataFrame
    config_hash: str
    clock: Callable[[], datetime]

    def __post_init__(self) -> None:
        """Create the folders that exist as long as the lake does: files are only published below them."""
        self.tape.prepare(self.kind)

    @property
    def _folder(self) -> Path:
        return self.tape.lake.tape(self.tape.profile, self.kind)

    def publish_download(self, span: Span, fetched: Download, trades: pl.DataFrame | None) -> SpanResult:
        """Publish the possible rows of a download; of one that is wrong as a whole, record the failure.

        Args:
            span: the span.
            fetched: the download.
            trades: for quotes, the published trades (PUBLISHED) of the symbol, which count towards the size budget.
        """
        judged = judge_tape(fetched.frame, self.kind)
        if judged.fault is not None:
            return self.record_failure(span, "failed", _impossible_tape(self.kind, fetched, judged.fault))
        certificate = {
            "pages": fetched.pages,
            "requests": fetched.requests,
            "retries": fetched.retries,
            "throttled": fetched.throttled,
            "received": fetched.frame.height,
            "repeats": fetched.repeats,
            "request_ids": fetched.request_ids,
        }
        result = self._publish_thinned(span, judged, certificate, trades)
        return replace(
            result,
            requests=fetched.requests,
            retries=fetched.retries,
            throttled=fetched.throttled,
            repeats=fetched.repeats,
        )

    def publish_skipped(self, span: Span) -> SpanResult:
        """Publish an empty file for a span that needs no request, since there is nothing to fetch."""
        return self._publish(span, self.tape.schema(self.kind).to_frame(), _NOTHING | {"skipped": SILENT})

    def publish_copy(self, span: Span, in_other_profiles: pl.DataFrame) -> SpanResult | None:
        """Publish trades cut out of the files of other profiles (PUBLISHED), without a request.

        None if these are wrong as a whole, as an earlier release may have published them: nothing was published.
        """
        where = cut_pieces(span_windows([span]), in_other_profiles)
        paths = [Path(path) for path in where["path"].unique().sort()]
        for path in paths:
            prove(path)
        schema, root = self.tape.schema("trades"), self.tape.lake.root
        rows = self.tape.scan_pieces("trades", where).select(*schema)
        with disk_errors("read", root / "tape"):
            copied = rows.sort("timestamp", "sequence_number", maintain_order=True).collect()
        judged = judge_tape(copied, "trades")
        if judged.fault is not None:
            return None
        inside = pl.col("timestamp").is_between(span.start, span.end, closed="left")
        before = read_rejected(self.tape.lake, paths, schema).filter(inside)
        rejected = pl.concat([judged.rejected, before]).unique(maintain_order=True).sort("timestamp")
        known = where["fetched_at"].drop_nulls()
        certificate = {
            "received": judged.rows.height + rejected.height,
            "taken_from": [path.relative_to(root).as_posix() for path in paths],
            "request_ids": where["request_ids"].explode().drop_nulls().unique(maintain_order=True).to_list(),
            # as old as the oldest of the files
            "fetched_at": min(known.to_list()).isoformat(timespec="microseconds") if known.len() else None,
            "adopted_from": where["adopted_from"].explode().drop_nulls().unique().sort().to_list(),
        }
        return self._publish(span, judged.rows, _NOTHING | certificate, rejected)

    def publish_imported(
        self,
        span: Span,
        judged: JudgedTape,
        sources: Sequence[str],
        trades: pl.DataFrame | None,
        repeats: int = 0,
    ) -> SpanResult:
        """Publish rows imported from a user's files; when they were fetched, and at what cost, is unknown.

        Args:
            span: the span that they cover.
            judged: tape without a fault, with the profile's columns; quotes of at least the profile's resolution.
            sources: the files.
            trades: see `publish_download`.
            repeats: how many rows of the files were removed because they repeat another exactly.
        """
        received = judged.rows.height + judged.rejected.height
        certificate = {"received": received, "repeats": repeats, "request_ids": []}
        certificate |= {"fetched_at": None, "adopted_from": sources}
        return self._publish_thinned(span, judged, _NOTHING | certificate, trades)

    def record_failure(self, span: Span, state: str, error: MarketDataError | UnexpectedError) -> SpanResult:
        """Record why a span could not be fetched."""
        spent = {"requests": error.requests, "retries": error.retries, "throttled": error.throttled}
        with self._naming_a_lost_lake():
            place = self.tape.lake.quarantine_path(self._folder)
            self.tape.record_failure(self.kind, span, state, str(error), spent, below=place)
        unit, windows = f"{span.symbol} {span.wave} {span.name}", len(span.events_merged)
        problem = Problem.of(unit, error, symbol=span.symbol, windows=windows)
        return SpanResult(
            span, requests=error.requests, retries=error.retries, throttled=error.throttled, problem=problem
        )

    @contextmanager
    def _naming_a_lost_lake(self) -> Iterator[None]:
        """Say so where a file could not be published because the lake vanished during the capture."""
        try:
            yield
        except LakeError as error:
            if self._folder.is_dir():
                raise
            raise LakeError(
                f"{self.tape.lake.root}: the lake is gone. If its disk was removed, mount it again, then run again.",
                self.tape.lake.root,
            ) from error

    def _publish(
        self, span: Span, rows: pl.DataFrame, certificate: dict[str, Any], rejected: pl.DataFrame | None = None
    ) -> SpanResult:
        origin = {
            "kind": self.kind,
            "profile": self.tape.profile,
            "package_version": _package_version(),
            "config_hash": self.config_hash,
            "fetched_at": self.clock().isoformat(timespec="microseconds"),
        }
        before = count_opening_book(rows, span.start)
        with self._naming_a_lost_lake():
            path = self.tape.publish(self.kind, span, rows, origin | certificate, rejected, below=self._folder)
            with disk_errors("read", path):
                size = path.stat().st_size
        return SpanResult(span, rows.height - before, size, rejected=0 if rejected is None else rejected.height)

    def _publish_thinned(
        self, span: Span, judged: JudgedTape, certificate: dict[str, Any], trades: pl.DataFrame | None
    ) -> SpanResult:
        """Publish rows as the profile keeps them: thinned, within the size budget."""
        rows = judged.rows
        if self.kind == "quotes":
            rows = thin_frame(rows, self.tape.params.quotes)
        if trades is not None and self.tape.budget is not None:
            rows, budget = self._within_budget(span, rows, trades, self.tape.budget)
            certificate |= budget
        return self._publish(span, rows, certificate, judged.rejected)

    def _within_budget(
        self, span: Span, quotes: pl.DataFrame, trades: pl.DataFrame, budget: SizeBudget
    ) -> tuple[pl.DataFrame, dict[str, Any]]:
        """Quotes of a span, thinned after events whose tape would be too large, and the footer entries about it."""
        size = int(quotes.estimated_size())
        at_most = int(trades.filter(pl.col("symbol") == span.symbol)["bytes"].sum()) if trades.height else 0
        if size + at_most <= budget.event_mb * BYTES_PER_MB:  # nearly always: no event can be over
            return quotes, {"budget_mb": budget.event_mb, "budget_events": [], "budget_hz": [], "over_budget": []}
        windows = self.windows.filter(pl.col("event_id").is_in(span.events_merged))
        fitted = fit_budget(
            quotes,
            windows,
            measure=_parquet_bytes,
            other_bytes=self._trades_bytes(windows, trades),
            budget=budget,
            thinning=self.tape.params.quotes,
        )
        return fitted.frame, {
            "budget_mb": budget.event_mb,
            "budget_events": list(fitted.steps),
            "budget_hz": list(fitted.steps.values()),
            "budget_from": "known_at",
            "over_budget": fitted.over,
        }

    def _trades_bytes(self, windows: pl.DataFrame, trades: pl.DataFrame) -> dict[str, int]:
        """The bytes of the published trades of each event."""
        where = cut_pieces(windows.select(*WINDOWS), trades)
        shares = (
            self.tape.count_pieces("trades", where)
            .join(where.select("path", "bytes", total="rows").unique("path"), on="path")
            .group_by("event_id")
            .agg((pl.col("bytes") * pl.col("rows") / pl.col("total").clip(1)).sum().cast(pl.Int64))
        )
        return dict(shares.iter_rows())


def span_windows(spans: Sequence[Span]) -> pl.DataFrame:
    """Spans as windows (WINDOWS), identified by symbol, wave and name."""
    rows = [(f"{span.symbol} {span.wave} {span.name}", span.symbol, span.wave, span.start, span.end) for span in spans]
    return pl.DataFrame(rows, schema=WINDOWS, orient="row")


def spans_within(spans: Sequence[Span], published: pl.DataFrame) -> set[Span]:
    """The spans that are fully inside published ones (PUBLISHED)."""
    if published.is_empty():
        return set()
    windows = span_windows(spans)
    outside = set(uncovered_windows(windows, published)["event_id"])
    return {span for span, name in zip(spans, windows["event_id"], strict=True) if name not in outside}


@lru_cache(maxsize=1)
def _package_version() -> str:
    return version("smallcaps-assets")


def _parquet_bytes(frame: pl.DataFrame) -> int:
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True)
    return buffer.tell()


def _impossible_tape(kind: TapeKind, fetched: Download, fault: TapeFault) -> BadPage:
    """The error about a download that is wrong as a whole, with the requests that it took."""
    error = BadPage(
        f"the vendor's {kind} are impossible: {fault.sentence}. Nothing of it was kept; the next run asks again."
    )
    error.requests, error.retries, error.throttled = fetched.requests, fetched.retries, fetched.throttled
    return error.with_facts(f"impossible {kind}: {fault.what}")
