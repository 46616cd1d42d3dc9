"""Minute bars from the vendor: fetch missing sessions, check the bars, publish them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from itertools import groupby
from threading import Event
from typing import Final

from smallcaps_assets.domain.bars.quality import clean_bars, reasons
from smallcaps_assets.domain.bars.unknown import OPTIONAL
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import (
    BadPage,
    DiskFull,
    LakeError,
    MarketDataError,
    NotAuthenticated,
    NotEntitled,
    SmallcapsError,
    Stopped,
    UnexpectedError,
    VendorUnavailable,
)
from smallcaps_assets.lake.bar_files.month_files import combine_fingerprints, count_bars
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.unlisted_sessions import UnlistedSessions
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.narrowing import MOST_FURTHER, Served, narrow
from smallcaps_assets.market_data.pages import BarsDownload
from smallcaps_assets.pipeline.bars.denials import Denials
from smallcaps_assets.pipeline.bars.flat_months import FlatFigures
from smallcaps_assets.pipeline.bars.flat_road import NO_FLAT_FILES, FlatRoad
from smallcaps_assets.pipeline.bars.judging import judge_sessions, name_days
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.problems import Problem
from smallcaps_assets.pipeline.progress import Progress
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors

# sessions of one month
_MANY: Final = 4
_FIGURES: Final = (
    *("sessions_due", "sessions_fetched", "rows", "rows_quarantined", "rows_repeated", "rows_on_other_days"),
    *(f"{name}_unknown" for name in OPTIONAL),
    *("requests", "retries", "throttled"),
)


def ingest_bars(  # noqa: PLR0913 -- what to fetch, from where, to where
    symbols: Sequence[str],
    due: Sequence[date],
    client: MarketDataClient,
    store: BarsStore,
    threads: int,
    *,
    followed: Mapping[str, date] | None = None,
    unlisted: UnlistedSessions | None = None,
    refetch_damaged: bool = False,
    flat: FlatRoad | None = None,
    log: Callable[[str], None] = lambda line: None,  # noqa: ARG005
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Outcome]:
    """Fetch the missing sessions of `due` for each of `symbols`; yields one outcome per symbol, in order of completion.

    `followed` maps symbols to their last followed day: later sessions are not fetched, and none for other symbols. Nor
    are those of `unlisted`, on which a symbol is known to be listed under no security; they are counted. Those that a
    flat file has cost no request: they are taken from it, in case the vendor's lists lack a listing. A symbol that
    the vendor fails to serve, or whose files cannot be read, is reported with its cause and does not stop the others;
    nor does one that meets an error that nobody foresaw. A bad answer is asked for again in parts: sessions whose own
    answer is bad, or has bars of another length than a minute, are reported and stay missing. With `refetch_damaged`,
    month files that cannot be used are set aside first, so that their sessions are missing. Sessions that have a flat
    file come from it, see FlatRoad. `log` receives lines of progress and of what was rejected; `tick` is called at
    least once a second.

    Raises:
        NotAuthenticated: the key is missing or unknown.
        NotEntitled: the plan does not include minute bars.
        UnexpectedError: many symbols in a row met errors that nobody foresaw.
    """
    stop = Event()
    stoppable = client.until(stop)

    plan = Denials()
    of_months = UnexpectedErrors(store.lake, "minute_bars", client.clean)
    # apart: a symbol without anything to fetch does not show that months can be fetched
    of_symbols = UnexpectedErrors(store.lake, "minute_bars of symbol", client.clean)

    def due_of(symbol: str) -> list[date]:
        last = date.max if followed is None else followed.get(symbol, date.min)
        return [day for day in due if day <= last]

    in_files = frozenset() if flat is None or flat.months is None else frozenset(flat.months.files)

    def left_out_of(symbol: str) -> set[date]:
        return set(() if unlisted is None else unlisted.get(symbol, ())) - in_files

    def ingest(symbol: str) -> Outcome:
        work = _Ingest(symbol, stoppable, store, plan, log, of_months, NO_FLAT_FILES if flat is None else flat)
        every, left_out = due_of(symbol), left_out_of(symbol)
        days = [day for day in every if day not in left_out]
        work.leave_out(len(every) - len(days))
        fetch = partial(work.run, days, refetch_damaged=refetch_damaged)
        found = of_symbols.attempt(symbol, fetch)
        return work.failed(found) if isinstance(found, UnexpectedError) else found

    progress = Progress(len(symbols), "symbols with bars", log, client)

    def every_second() -> None:
        progress.tick()
        tick()

    batches: Iterable[Mapping[str, FlatFigures]] = [{symbol: FlatFigures() for symbol in symbols}]
    if flat is not None and flat.months is not None:
        batches = flat.months.run(symbols, due_of, every_second, refetch_damaged=refetch_damaged)
    for batch in batches:
        for outcome in in_threads(ingest, list(batch), threads, tick=every_second, stop=stop):
            retries, throttled = int(outcome.figures["retries"]), int(outcome.figures["throttled"])
            found = batch[outcome.partition[0]].added_to(outcome)
            progress.add(failed=bool(found.problems), retries=retries, throttled=throttled)
            yield found


class _Ingest:
    """The fetching of one symbol."""

    def __init__(  # noqa: PLR0913, PLR0917 -- what all symbols share
        self,
        symbol: str,
        client: MarketDataClient,
        store: BarsStore,
        plan: Denials,
        log: Callable[[str], None],
        unexpected: UnexpectedErrors,
        flat: FlatRoad,
    ) -> None:
        self._unexpected, self._flat = unexpected, flat
        self._symbol, self._client, self._store, self._plan, self._log = symbol, client, store, plan, log
        self._figures = Counter[str](dict.fromkeys(_FIGURES, 0))
        self._problems: list[str] = []
        # further requests for the parts of a bad answer; none once no part of many sessions was served
        self._further = MOST_FURTHER

    def run(self, due: Sequence[date], *, refetch_damaged: bool) -> Outcome:
        """Fetch and publish the missing sessions of `due`."""
        self._figures["sessions_due"] = len(due)
        try:
            if refetch_damaged:
                self._set_aside_damaged()
            published = self._store.renew(self._symbol)
        except LakeError as error:
            return Outcome(
                (self._symbol,), dict(self._figures), (Problem.of(self._symbol, error, symbol=self._symbol),)
            )
        missing, bars = sorted(set(due) - published.keys()), sum(map(count_bars, published.values()))
        if self._flat.covers:
            missing = self._without_flat(missing)
        # newest first: a plan with limited history denies older months
        for month, days in groupby(reversed(missing), key=lambda day: day.replace(day=1)):
            try:
                self._attempt_month(month, sorted(days))
            except NotEntitled as error:
                self._plan.denied(error)
                self._fail(f"{month:%Y-%m} and before", error, " Or set a later history.first_session.")
                break
            except (NotAuthenticated, DiskFull, Stopped):
                raise
            except (MarketDataError, LakeError) as error:
                self._fail(f"{month:%Y-%m}", error)
                if isinstance(error, VendorUnavailable):
                    break
        is_changed = self._figures["sessions_fetched"] > 0
        version = self._store.version(self._symbol) if is_changed else combine_fingerprints(published)
        rows = bars + self._figures["rows"]
        return Outcome((self._symbol,), dict(self._figures), tuple(self._problems), rows=rows, version=version)

    def leave_out(self, sessions: int) -> None:
        """Count sessions that are not asked for, since the symbol was listed under no security."""
        if sessions:
            self._figures["sessions_not_listed"] = sessions

    def failed(self, error: UnexpectedError) -> Outcome:
        """The outcome if `run` ended with an error."""
        problem = Problem.of(self._symbol, error, symbol=self._symbol)
        return Outcome((self._symbol,), dict(self._figures), (*self._problems, problem))

    def _fail(self, when: str, error: SmallcapsError, advice: str = "") -> None:
        unit = f"{self._symbol}, {when}"
        self._problems.append(Problem.of(unit, error, symbol=self._symbol, advice=advice))

    def _without_flat(self, missing: list[date]) -> list[date]:
        """Missing sessions that have no flat file; those whose file is not in the lake are reported."""
        if waiting := self._flat.waiting.intersection(missing):
            error = self._flat.waiting_error(waiting)
            self._problems.append(Problem.of(self._symbol, error, symbol=self._symbol))
        return [day for day in missing if day not in self._flat.covers]

    def _attempt_month(self, month: date, sessions: list[date]) -> None:
        """Fetch and publish sessions of one month; an error that nobody foresaw is reported."""
        work = partial(self._fetch_month, month, sessions)
        found = self._unexpected.attempt(f"{self._symbol} {month:%Y-%m}", work)
        if isinstance(found, UnexpectedError):
            self._figures.update(requests=found.requests, retries=found.retries, throttled=found.throttled)
            self._fail(f"{month:%Y-%m}", found)

    def _set_aside_damaged(self) -> None:
        """Set month files aside that cannot be used."""
        for name, reason in self._store.set_aside_damaged(self._symbol).items():
            self._log(f"{self._symbol}, {name}: set aside in the quarantine, and fetched again: {reason}")
            self._figures["files_set_aside"] += 1

    def _fetch_month(self, month: date, sessions: list[date]) -> None:
        """Fetch and publish sessions of one month; what cannot be served is reported."""
        self._store.prove(self._symbol, month)  # before a request is spent
        is_served = False

        def fetch(some: list[date]) -> BarsDownload:
            try:
                return self._client.minute_bars(self._symbol, some[0], some[-1])
            except MarketDataError as error:
                self._figures.update(requests=error.requests, retries=error.retries, throttled=error.throttled)
                raise

        for part in narrow(sessions, fetch, self._further):
            if isinstance(part, Served):
                self._plan.served()
                self._publish(month, part.parts, part.answer)
                is_served = True
            else:
                self._fail(f"{month:%Y-%m}" if part.parts == sessions else name_days(part.parts), part.error)
        if not is_served and len(sessions) >= _MANY:
            self._further = 0

    def _publish(self, month: date, sessions: list[date], fetched: BarsDownload) -> None:
        found = judge_sessions(clean_bars(fetched.frame), fetched.conflicting, sessions)
        for day, fault in found.faults.items():
            bad = BadPage(f"the vendor answered with {fault}. Nothing of this session was kept.")
            self._fail(f"{day}", bad.with_facts(f"the vendor answered with {fault}"))
        if found.stored:
            self._store.add(self._symbol, month, found.stored, found.bars, found.rejected)
        if found.aside.height or fetched.repeats:
            causes = "".join(f"; {count:,} rejected: {reason}" for reason, count in reasons(found.aside).items())
            self._log(
                f"{self._symbol}, {name_days(sessions)}: "
                f"{count_clause(fetched.repeats, 'row repeats', 'rows repeat')} another exactly{causes}"
            )
        self._figures.update(
            sessions_fetched=len(found.stored),
            rows_repeated=fetched.repeats,
            requests=fetched.requests,
            retries=fetched.retries,
            throttled=fetched.throttled,
        )
        self._figures.update(found.figures)
