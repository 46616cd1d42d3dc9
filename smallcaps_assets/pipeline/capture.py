"""Tape windows: plan the spans that are missing, fetch them with a few threads, publish each as it comes."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import polars as pl

from smallcaps_assets.domain.nbbo import thin
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.windows import event_windows
from smallcaps_assets.errors import MarketDataError, NotAuthenticated, NotEntitled
from smallcaps_assets.lake.tape import Kind, Span, TapeStore
from smallcaps_assets.market_data.client import Fetched, MarketDataClient
from smallcaps_assets.pipeline.outcome import Outcome, in_threads
from smallcaps_assets.pipeline.progress import with_progress

Pair = tuple[str, str]


@dataclass(frozen=True)
class SpanResult:
    """What became of one span."""

    span: Span
    rows: int = 0
    bytes: int = 0
    requests: int = 0
    retries: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class Capture:
    """Everything that fetching one kind of tape for one profile takes."""

    kind: Kind
    tape: TapeStore
    client: MarketDataClient
    threads: int
    config_hash: str
    log: Callable[[str], None]

    def run(self, manifest: pl.DataFrame, pairs: Sequence[Pair]) -> list[Outcome]:
        """Publish every window of `manifest` that belongs to `pairs` of (symbol, wave); one outcome per pair.

        Waves run in order. What is published asks nothing. A span that fails is kept in the quarantine with its
        cause and does not stop the others; once the plan turns out not to include this data, no more is asked.
        """
        asked = pl.DataFrame(pairs, schema={"symbol": pl.String, "wave": pl.String}, orient="row")
        windows = event_windows(manifest).join(asked, on=["symbol", "wave"], how="semi")
        spans = sorted(self.tape.due(self.kind, windows), key=_in_wave_order)
        self.log(f"{self.kind}: {windows.height:,} windows in {len(pairs):,} partitions, {len(spans):,} spans to fetch")
        results: dict[Pair, list[SpanResult]] = defaultdict(list)
        for result in with_progress(self._fetch_all(spans), len(spans), f"{self.kind} spans", self.log):
            results[result.span.symbol, result.span.wave].append(result)
        counts = {
            (symbol, wave): events for symbol, wave, events in windows.group_by("symbol", "wave").len().iter_rows()
        }
        return [_outcome(pair, counts.get(pair, 0), results.get(pair, [])) for pair in pairs]

    def _fetch_all(self, spans: Sequence[Span]) -> Iterator[SpanResult]:
        denials: list[NotEntitled] = []
        yield from in_threads(lambda span: self._fetch(span, denials), spans, self.threads)

    def _fetch(self, span: Span, denials: list[NotEntitled]) -> SpanResult:
        if denials:  # one answer speaks for the plan: no other request is spent on it
            return self._refused(span, "denied", NotEntitled(*denials[0].args))
        try:
            download = self.client.trades if self.kind == "trades" else self.client.quotes
            fetched = download(span.symbol, span.start, span.end)
        except NotAuthenticated:
            raise
        except NotEntitled as error:
            denials.append(error)
            return self._refused(span, "denied", error)
        except MarketDataError as error:
            return self._refused(span, "failed", error)
        return self._published(span, fetched)

    def _published(self, span: Span, fetched: Fetched) -> SpanResult:
        """Publish a download. Nothing in the file tells when it was fetched: the same tape is the same bytes."""
        rows = fetched.frame.lazy()
        if self.kind == "quotes":
            rows = thin(rows, self.tape.params.quotes)
        kept = rows.select(*self.tape.schema(self.kind)).collect()
        provenance = {
            "package_version": version("smallcaps-assets"),
            "config_hash": self.config_hash,
            "kind": self.kind,
            "events_merged": span.events_merged,
            "requests": fetched.requests,
            "retries": fetched.retries,
            "throttled": fetched.throttled,
            "pages": fetched.pages,
            "rows_received": fetched.frame.height,
        }
        path = self.tape.publish(self.kind, span, kept, provenance)
        return SpanResult(span, kept.height, path.stat().st_size, fetched.requests, fetched.retries)

    def _refused(self, span: Span, state: str, error: MarketDataError) -> SpanResult:
        spent = {"requests": error.requests, "retries": error.retries, "throttled": error.throttled}
        self.tape.refuse(self.kind, span, state, str(error), spent)
        problem = f"{span.symbol} {span.wave} {span.name}: {error}"
        return SpanResult(span, requests=error.requests, retries=error.retries, problem=problem)


def _in_wave_order(span: Span) -> tuple[int, str, datetime]:
    return WAVES.index(span.wave), span.symbol, span.start


def _outcome(pair: Pair, windows: int, results: Sequence[SpanResult]) -> Outcome:
    figures: dict[str, int | float] = {
        "windows": windows,
        "spans_fetched": sum(result.problem is None for result in results),
        "spans_failed": sum(result.problem is not None for result in results),
        "rows": sum(result.rows for result in results),
        "bytes": sum(result.bytes for result in results),
        "requests": sum(result.requests for result in results),
        "retries": sum(result.retries for result in results),
    }
    return Outcome(pair, figures, tuple(result.problem for result in results if result.problem is not None))
