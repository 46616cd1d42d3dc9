"""Capture tape windows: plan the missing spans, fetch them with a few threads, publish each as it arrives."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from threading import Event, Lock
from typing import TypeVar

import polars as pl

from smallcaps_assets.domain.research.controls.tables import are_controls, is_control_id
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.schemas import TapeKind, describe_stale
from smallcaps_assets.domain.tape.tables import WINDOWS
from smallcaps_assets.domain.tape.windows import event_windows, with_known_at
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import LakeError, MarketDataError, NotAuthenticated, NotEntitled, UnexpectedError
from smallcaps_assets.lake.tape.bar_minutes import events_with_volume
from smallcaps_assets.lake.tape.files import Span, spans_of
from smallcaps_assets.lake.tape.store import TapeBacklog, TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.concurrency import ConcurrencyTarget, in_threads
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.progress import Progress
from smallcaps_assets.pipeline.tape.download import download_tape
from smallcaps_assets.pipeline.tape.request_budget import Allowance
from smallcaps_assets.pipeline.tape.spans import SpanPublisher, SpanResult, current_time, spans_within
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors

Pair = tuple[str, str]
_Result = TypeVar("_Result", SpanResult, SpanResult | None)


@dataclass(frozen=True)
class Capture:
    """Capture of one kind of tape for one profile.

    Attributes:
        kind: trades or quotes.
        tape: where spans are published.
        client: client of the vendor.
        threads: most requests in flight at once; fewer are used if the rate limit needs fewer.
        config_hash: hash of the settings behind the manifest, for the certificates.
        log: receives progress lines.
        clock: returns the time, for the certificates.
        tick: called at least once a second while spans are fetched.
    """

    kind: TapeKind
    tape: TapeStore
    client: MarketDataClient
    threads: int
    config_hash: str
    log: Callable[[str], None]
    clock: Callable[[], datetime] = current_time
    tick: Callable[[], None] = lambda: None

    def run(
        self,
        manifest: pl.DataFrame,
        pairs: Sequence[Pair],
        left_out: int = 0,
        allowance: Allowance | None = None,
        backlog: TapeBacklog | None = None,
    ) -> Iterator[Outcome]:
        """Publish every missing window of `manifest` in `pairs` of (symbol, wave); yields an outcome per finished pair.

        Waves are fetched in order. Published windows cost no request. A span that fails is recorded in the quarantine
        with its cause and does not stop the others, even where the error is one that nobody foresaw. Data not included
        in the vendor plan is requested only once: the newest span comes first, and if a span is denied, all older ones
        are denied without a request.

        Args:
            manifest: the events and controls (CAPTURED).
            pairs: the partitions.
            left_out: how many events a trial excludes from `manifest`; repeated in every outcome.
            allowance: the requests that may be spent; spans beyond it stay missing and are counted in the outcomes of
                their partitions, which come last.
            backlog: what is missing of exactly these events, if it was planned before; otherwise it is planned here,
                without stale windows.

        Raises:
            NotAuthenticated: the key is unknown; one request was spent.
            LakeError: the disk refuses or the lake is gone; published files stay.
            UnexpectedError: many spans in a row met errors that nobody foresaw.
        """
        asked = pl.DataFrame(pairs, schema={"symbol": pl.String, "wave": pl.String}, orient="row")
        chosen = manifest.join(asked, left_on=["symbol", "session"], right_on=["symbol", "wave"], how="semi")
        windows = with_known_at(event_windows(chosen), chosen["timestamp"])
        if backlog is None:
            backlog = self.tape.backlog(self.kind, windows.select(*WINDOWS))
        spans, retried = spans_of(backlog.spans), set(spans_of(backlog.retried))
        missing = sum(len(span.events_merged) for span in spans if span not in retried)
        stale = describe_stale(backlog.stale["missing_columns"])
        self.log(
            f"{self.kind}: {count_noun(windows.height, 'window')} in {count_noun(len(pairs), 'partition')}, "
            f"{windows.height - missing:,} published, {missing:,} to fetch in "
            f"{count_noun(len(spans) - len(retried), 'span')}"
            + (f"; stale: {stale}; the run config `upgrade: true` fetches them again" if stale else "")
            + (f"; asking again for {count_noun(len(retried), 'empty span')}" if retried else "")
        )
        of_controls = windows.filter(is_control_id(pl.col("event_id")))
        counts, stale_counts, control_counts = (
            _count_pairs(pairs, events) for events in (windows, backlog.stale, of_controls)
        )
        listed = set(windows["symbol"])

        def figures(pair: Pair, results: Sequence[SpanResult], spans_left: int = 0) -> Outcome:
            extra = {
                "trial_leaves_out": left_out,
                "control_windows": control_counts[pair],
                "stale_windows": stale_counts[pair],
                "contradicted_windows": self._count_contradicted(pair, windows, results),
            }
            return _outcome(pair, counts[pair], results, extra, spans_left=spans_left)

        left: dict[Pair, int] = defaultdict(int)
        for span in spans:
            left[span.symbol, span.wave] += 1
        for pair in pairs:
            if pair not in left:
                known = backlog.published if pair[0] in listed else None
                yield self._outcome(figures(pair, []), known)
        results: dict[Pair, list[SpanResult]] = defaultdict(list)
        contradicted = 0
        work = _Work(self, windows, spans, backlog, allowance or Allowance(None))
        for result in work.results():
            pair = (result.span.symbol, result.span.wave)
            results[pair].append(result)
            left[pair] -= 1
            if not left[pair]:
                outcome = figures(pair, results.pop(pair))
                contradicted += int(outcome.figures.get("contradicted_windows", 0))
                yield self._outcome(outcome)
        for pair in (pair for pair in pairs if left.get(pair)):
            outcome = figures(pair, results[pair], spans_left=left[pair])
            contradicted += int(outcome.figures.get("contradicted_windows", 0))
            yield self._outcome(outcome)
        if contradicted:
            self.log(
                f"{self.kind}: {count_noun(contradicted, 'window')} came back empty although bars of the same "
                "minutes have volume; the run config `retry_empty: true` asks for such windows again"
            )

    def _count_contradicted(self, pair: Pair, windows: pl.DataFrame, results: Sequence[SpanResult]) -> int:
        """How many windows of the spans that came back empty have volume according to the bars of the lake."""
        empty = [event for result in results if result.came_back_empty for event in result.span.events_merged]
        if not empty:
            return 0
        try:
            return len(events_with_volume(self.tape.lake, windows.filter(pl.col("event_id").is_in(empty))))
        except LakeError as error:  # the tape is complete all the same
            self.log(f"{self.kind} of {' '.join(pair)}: empty windows could not be compared with the bars. {error}")
            return 0

    def _outcome(self, outcome: Outcome, published: pl.DataFrame | None = None) -> Outcome:
        """`outcome` with the rows and the version of its partition; `published` as `partition_version` takes it."""
        symbol, wave = outcome.partition
        rows, version = self.tape.partition_version(self.kind, symbol, wave, published)
        return replace(outcome, rows=rows, version=version)


class _Work:
    """The spans of one run, and the state shared by its threads."""

    def __init__(
        self,
        capture: Capture,
        windows: pl.DataFrame,
        spans: Sequence[Span],
        backlog: TapeBacklog,
        allowance: Allowance,
    ) -> None:
        self.kind, self.tape, self.spans = capture.kind, capture.tape, spans
        self.publisher = SpanPublisher(capture.kind, capture.tape, windows, capture.config_hash, capture.clock)
        self.allowance = allowance
        self.stop = Event()
        self.client = capture.client.until(self.stop)
        self.threads = capture.threads
        self.width = ConcurrencyTarget(self.client.requests_per_minute, capture.threads)
        missing = sum(len(span.events_merged) for span in self.spans)
        self.progress = Progress(missing, f"{self.kind} windows", capture.log, self.client)
        self.denial: NotEntitled | None = None
        self.denied_to: datetime | None = None
        self.lock = Lock()
        symbols = sorted({span.symbol for span in self.spans})
        self.trades = self.tape.published("trades", symbols) if self.kind == "quotes" else None
        self.in_other_profiles = backlog.in_other_profiles
        self.retried = {span: self.tape.fetched_at(self.kind, span) for span in spans_of(backlog.retried)}
        self.tick = capture.tick
        self.unexpected = UnexpectedErrors(self.tape.lake, f"{self.tape.profile} {self.kind}", self.client.clean)

    def results(self) -> Iterator[SpanResult]:
        """Yield the result of each span as soon as it is known."""
        spans = [span for span in self.spans if span not in self.retried]
        skipped, copied = self._without_trades(spans), spans_within(spans, self.in_other_profiles)
        for span in skipped:
            yield self._count(self._attempt(self.publisher.publish_skipped, span))
        done = set(skipped)
        for span in copied:
            copy = self._attempt(self._copy, span)
            if copy is not None:
                done.add(span)
                yield self._count(copy)
        spans = _in_order([span for span in self.spans if span not in done])
        # the first one alone: its answer shows whether the key and the plan allow any of them
        for some in (spans[:1], spans[1:]):
            for result in in_threads(
                partial(self._attempt, self._fetch),
                self.allowance.admit(some),
                self.threads,
                width=self.width,
                tick=self._tick,
                stop=self.stop,
            ):
                self.allowance.settle(result.requests)
                yield self._count(result)

    def _tick(self) -> None:
        self.progress.tick()
        self.tick()

    def _count(self, result: SpanResult) -> SpanResult:
        events = len(result.span.events_merged)
        failed = events if result.problem else 0
        self.progress.add(events, failed=failed, size=result.bytes, retries=result.retries, throttled=result.throttled)
        return result

    def _without_trades(self, spans: Sequence[Span]) -> set[Span]:
        """Those of `spans` outside regular hours with published, empty trades: their quotes are not requested."""
        if self.trades is None or self.tape.quotes_without_trades:
            return set()
        return spans_within([span for span in spans if span.wave != "RTH"], self.trades.filter(pl.col("rows") == 0))

    def _attempt(self, work: Callable[[Span], _Result], span: Span) -> _Result | SpanResult:
        """The result of work on a span; an error that nobody foresaw is recorded as its failure."""
        found = self.unexpected.attempt(f"{span.symbol} {span.wave} {span.name}", partial(work, span))
        return self.publisher.record_failure(span, "failed", found) if isinstance(found, UnexpectedError) else found

    def _copy(self, span: Span) -> SpanResult | None:
        return self.publisher.publish_copy(span, self.in_other_profiles)

    def _fetch(self, span: Span) -> SpanResult:
        if denial := self._denied(span):
            return self.publisher.record_failure(span, "denied", denial)
        if self._is_done(span):  # by another run meanwhile
            return SpanResult(span)
        began = time.monotonic()
        try:
            fetched = download_tape(self.client, self.kind, span, self.tape.schema(self.kind))
        except NotAuthenticated:
            raise
        except NotEntitled as error:
            self._deny(span, error)
            return self.publisher.record_failure(span, "denied", error)
        except MarketDataError as error:
            return self.publisher.record_failure(span, "failed", error)
        result = self.publisher.publish_download(span, fetched, self._trades_of(span))
        self.width.record(fetched.requests, time.monotonic() - began - fetched.waited_s)
        return result

    def _is_done(self, span: Span) -> bool:
        if span in self.retried:
            return self.tape.fetched_at(self.kind, span) != self.retried[span]
        return self.tape.is_published(self.kind, span)

    def _trades_of(self, span: Span) -> pl.DataFrame | None:
        """The published trades of the symbol of a quotes span; listed again if the span had none at the start."""
        if self.trades is None:
            return None
        known = self.trades.filter(pl.col("symbol") == span.symbol)
        covered = known.select((pl.col("start") <= span.start) & (span.end <= pl.col("end"))).to_series().any()
        return known if covered else self.tape.published("trades", [span.symbol])

    def _denied(self, span: Span) -> NotEntitled | None:
        """The denial of an equally old or newer span, which applies to this one: plans limit how far back data goes."""
        with self.lock:
            known = self.denial is not None and self.denied_to is not None and span.start <= self.denied_to
            if not known or self.denial is None:
                return None
            return NotEntitled(*self.denial.args).with_facts(self.denial.cause, **self.denial.facts)

    def _deny(self, span: Span, error: NotEntitled) -> None:
        with self.lock:
            self.denial, self.denied_to = error, max(self.denied_to or span.start, span.start)


def _in_order(spans: Sequence[Span]) -> list[Span]:
    """The newest span first, then wave by wave, those of controls alone after those of events, symbol by symbol.

    Symbols and the spans of each come in random order: of two runs over the same spans, each finds published what the
    other fetched, instead of both fetching the same spans at the same time.
    """
    if not spans:
        return []
    chance = random.Random()  # noqa: S311 -- no secret
    place: Mapping[str, float] = defaultdict(chance.random)
    newest = max(spans, key=lambda span: span.start)
    others = sorted(
        spans,
        key=lambda span: (
            WAVES.index(span.wave), are_controls(span.events_merged), place[span.symbol], chance.random(),
        ),
    )  # fmt: skip
    return [newest, *(span for span in others if span is not newest)]


def _count_pairs(pairs: Sequence[Pair], windows: pl.DataFrame) -> dict[Pair, int]:
    """How many of `windows` belong to each of `pairs`."""
    counts = {(symbol, wave): count for symbol, wave, count in windows.group_by("symbol", "wave").len().iter_rows()}
    return {pair: counts.get(pair, 0) for pair in pairs}


def _outcome(
    pair: Pair, windows: int, results: Sequence[SpanResult], extra: Mapping[str, int], spans_left: int = 0
) -> Outcome:
    figures: dict[str, int | float] = {
        "windows": windows,
        "spans_fetched": sum(result.problem is None for result in results),
        "spans_failed": sum(result.problem is not None for result in results),
        "rows": sum(result.rows for result in results),
        "bytes": sum(result.bytes for result in results),
        "requests": sum(result.requests for result in results),
        "retries": sum(result.retries for result in results),
        "throttled": sum(result.throttled for result in results),
    }
    found = {
        "repeats_removed": sum(result.repeats for result in results),
        "rows_rejected": sum(result.rejected for result in results),
    }
    figures |= {name: count for name, count in {**found, **extra}.items() if count}
    if spans_left:
        figures["spans_left"] = spans_left
    return Outcome(
        pair, figures, tuple(result.problem for result in results if result.problem is not None), left=spans_left
    )
