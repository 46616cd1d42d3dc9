"""The one road to the vendor: a question in, one complete and checked download out."""

from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final
from urllib.parse import urlencode

import polars as pl

from smallcaps_assets.domain.tables import QUOTES_ALL, TRADES_ALL
from smallcaps_assets.market_data import wire
from smallcaps_assets.market_data.pages import Download, PagedRequest, complete_download, day_ms, quote_symbol
from smallcaps_assets.market_data.reference import ReferenceClient
from smallcaps_assets.market_data.transport import RequestCounts

ROWS_PER_PAGE: Final = 50_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MarketDataClient(ReferenceClient):
    """Bars, trades, quotes and reference data of one vendor; may be shared by threads."""

    def minute_bars(self, symbol: str, first: date, last: date) -> Download:
        """Minute bars (BARS) of the New York days `first` to `last`, both included, as traded and as sent.

        Asks for one calendar month at a time. Bars are not judged: that is quality's business.

        Raises:
            InputError: `symbol` cannot be one.
            ValueError: `last` is before `first`.
            MarketDataError: the vendor did not give what was asked.
        """
        if last < first:
            raise ValueError(f"bars from {first} to {last}: the last day must not be before the first.")
        tally = RequestCounts()
        query = {"adjusted": "false", "sort": "asc", "limit": str(ROWS_PER_PAGE)}
        root = f"/v2/aggs/ticker/{quote_symbol(symbol)}/range/1/minute"
        months: list[pl.DataFrame] = []
        for start, end in _months(first, last):
            window = day_ms(start), day_ms(end + timedelta(days=1))
            question = PagedRequest(path=f"{root}/{start}/{end}", root=root, query=query, what="minute bars")
            pages = self._pages(question, partial(wire.parse_bars_page, symbol=symbol, window=window), tally)
            months.append(pages[0] if len(pages) == 1 else self._merged(question, pages, "timestamp"))
        return complete_download(pl.concat(months), tally)

    def trades(self, symbol: str, start: datetime, end: datetime, schema: pl.Schema = TRADES_ALL) -> Download:
        """Trades with a SIP time in [start, end), sorted by (timestamp, sequence_number), no row twice.

        `schema` is TRADES_ALL, or TRADES for fewer columns.

        Raises:
            InputError: `symbol` cannot be one.
            ValueError: a time without zone, or an `end` that is not after `start`.
            MarketDataError: the vendor did not give what was asked.
        """
        read = partial(wire.parse_trades_page, schema=schema)
        return self._ticks(f"/v3/trades/{quote_symbol(symbol)}", start, end, "trades", read)

    def quotes(self, symbol: str, start: datetime, end: datetime, schema: pl.Schema = QUOTES_ALL) -> Download:
        """Quotes with a SIP time in [start, end), sorted by (timestamp, sequence_number), no row twice.

        `schema` is QUOTES_ALL, or QUOTES for fewer columns.

        Raises:
            InputError: `symbol` cannot be one.
            ValueError: a time without zone, or an `end` that is not after `start`.
            MarketDataError: the vendor did not give what was asked.
        """
        read = partial(wire.parse_quotes_page, schema=schema)
        return self._ticks(f"/v3/quotes/{quote_symbol(symbol)}", start, end, "quotes", read)

    def probe(self, kind: str, symbol: str, start: datetime, end: datetime) -> None:
        """Ask for one row of `trades` or `quotes`, to learn whether key and plan allow it.

        Raises:
            NotAuthenticated, NotEntitled: they do not.
            MarketDataError: the vendor did not give what was asked.
        """
        path, (first, last) = f"/v3/{kind}/{quote_symbol(symbol)}", (_ns(start), _ns(end))
        query = {"timestamp.gte": str(first), "timestamp.lt": str(last), "limit": "1"}
        self._transport.get(f"{path}?{urlencode(query)}", kind, bytes, RequestCounts(), self._stop)

    def _ticks(
        self, path: str, start: datetime, end: datetime, what: str, read: Callable[..., wire.ParsedPage]
    ) -> Download:
        window = _ns(start), _ns(end)
        if window[1] <= window[0]:
            raise ValueError(f"{what} from {start} to {end}: the end must be after the start.")
        tally = RequestCounts()
        query = {
            "timestamp.gte": str(window[0]),
            "timestamp.lt": str(window[1]),
            "sort": "timestamp",
            "order": "asc",
            "limit": str(ROWS_PER_PAGE),
        }
        question = PagedRequest(path=path, root=path, query=query, what=what)
        pages = self._pages(question, partial(read, window=window), tally)
        return complete_download(self._merged(question, pages, "timestamp", "sequence_number"), tally)


def _months(first: date, last: date) -> Iterator[tuple[date, date]]:
    """The days `first` to `last` cut at the ends of calendar months, both ends of every piece included."""
    while first <= last:
        month_end = first.replace(day=monthrange(first.year, first.month)[1])
        yield first, min(month_end, last)
        first = month_end + timedelta(days=1)


def _ns(instant: datetime) -> int:
    """Unix nanoseconds of an instant, exact to its microsecond."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone: give an aware datetime, such as in UTC.")
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * wire.NS_PER_S + since.microseconds * 1_000
