"""What the vendor says of symbols: which there are, what each is, and what all of them closed at on a day."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Final

import polars as pl

from smallcaps_assets.domain.symbols import check_symbol
from smallcaps_assets.market_data import reference_wire as wire
from smallcaps_assets.market_data.pages import (
    Download,
    Downloads,
    PagedRequest,
    complete_download,
    day_ms,
    quote_symbol,
)
from smallcaps_assets.market_data.transport import RequestCounts
from smallcaps_assets.market_data.wire import ParsedPage

TICKERS_PER_PAGE: Final = 1_000
FLOATS_PER_PAGE: Final = 5_000
SHORT_INTERESTS_PER_PAGE: Final = 50_000
SYMBOLS_PER_REQUEST: Final = 200


class ReferenceClient(Downloads):
    """Reference data of one vendor; may be shared by threads."""

    def tickers(self, **filters: str) -> Download:
        """Reference data of all tickers that pass `filters`, the vendor's own (`type`, `market`, `exchange`, `active`).

        Columns symbol, active, name, type, market, locale, primary_exchange, currency_name, cik, composite_figi,
        share_class_figi, last_updated_utc, delisted_utc; text is null where the vendor has none.

        Raises:
            MarketDataError: the vendor did not give what was asked.
        """
        tally = RequestCounts()
        query = {**filters, "sort": "ticker", "order": "asc", "limit": str(TICKERS_PER_PAGE)}
        path = "/v3/reference/tickers"
        question = PagedRequest(path=path, root=path, query=query, what="reference tickers")
        pages = self._pages(question, wire.parse_tickers_page, tally)
        return complete_download(pl.concat(pages).unique(maintain_order=True), tally)

    def float_shares(self, symbols: Sequence[str]) -> Download:
        """Latest free float of `symbols`: symbol, float_shares, effective_date; a symbol unknown to it has no row.

        Raises:
            InputError: a symbol cannot be one.
            MarketDataError: the vendor did not give what was asked.
        """
        path, limit = "/stocks/vX/float", FLOATS_PER_PAGE
        return self._latest(path, limit, symbols, wire.FREE_FLOAT, wire.parse_float_page)

    def short_interest(self, symbols: Sequence[str]) -> Download:
        """Short interest of `symbols` at their latest settlement; a symbol without any has no row.

        Columns symbol, short_interest_shares, days_to_cover (null where unknown), settlement_date.

        Raises:
            InputError: a symbol cannot be one.
            MarketDataError: the vendor did not give what was asked.
        """
        path, limit = "/stocks/v1/short-interest", SHORT_INTERESTS_PER_PAGE
        return self._latest(path, limit, symbols, wire.SHORT_INTEREST, wire.parse_short_interest_page)

    def ticker_details(self, symbol: str, day: date) -> Download:
        """What `symbol` was on a day, one row: name, ticker_type, primary_exchange, market_cap_usd, null where unknown.

        Raises:
            InputError: `symbol` cannot be one.
            NotFound: the vendor did not know it on that day.
            MarketDataError: the vendor did not give what was asked.
        """
        path, tally = f"/v3/reference/tickers/{quote_symbol(symbol)}", RequestCounts()
        question = PagedRequest(path=path, root=path, query={"date": f"{day}"}, what="ticker details")
        return complete_download(
            self._pages(question, partial(wire.parse_details_page, symbol=symbol), tally)[0], tally
        )

    def closes(self, day: date) -> Download:
        """The last price as traded of every symbol that traded on a day: symbol, price_usd (null where unknown).

        Raises:
            MarketDataError: the vendor did not give what was asked.
        """
        path, tally = f"/v2/aggs/grouped/locale/us/market/stocks/{day}", RequestCounts()
        query = {"adjusted": "false", "include_otc": "false"}
        question = PagedRequest(path=path, root=path, query=query, what="daily bars of all symbols")
        window = day_ms(day), day_ms(day + timedelta(days=1))
        pages = self._pages(question, partial(wire.parse_closes_page, window=window), tally)
        return complete_download(pl.concat(pages).unique("symbol", keep="first", maintain_order=True), tally)

    def _latest(
        self,
        path: str,
        limit: int,
        symbols: Sequence[str],
        schema: pl.Schema,
        read: Callable[..., ParsedPage],
    ) -> Download:
        """The row of the latest date (the last column of `schema`) of each symbol, sorted by symbol."""
        tally = RequestCounts()
        asked = sorted({check_symbol(symbol) for symbol in symbols})
        pages = [schema.to_frame()]
        for first in range(0, len(asked), SYMBOLS_PER_REQUEST):
            some = asked[first : first + SYMBOLS_PER_REQUEST]
            query = {"ticker.any_of": ",".join(some), "sort": "ticker.asc", "limit": str(limit)}
            question = PagedRequest(path=path, root=path, query=query, what=path.rpartition("/")[2].replace("-", " "))
            pages += self._pages(question, partial(read, symbols=some), tally)
        rows = pl.concat(pages).sort("symbol", schema.names()[-1], maintain_order=True)
        return complete_download(rows.unique("symbol", keep="last", maintain_order=True), tally)
