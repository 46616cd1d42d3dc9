"""The client of the vendor: each method is one complete, checked download of bars, trades, quotes or reference data."""

import threading
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final, Self

import polars as pl

from smallcaps_assets.domain.bars.minutes import resolve_minutes
from smallcaps_assets.domain.tables import QUOTES_ALL, TRADES_ALL
from smallcaps_assets.market_data import wire
from smallcaps_assets.market_data.envelope import NS_PER_S, ParsedPage
from smallcaps_assets.market_data.http.transport import ClientTotals, RequestCounts, Transport
from smallcaps_assets.market_data.pages import (
    BarsDownload,
    Download,
    Downloads,
    PagedRequest,
    complete_download,
    day_ms,
    quote_symbol,
)
from smallcaps_assets.market_data.reference import ReferenceData

ROWS_PER_PAGE: Final = 50_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MarketDataClient:
    """Bars, trades, quotes and, as `reference`, reference data of one vendor; may be shared by threads."""

    def __init__(self, transport: Transport, stop: threading.Event | None = None) -> None:
        """Download through `transport`, which `close` closes; once `stop` is set, downloads end with Stopped."""
        self._transport = transport
        self._downloads = Downloads(transport, stop)
        self.reference = ReferenceData(self._downloads)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the transport, also for the clients that `until` returned; no download may follow."""
        self._transport.close()

    def until(self, stop: threading.Event) -> "MarketDataClient":
        """A client with the same rate limit and connections whose downloads end with Stopped once `stop` is set."""
        return MarketDataClient(self._transport, stop)

    @property
    def requests_per_minute(self) -> float | None:
        """The rate limit; None where there is none."""
        return self._transport.requests_per_minute

    def clean(self, text: str) -> str:
        """Text that may quote the vendor made safe for messages: on one line, without the key."""
        return self._transport.clean(text)

    def totals(self) -> ClientTotals:
        """Requests sent, retries and answers with 429 so far, over all threads and failed downloads."""
        return self._transport.totals()

    def minute_bars(self, symbol: str, first: date, last: date) -> BarsDownload:
        """Minute bars (BARS) of the New York days `first` to `last`, both included, as traded.

        Rows that repeat another are removed and counted; bars of a minute that differ are set aside, see
        `resolve_minutes`. The rows are not checked otherwise. Requests one calendar month at a time.

        Raises:
            InputError: `symbol` is not a valid symbol.
            ValueError: `last` is before `first`.
            MarketDataError: the vendor did not deliver.
        """
        if last < first:
            raise ValueError(f"bars from {first} to {last}: the last day must not be before the first.")
        counts = RequestCounts()
        query = {"adjusted": "false", "sort": "asc", "limit": str(ROWS_PER_PAGE)}
        root = f"/v2/aggs/ticker/{quote_symbol(symbol)}/range/1/minute"
        months: list[pl.DataFrame] = []
        for start, end in _split_by_month(first, last):
            window = day_ms(start), day_ms(end + timedelta(days=1))
            request = PagedRequest(path=f"{root}/{start}/{end}", root=root, query=query, what="minute bars")
            parse = partial(wire.parse_bars_page, symbol=symbol, window=window)
            pages = self._downloads.pages(request, parse, counts)
            months.append(self._downloads.join(request, pages))
        found = resolve_minutes(pl.concat(months))
        download = complete_download(found.bars, counts, found.repeats)
        return BarsDownload(**vars(download), conflicting=found.conflicting)

    def trades(self, symbol: str, start: datetime, end: datetime, schema: pl.Schema = TRADES_ALL) -> Download:
        """Trades with a SIP time in [start, end), sorted by (timestamp, sequence_number), without exact repeats.

        Rows with neither a sequence number nor a trade id are never repeats.

        `schema` is TRADES_ALL, or TRADES for fewer columns.

        Raises:
            InputError: `symbol` is not a valid symbol.
            ValueError: a time without zone, or an `end` that is not after `start`.
            MarketDataError: the vendor did not deliver.
        """
        parse = partial(wire.parse_trades_page, schema=schema)
        return self._ticks(f"/v3/trades/{quote_symbol(symbol)}", start, end, "trades", parse)

    def quotes(self, symbol: str, start: datetime, end: datetime, schema: pl.Schema = QUOTES_ALL) -> Download:
        """Quotes with a SIP time in [start, end), sorted by (timestamp, sequence_number), without exact repeats.

        Rows without a sequence number are never repeats.

        `schema` is QUOTES_ALL, or QUOTES for fewer columns.

        Raises:
            InputError: `symbol` is not a valid symbol.
            ValueError: a time without zone, or an `end` that is not after `start`.
            MarketDataError: the vendor did not deliver.
        """
        parse = partial(wire.parse_quotes_page, schema=schema)
        return self._ticks(f"/v3/quotes/{quote_symbol(symbol)}", start, end, "quotes", parse)

    def _ticks(
        self, path: str, start: datetime, end: datetime, what: str, parse: Callable[..., ParsedPage]
    ) -> Download:
        window = _unix_ns(start), _unix_ns(end)
        if window[1] <= window[0]:
            raise ValueError(f"{what} from {start} to {end}: the end must be after the start.")
        counts = RequestCounts()
        query = {
            "timestamp.gte": str(window[0]),
            "timestamp.lt": str(window[1]),
            "sort": "timestamp",
            "order": "asc",
            "limit": str(ROWS_PER_PAGE),
        }
        request = PagedRequest(path=path, root=path, query=query, what=what)
        pages = self._downloads.pages(request, partial(parse, window=window), counts)
        merged = self._downloads.merge(request, pages, "timestamp", "sequence_number")
        return complete_download(merged.rows, counts, merged.removed)


def _split_by_month(first: date, last: date) -> Iterator[tuple[date, date]]:
    """The days `first` to `last` split at the ends of calendar months; both ends of every part are included."""
    while first <= last:
        month_end = first.replace(day=monthrange(first.year, first.month)[1])
        yield first, min(month_end, last)
        first = month_end + timedelta(days=1)


def _unix_ns(instant: datetime) -> int:
    """Unix nanoseconds of an instant, exact to its microsecond."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone: give an aware datetime, such as in UTC.")
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * 1_000
