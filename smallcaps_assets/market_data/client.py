"""The one road to the vendor: a question in, one complete and checked download out.

A download ends with an accepted page that has no `next_url`, or with an error; nothing in between is ever returned.
"""

import random
import threading
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final, Self, TypeVar
from urllib.parse import quote, unquote, urlencode
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.tables import QUOTES_ALL, TRADES_ALL, check_symbol
from smallcaps_assets.errors import BadPage, MarketDataError
from smallcaps_assets.market_data import wire
from smallcaps_assets.market_data.pacing import TokenBucket
from smallcaps_assets.market_data.transport import Tally, Totals, Transport

ROWS_PER_PAGE: Final = 50_000
TICKERS_PER_PAGE: Final = 1_000
FLOATS_PER_PAGE: Final = 5_000
SYMBOLS_PER_REQUEST: Final = 200
MAX_PAGES: Final = 1_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """One complete download: only a page without `next_url` ended it."""

    frame: pl.DataFrame
    requests: int  # attempts sent, retries included
    retries: int
    throttled: int  # answers with 429
    waited_s: float  # for the budget, and before retries
    pages: int
    request_ids: tuple[str, ...]  # the vendor's, one per page that has one


@dataclass(frozen=True, kw_only=True)
class _Question:
    path: str
    root: str  # the path that every later page must stay below
    query: Mapping[str, str]
    what: str


