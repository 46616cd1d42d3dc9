"""Ask the vendor for lists of tickers and for single tickers, and store the answers as they come."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from threading import Event
from typing import Final

import polars as pl

from smallcaps_assets.domain.listings.inference import Question
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import MarketDataError, NotAuthenticated, NotEntitled
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.listings.costs import describe_lists, list_costs
from smallcaps_assets.pipeline.listings.ticker_lists import TickerList, ask_list, ask_ticker, observe
from smallcaps_assets.pipeline.progress import Progress

# answers published together: at most so many are asked for again after a kill
ANSWERS_TOGETHER: Final = 200
_FEW: Final = 5
_TENTH: Final = 10
# A list that lacks more tickers than these, which the lists before and after it have, is asked for once more.
MOST_LOST: Final = 20
MOST_LOST_SHARE: Final = 0.02
_MOST_LOGGED: Final = 20


def most_failed(requests: int) -> int:
    """How many of some requests may fail before the run gives up: a tenth of them, but five in any case."""
    return max(_FEW, requests // _TENTH)


@dataclass(frozen=True, kw_only=True)
class ListingRequests:
    """Requests for the listings of a lake.

    Attributes:
        store: where the answers go.
        client: client of the vendor.
        source: identity of the vendor, for the footers.
        threads: most requests in flight.
        log: receives messages.
        unclear: receives the tickers of lists of which nothing is known, with the session and the reason.
    """

    store: ListingStore
    client: MarketDataClient
    source: str
    threads: int
    log: Callable[[str], None]
    unclear: list[str] = field(default_factory=list)

    def lists(self, sessions: Sequence[date]) -> tuple[list[date], date | None]:
        """Ask for the missing lists, newest first, until the plan has none.

        Returns:
            The sessions of the new lists, and the newest one that the plan does not include.
        """
        costs = list_costs(self.store, sessions)
        if not costs.days:
            return [], None
        self.log(describe_lists(costs, self.client.requests_per_minute))
        newest_first = costs.days[::-1]
        asked: list[date] = []
        # the first one finds out whether the plan includes them
        for some in (newest_first[:1], *_chunks(newest_first[1:], self.threads)):
            denied = []
            for day, found in self._lists_of(some):
                if isinstance(found, NotEntitled):
                    denied.append(day)
                    self.log(f"the plan has no list of tickers of {day}: {found}")
                else:
                    self._store(day, found)
                    asked.append(day)
            if denied:
                return asked, max(denied)
        return asked, None

    def _lists_of(self, days: Sequence[date]) -> Iterator[tuple[date, TickerList | NotEntitled]]:
        """The lists of some sessions, as they come."""
        stop = Event()
        client = self.client.until(stop)

        def ask(day: date) -> tuple[date, TickerList | NotEntitled]:
            try:
                return day, ask_list(client, day)
            except NotEntitled as error:
                return day, error

        yield from in_threads(ask, days, self.threads, stop=stop)

    def _store(self, day: date, found: TickerList) -> None:
        self._note(day, found)
        self.store.add_snapshot(day, found.rows, {"source": self.source, "day": f"{day}"})

    def _note(self, day: date, found: TickerList) -> None:
        unclear = [f"{symbol} on {day}: {reason}" for symbol, reason in found.unclear.items()]
        self.unclear.extend(unclear)
        for line in unclear[:_MOST_LOGGED]:
            self.log(f"nothing is known of a ticker of the vendor's list: {line}")
        if len(unclear) > _MOST_LOGGED:
            self.log(f"nothing is known of {count_noun(len(unclear), 'ticker')} of the list of {day}")

    def short_lists_again(self, asked: Collection[date]) -> int:
        """Ask once more for new lists that lack many tickers of the lists beside them; returns how many these are."""
        days = self.store.snapshot_days()
        short = [day for day in sorted(asked) if self._is_short(day, days)]
        for day, found in self._lists_of(short):
            if isinstance(found, NotEntitled):
                continue
            more = found.rows.height - self.store.snapshot(day).height
            self.log(f"the list of tickers of {day} was short, and asked for again: {more:+,} tickers")
            if more > 0:
                self._store(day, found)
        return len(short)

    def _is_short(self, day: date, days: Sequence[date]) -> bool:
        """Whether a list lacks more tickers that the list before it has, and the one after it if there is one."""
        place = days.index(day)
        if place == 0:
            return False
        missing = self.store.snapshot(days[place - 1]).select("symbol")
        most = max(MOST_LOST, MOST_LOST_SHARE * missing.height)
        for other in days[place + 1 : place + 2]:
            missing = missing.join(self.store.snapshot(other), on="symbol", how="semi")
        return missing.join(self.store.snapshot(day), on="symbol", how="anti").height > most

    def observe_lists(self, days: Sequence[date], questions: Collection[Question], sessions: Sequence[date]) -> None:
        """Ask for whole lists, and keep of them what is asked on their day, of tickers of all types."""
        numbers = {day: number for number, day in enumerate(sessions)}
        progress = Progress(len(days), "lists of tickers", self.log, self.client)
        for day, found in self._lists_of(days):
            if isinstance(found, NotEntitled):
                raise found
            self._note(day, found)
            symbols = sorted({one.symbol for one in questions if one.after < numbers[day] < one.before})
            self.store.add_observations(observe(found.rows, symbols, day), self.source)
            progress.add()

    def observe_tickers(self, singles: Sequence[tuple[str, date]]) -> None:
        """Ask for single tickers; a few that the vendor fails to answer are asked for again in the next run."""
        stop = Event()
        client = self.client.until(stop)
        progress = Progress(len(singles), "answers on tickers", self.log, self.client)
        answers: list[pl.DataFrame] = []
        failed = 0
        try:
            for (symbol, day), answer in in_threads(partial(_answer, client), singles, self.threads, stop=stop):
                if isinstance(answer, MarketDataError):
                    failed += 1
                    if failed > most_failed(len(singles)):
                        raise answer
                    self.log(f"{symbol} on {day}: unknown, and asked for again next time: {answer}")
                else:
                    answers.append(answer)
                if len(answers) >= ANSWERS_TOGETHER:
                    self._add(answers)
                progress.add(failed=isinstance(answer, MarketDataError))
        finally:
            self._add(answers)

    def _add(self, answers: list[pl.DataFrame]) -> None:
        """Publish answers and clear the list."""
        if answers:
            self.store.add_observations(pl.concat(answers), self.source)
            answers.clear()


def _answer(
    client: MarketDataClient, asked: tuple[str, date]
) -> tuple[tuple[str, date], pl.DataFrame | MarketDataError]:
    """What the vendor says of a ticker on a session, or its error."""
    try:
        return asked, ask_ticker(client, *asked)
    except (NotAuthenticated, NotEntitled):
        raise
    except MarketDataError as error:
        return asked, error


def _chunks(days: Sequence[date], size: int) -> Iterator[Sequence[date]]:
    for start in range(0, len(days), size):
        yield days[start : start + size]
