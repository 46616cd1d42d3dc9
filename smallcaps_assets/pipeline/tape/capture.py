"""Tape windows: plan the spans that are missing, fetch them with a few threads, publish each as it comes."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event, Lock

import polars as pl

from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.errors import MarketDataError, NotAuthenticated, NotEntitled
from smallcaps_assets.lake.tape import Kind, Span, TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.concurrency import ConcurrencyTarget, in_threads
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.progress import Progress
from smallcaps_assets.pipeline.tape.request_budget import Allowance
from smallcaps_assets.pipeline.tape.spans import Artefacts, SpanResult, utc_now, within

Pair = tuple[str, str]


@dataclass(frozen=True)
class Capture:
    """Everything that fetching one kind of tape for one profile takes.

    Attributes:
        kind: trades or quotes.
        tape: where it goes.
        client: the road to the vendor.
        threads: requests that may be under way at once; fewer where the client's budget needs fewer.
        config_hash: what decided the manifest, for the certificates.
        log: takes lines about progress.
        clock: the time, for the certificates.
    """

    kind: Kind
    tape: TapeStore
    client: MarketDataClient
    threads: int
    config_hash: str
    log: Callable[[str], None]
    clock: Callable[[], datetime] = utc_now

    def run(
        self,
        manifest: pl.DataFrame,
        pairs: Sequence[Pair],
        left_out: int = 0,
        allowance: Allowance | None = None,
    ) -> Iterator[Outcome]:
        """Publish every window of `manifest` that belongs to `pairs` of (symbol, wave); outcomes as pairs are done.

        Waves run in order. What is published asks nothing. A span that fails is kept in the quarantine with its
        cause and does not stop the others. Data that the plan does not include is asked for once: the newest span
        goes first, and where one is denied, so is every older one.

        Args:
            manifest: the events (MANIFEST).
            pairs: the partitions.
            left_out: how many events a trial leaves out of `manifest`; every outcome repeats it.
            allowance: the requests that may be spent; spans that it does not admit stay missing, and the outcomes of
                their partitions, which come last, say how many.

        Raises:
            NotAuthenticated: the key is unknown; one request was spent.
            LakeError: the disk refuses; what is published stays.
        """
        self.tape.sweep(self.kind)
        asked = pl.DataFrame(pairs, schema={"symbol": pl.String, "wave": pl.String}, orient="row")
        chosen = manifest.join(asked, left_on=["symbol", "session"], right_on=["symbol", "wave"], how="semi")
        windows = event_windows(chosen).with_columns(timestamp=chosen["timestamp"])
        spans = self.tape.due(self.kind, windows)
        due = sum(len(span.events_merged) for span in spans)
        self.log(
            f"{self.kind}: {windows.height:,} windows in {len(pairs):,} partitions, {windows.height - due:,} of them "
            f"published, {due:,} due in {len(spans):,} spans"
        )
        counts = dict.fromkeys(pairs, 0) | {
            (symbol, wave): events for symbol, wave, events in windows.group_by("symbol", "wave").len().iter_rows()
        }
        left: dict[Pair, int] = defaultdict(int)
        for span in spans:
            left[span.symbol, span.wave] += 1
        for pair in pairs:
            if pair not in left:
                yield self._outcome(pair, counts[pair], [], left_out)
        results: dict[Pair, list[SpanResult]] = defaultdict(list)
        for result in _Work(self, windows, spans, allowance or Allowance(None)).results():
            pair = (result.span.symbol, result.span.wave)
            results[pair].append(result)
            left[pair] -= 1
            if not left[pair]:
                yield self._outcome(pair, counts[pair], results.pop(pair), left_out)
        for pair in (pair for pair in pairs if left.get(pair)):
            yield self._outcome(pair, counts[pair], results[pair], left_out, spans_left=left[pair])

    def _outcome(
        self, pair: Pair, windows: int, results: Sequence[SpanResult], left_out: int, spans_left: int = 0
    ) -> Outcome:
        made = _outcome(pair, windows, results, left_out, spans_left=spans_left)
        rows, version = self.tape.held(self.kind, *pair)
        return replace(made, rows=rows, version=version)


class _Work:
    """The spans of one run, and what it learns on the way."""

    def __init__(self, capture: Capture, windows: pl.DataFrame, spans: Sequence[Span], allowance: Allowance) -> None:
        self.kind, self.tape, self.spans = capture.kind, capture.tape, spans
        self.artefacts = Artefacts(capture.kind, capture.tape, windows, capture.config_hash, capture.clock)
        self.allowance = allowance
        self.stop = Event()
        self.client = capture.client.until(self.stop)
        self.threads = capture.threads
        self.width = ConcurrencyTarget(self.client.requests_per_minute, capture.threads)
        due = sum(len(span.events_merged) for span in spans)
        self.progress = Progress(due, f"{self.kind} windows", capture.log, self.client)
        self.denial: NotEntitled | None = None
        self.denied_to: datetime | None = None
        self.lock = Lock()
        symbols = sorted({span.symbol for span in spans})
        self.trades = self.tape.published("trades", symbols) if self.kind == "quotes" else None
        self.elsewhere = self.tape.published_elsewhere(symbols) if self.kind == "trades" else None

    def results(self) -> Iterator[SpanResult]:
        """What became of each span, as it is known."""
        skipped, copied = self._without_trades(), self._held_elsewhere()
        for span in skipped:
            yield self._told(self.artefacts.skipped(span))
        if self.elsewhere is not None:
            for span in copied:
                yield self._told(self.artefacts.copied(span, self.elsewhere))
        done = skipped | copied
        spans = _in_order([span for span in self.spans if span not in done])
        # the first one alone: its answer tells whether key and plan allow any of this
        for some in (spans[:1], spans[1:]):
            for result in in_threads(
                self._fetch,
                self.allowance.admit(some),
                self.threads,
                width=self.width,
                tick=self.progress.tick,
                stop=self.stop,
            ):
                self.allowance.settle(result.requests)
                yield self._told(result)

    def _told(self, result: SpanResult) -> SpanResult:
        events = len(result.span.events_merged)
        self.progress.add(events, failed=events if result.problem else 0, size=result.bytes)
        return result

    def _without_trades(self) -> set[Span]:
        """Spans outside regular hours whose trades are published and empty: their quotes are not asked for."""
        if self.trades is None or self.tape.quotes_without_trades:
            return set()
        return within([span for span in self.spans if span.wave != "RTH"], self.trades.filter(pl.col("rows") == 0))

    def _held_elsewhere(self) -> set[Span]:
        """Spans whose trades other profiles hold."""
        return set() if self.elsewhere is None else within(self.spans, self.elsewhere)

    def _fetch(self, span: Span) -> SpanResult:
        if denial := self._denied(span):
            return self.artefacts.refused(span, "denied", denial)
        if self.tape.holds(self.kind, span):  # another run was faster
            return SpanResult(span)
        began = time.monotonic()
        try:
            download = self.client.trades if self.kind == "trades" else self.client.quotes
            fetched = download(span.symbol, span.start, span.end, self.tape.schema(self.kind))
        except NotAuthenticated:
            raise
        except NotEntitled as error:
            self._deny(span, error)
            return self.artefacts.refused(span, "denied", error)
        except MarketDataError as error:
            return self.artefacts.refused(span, "failed", error)
        result = self.artefacts.fetched(span, fetched, self._trades_of(span))
        self.width.learn(fetched.requests, time.monotonic() - began - fetched.waited_s)
        return result

    def _trades_of(self, span: Span) -> pl.DataFrame | None:
        """The published trades of a quotes span, looked for again where they were not there at the start."""
        if self.trades is None:
            return None
        own = self.trades.filter(pl.col("symbol") == span.symbol)
        there = own.select((pl.col("start") <= span.start) & (span.end <= pl.col("end"))).to_series().any()
        return own if there else self.tape.published("trades", [span.symbol])

    def _denied(self, span: Span) -> NotEntitled | None:
        """The denial of a span that is no newer than one that was denied: plans reach back only so far."""
        with self.lock:
            known = self.denial is not None and self.denied_to is not None and span.start <= self.denied_to
            return NotEntitled(*self.denial.args) if known and self.denial else None

    def _deny(self, span: Span, error: NotEntitled) -> None:
        with self.lock:
            self.denial, self.denied_to = error, max(self.denied_to or span.start, span.start)


def _in_order(spans: Sequence[Span]) -> list[Span]:
    """The newest span first, the others wave by wave, one symbol after the other.

    Symbols, and the spans of each, come in an order that differs from run to run: of two runs over the same spans
    each finds published what the other did, instead of fetching the same at the same time all along.
    """
    if not spans:
        return []
    chance = random.Random()  # noqa: S311 -- nobody is to be kept from guessing it
    place: Mapping[str, float] = defaultdict(chance.random)
    newest = max(spans, key=lambda span: span.start)
    others = sorted(spans, key=lambda span: (WAVES.index(span.wave), place[span.symbol], chance.random()))
    return [newest, *(span for span in others if span is not newest)]


def _outcome(pair: Pair, windows: int, results: Sequence[SpanResult], left_out: int, spans_left: int = 0) -> Outcome:
    figures: dict[str, int | float] = {
        "windows": windows,
        "spans_fetched": sum(result.problem is None for result in results),
        "spans_failed": sum(result.problem is not None for result in results),
        "rows": sum(result.rows for result in results),
        "bytes": sum(result.bytes for result in results),
        "requests": sum(result.requests for result in results),
        "retries": sum(result.retries for result in results),
    }
    if left_out:
        figures["trial_leaves_out"] = left_out
    if spans_left:
        figures["spans_left"] = spans_left
    return Outcome(
        pair, figures, tuple(result.problem for result in results if result.problem is not None), left=spans_left
    )