class MarketDataClient:
    """Bars, trades, quotes and reference data of one vendor; may be shared by threads."""

    def __init__(  # noqa: PLR0913 -- the seams that tests need are arguments
        self,
        base_url: str,
        api_key: str,
        *,
        bucket: TokenBucket,
        timeout_s: float = 30.0,
        deadline_s: float = 300.0,
        max_retries: int = 5,
        sleep: Callable[[float], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare to talk to the vendor; nothing is sent yet.

        Args:
            base_url: http or https, host, perhaps a port and a path prefix.
            api_key: sent as a header with every request, and to no other host.
            bucket: the request budget; every attempt takes one reservation of it.
            timeout_s: longest silence while connecting and between two pieces of an answer, positive.
            deadline_s: longest time from a request to the end of its answer, positive.
            max_retries: attempts after the first, 0 or more; those that end in a 429 do not count.
            sleep: waits so many seconds; by default in a way that `until` interrupts.
            jitter: a random number in [0, 1), the share of a backoff that is waited.

        Raises:
            NotAuthenticated: the key is empty.
            SettingsError: the key or the address cannot be used.
        """
        self._transport = Transport(
            base_url,
            api_key,
            bucket=bucket,
            timeout_s=timeout_s,
            deadline_s=deadline_s,
            max_retries=max_retries,
            sleep=sleep,
            jitter=jitter,
        )
        self._stop: threading.Event | None = None
        self.requests_per_minute = bucket.requests_per_minute

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, of all threads; nothing can be asked afterwards."""
        self._transport.close()

    def until(self, stop: threading.Event) -> Self:
        """This client, budget and connections, for work that ends with Stopped once `stop` is set."""
        client = copy(self)
        client._stop = stop  # noqa: SLF001 -- our own copy
        return client

    def totals(self) -> Totals:
        """Requests sent, retries and answers with 429 so far, over all threads and failed downloads."""
        return self._transport.totals()

    def minute_bars(self, symbol: str, first: date, last: date) -> Fetched:
        """Minute bars (BARS) of the New York days `first` to `last`, both included, as traded and as sent.

        Asks for one calendar month at a time. Bars are not judged: that is quality's business.

        Raises:
            InputError: `symbol` cannot be one.
            ValueError: `last` is before `first`.
            MarketDataError: the vendor did not give what was asked.
        """
        if last < first:
            raise ValueError(f"bars from {first} to {last}: the last day must not be before the first.")
        tally = Tally()
        query = {"adjusted": "false", "sort": "asc", "limit": str(ROWS_PER_PAGE)}
        root = f"/v2/aggs/ticker/{_quoted(symbol)}/range/1/minute"
        months: list[pl.DataFrame] = []
        for start, end in _months(first, last):
            window = _day_ms(start), _day_ms(end + timedelta(days=1))
            question = _Question(path=f"{root}/{start}/{end}", root=root, query=query, what="minute bars")
            pages = self._pages(question, partial(wire.bars_page, symbol=symbol, window=window), tally)
            months.append(pages[0] if len(pages) == 1 else self._merged(question, pages, "timestamp"))
        return _fetched(pl.concat(months), tally)

    def trades(self, symbol: str, start: datetime, end: datetime, schema: pl.Schema = TRADES_ALL) -> Fetched:
        """Trades with a SIP time in [start, end), sorted by (timestamp, sequence_number), no row twice.

        `schema` is TRADES_ALL, or TRADES for fewer columns.

        Raises:
            InputError: `symbol` cannot be one.
            ValueError: a time without zone, or an `end` that is not after `start`.
            MarketDataError: the vendor did not give what was asked.
        """
        read = partial(wire.trades_page, schema=schema)
        return self._ticks(f"/v3/trades/{_quoted(symbol)}", start, end, "trades", read)

    def quotes(self, symbol: str, start: datetime, end: datetime, schema: pl.Schema = QUOTES_ALL) -> Fetched:
        """Quotes with a SIP time in [start, end), sorted by (timestamp, sequence_number), no row twice.

        `schema` is QUOTES_ALL, or QUOTES for fewer columns.

        Raises:
            InputError: `symbol` cannot be one.
            ValueError: a time without zone, or an `end` that is not after `start`.
            MarketDataError: the vendor did not give what was asked.
        """
        read = partial(wire.quotes_page, schema=schema)
        return self._ticks(f"/v3/quotes/{_quoted(symbol)}", start, end, "quotes", read)

    def probe(self, kind: str, symbol: str, start: datetime, end: datetime) -> None:
        """Ask for one row of `trades` or `quotes`, to learn whether key and plan allow it.

        Raises:
            NotAuthenticated, NotEntitled: they do not.
            MarketDataError: the vendor did not give what was asked.
        """
        path, (first, last) = f"/v3/{kind}/{_quoted(symbol)}", (_ns(start), _ns(end))
        query = {"timestamp.gte": str(first), "timestamp.lt": str(last), "limit": "1"}
        self._transport.get(f"{path}?{urlencode(query)}", kind, bytes, Tally(), self._stop)

    def tickers(self, **filters: str) -> Fetched:
        """Reference data of all tickers that pass `filters`, the vendor's own (`type`, `market`, `exchange`, `active`).

        Columns symbol, active, name, type, market, locale, primary_exchange, currency_name, cik, composite_figi,
        share_class_figi, last_updated_utc, delisted_utc; text is null where the vendor has none.

        Raises:
            MarketDataError: the vendor did not give what was asked.
        """
        tally = Tally()
        query = {**filters, "sort": "ticker", "order": "asc", "limit": str(TICKERS_PER_PAGE)}
        path = "/v3/reference/tickers"
        question = _Question(path=path, root=path, query=query, what="reference tickers")
        pages = self._pages(question, wire.tickers_page, tally)
        return _fetched(pl.concat(pages).unique(maintain_order=True), tally)

    def float_shares(self, symbols: Sequence[str]) -> Fetched:
        """Latest free float of `symbols`: symbol, float_shares, effective_date; a symbol unknown to it has no row.

        Raises:
            InputError: a symbol cannot be one.
            MarketDataError: the vendor did not give what was asked.
        """
        path, limit = "/stocks/vX/float", FLOATS_PER_PAGE
        return self._latest(path, limit, symbols, wire.FREE_FLOAT, wire.float_page)

    def short_interest(self, symbols: Sequence[str]) -> Fetched:
        """Short interest of `symbols` at their latest settlement; a symbol without any has no row.

        Columns symbol, short_interest_shares, days_to_cover (null where unknown), settlement_date.

        Raises:
            InputError: a symbol cannot be one.
            MarketDataError: the vendor did not give what was asked.
        """
        path, limit = "/stocks/v1/short-interest", ROWS_PER_PAGE
        return self._latest(path, limit, symbols, wire.SHORT_INTEREST, wire.short_interest_page)

    def _ticks(self, path: str, start: datetime, end: datetime, what: str, read: Callable[..., wire.Page]) -> Fetched:
        window = _ns(start), _ns(end)
        if window[1] <= window[0]:
            raise ValueError(f"{what} from {start} to {end}: the end must be after the start.")
        tally = Tally()
        query = {
            "timestamp.gte": str(window[0]),
            "timestamp.lt": str(window[1]),
            "sort": "timestamp",
            "order": "asc",
            "limit": str(ROWS_PER_PAGE),
        }
        question = _Question(path=path, root=path, query=query, what=what)
        pages = self._pages(question, partial(read, window=window), tally)
        return _fetched(self._merged(question, pages, "timestamp", "sequence_number"), tally)

    def _latest(
        self,
        path: str,
        limit: int,
        symbols: Sequence[str],
        schema: pl.Schema,
        read: Callable[..., wire.Page],
    ) -> Fetched:
        """The row of the latest date (the last column of `schema`) of each symbol, sorted by symbol."""
        tally = Tally()
        asked = sorted({check_symbol(symbol) for symbol in symbols})
        pages = [schema.to_frame()]
        for first in range(0, len(asked), SYMBOLS_PER_REQUEST):
            some = asked[first : first + SYMBOLS_PER_REQUEST]
            query = {"ticker.any_of": ",".join(some), "sort": "ticker.asc", "limit": str(limit)}
            question = _Question(path=path, root=path, query=query, what=path.rpartition("/")[2].replace("-", " "))
            pages += self._pages(question, partial(read, symbols=some), tally)
        rows = pl.concat(pages).sort("symbol", schema.names()[-1], maintain_order=True)
        return _fetched(rows.unique("symbol", keep="last", maintain_order=True), tally)

    def _pages(self, question: _Question, read: Callable[[bytes], wire.Page], tally: Tally) -> list[pl.DataFrame]:
        """All pages that answer `question`, in the vendor's order; an error tells what the download took until then."""
        try:
            return self._followed(question, read, tally)
        except MarketDataError as error:
            error.requests, error.retries, error.throttled = tally.requests, tally.retries, tally.throttled
            raise

    def _followed(self, question: _Question, read: Callable[[bytes], wire.Page], tally: Tally) -> list[pl.DataFrame]:
        """Pages until one has no `next_url`."""
        frames: list[pl.DataFrame] = []
        seen: set[str] = set()
        target = f"{question.path}?{urlencode(question.query)}"
        while len(frames) < MAX_PAGES:
            seen.add(target)
            answer = self._transport.get(target, question.what, partial(self._read, question, read), tally, self._stop)
            page = answer.content
            self._checked(question, partial(wire.check_progress, frames, page.frame))
            frames.append(page.frame)
            tally.pages += 1
            if request_id := page.request_id or answer.request_id:
                tally.request_ids.append(self._transport.clean(request_id))
            if page.next_url is None:
                return frames
            target = self._checked(question, partial(self._next_target, question, page.next_url, seen))
        raise BadPage(f"GET {unquote(question.path)}: {MAX_PAGES} pages and no end. Nothing was kept of it.")

    def _read(self, question: _Question, read: Callable[[bytes], wire.Page], body: bytes) -> wire.Page:
        return self._checked(question, partial(read, body))

    def _next_target(self, question: _Question, next_url: str, seen: set[str]) -> str:
        try:
            target = self._transport.target_of(next_url)
        except ValueError as error:
            raise BadPage(f"`next_url` {next_url!r} is no URL") from error
        path = unquote(target.partition("?")[0])
        root = unquote(question.root)
        if not (path == root or path.startswith(f"{root}/")) or ".." in path.split("/"):
            raise BadPage(f"`next_url` {next_url!r} leads away from {root}")
        if target in seen:
            raise BadPage(f"`next_url` {next_url!r} was followed before: the cursor goes round in a circle")
        return target

    def _merged(self, question: _Question, pages: Sequence[pl.DataFrame], *keys: str) -> pl.DataFrame:
        return self._checked(question, partial(wire.merged, pages, *keys))

    def _checked(self, question: _Question, step: Callable[[], _T]) -> _T:
        """What `step` returns; a BadPage of it is raised anew with its place, and without the key that it may quote."""
        try:
            return step()
        except BadPage as fault:
            reason = self._transport.clean(str(fault))
        raise BadPage(
            f"GET {unquote(question.path)} for {question.what}: {reason}. "
            "Nothing was kept of it; if it comes again, the vendor's contract has changed."
        )


def _fetched(frame: pl.DataFrame, tally: Tally) -> Fetched:
    return Fetched(
        frame=frame,
        requests=tally.requests,
        retries=tally.retries,
        throttled=tally.throttled,
        waited_s=tally.waited_s,
        pages=tally.pages,
        request_ids=tuple(tally.request_ids),
    )


def _quoted(symbol: str) -> str:
    return quote(check_symbol(symbol), safe="")


def _months(first: date, last: date) -> Iterator[tuple[date, date]]:
    """The days `first` to `last` cut at the ends of calendar months, both ends of every piece included."""
    while first <= last:
        month_end = first.replace(day=monthrange(first.year, first.month)[1])
        yield first, min(month_end, last)
        first = month_end + timedelta(days=1)


def _day_ms(day: date) -> int:
    """Midnight in New York at the start of `day`, Unix milliseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(NEW_YORK)).timestamp()) * wire.MS_PER_S


def _ns(instant: datetime) -> int:
    """Unix nanoseconds of an instant, exact to its microsecond."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone: give an aware datetime, such as in UTC.")
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * wire.NS_PER_S + since.microseconds * 1_000
