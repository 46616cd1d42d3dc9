"""Reference data of the vendor: tickers and their details, closes of a day, conditions, exchanges and splits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Final

import polars as pl

from smallcaps_assets.domain.symbols import check_symbol
from smallcaps_assets.errors import BadPage, NotEntitled, NotFound
from smallcaps_assets.market_data import catalogue_wire as catalogue
from smallcaps_assets.market_data import reference_wire as wire
from smallcaps_assets.market_data.envelope import BadRow, ParsedPage
from smallcaps_assets.market_data.http.transport import RequestCounts
from smallcaps_assets.market_data.narrowing import Served, narrow
from smallcaps_assets.market_data.pages import (
    Download,
    Downloads,
    PagedRequest,
    complete_download,
    day_ms,
    quote_symbol,
)

_TICKERS_PER_PAGE: Final = 1_000
_FLOATS_PER_PAGE: Final = 5_000
_SHORT_INTERESTS_PER_PAGE: Final = 50_000
_SPLITS_PER_PAGE: Final = 5_000
_OLDER_SPLITS_PER_PAGE: Final = 1_000
_SYMBOLS_PER_REQUEST: Final = 200
_MOST_VALUES_NAMED: Final = 3


class ReferenceData:
    """Reference data of one vendor; may be shared by threads."""

    def __init__(self, downloads: Downloads) -> None:
        self._downloads = downloads

    def tickers(self, **filters: str) -> Download:
        """All tickers that pass `filters`, filters of the vendor (`type`, `market`, `exchange`, `active`).

        Columns symbol, active, name, type, market, locale, primary_exchange, currency_name, cik, composite_figi,
        share_class_figi, last_updated_utc, delisted_utc; text is null where the vendor has none.

        Raises:
            MarketDataError: the vendor did not deliver.
        """
        counts = RequestCounts()
        query = {**filters, "sort": "ticker", "order": "asc", "limit": str(_TICKERS_PER_PAGE)}
        path = "/v3/reference/tickers"
        request = PagedRequest(path=path, root=path, query=query, what="reference tickers")
        pages = self._downloads.pages(request, wire.parse_tickers_page, counts)
        return complete_download(pl.concat(pages).unique(maintain_order=True), counts)

    def float_shares(self, symbols: Sequence[str]) -> Download:
        """Latest free float: symbol, float_shares, effective_date; a symbol unknown to the vendor has no row.

        Neither has a symbol whose latest rows differ, which are `bad_rows`, or one whose answer is bad: these are
        `unserved`.

        Raises:
            InputError: an entry of `symbols` is not a valid symbol.
            MarketDataError: the vendor did not deliver.
        """
        return self._latest_rows("/stocks/vX/float", _FLOATS_PER_PAGE, symbols, wire.FREE_FLOAT, wire.parse_float_page)

    def short_interest(self, symbols: Sequence[str]) -> Download:
        """Short interest at the latest settlement of each symbol; a symbol without any has no row.

        Neither has a symbol whose latest rows differ, which are `bad_rows`, or one whose answer is bad: these are
        `unserved`.

        Columns symbol, short_interest_shares, days_to_cover (null where unknown), settlement_date.

        Raises:
            InputError: an entry of `symbols` is not a valid symbol.
            MarketDataError: the vendor did not deliver.
        """
        return self._latest_rows(
            "/stocks/v1/short-interest",
            _SHORT_INTERESTS_PER_PAGE,
            symbols,
            wire.SHORT_INTEREST,
            wire.parse_short_interest_page,
        )

    def ticker_details(self, symbol: str, day: date) -> Download:
        """One row (TICKER_DETAILS of reference_wire): the symbol's details on a day; null where unknown.

        Raises:
            InputError: `symbol` is not a valid symbol.
            NotFound: the vendor did not know it on that day.
            MarketDataError: the vendor did not deliver.
        """
        path, counts = f"/v3/reference/tickers/{quote_symbol(symbol)}", RequestCounts()
        request = PagedRequest(path=path, root=path, query={"date": f"{day}"}, what="ticker details")
        pages = self._downloads.pages(request, partial(wire.parse_details_page, symbol=symbol), counts)
        return complete_download(pages[0], counts)

    def ticker_events(self, identifier: str) -> Download:
        """The tickers that a security had (TICKER_CHANGES of reference_wire), oldest first.

        Args:
            identifier: its composite FIGI, or a ticker, which means the security that has it now.

        Raises:
            InputError: `identifier` is not usable in a path.
            NotFound: the vendor knows no such security.
            MarketDataError: the vendor did not deliver.
        """
        path, counts = f"/vX/reference/tickers/{quote_symbol(identifier)}/events", RequestCounts()
        request = PagedRequest(path=path, root=path, query={"types": "ticker_change"}, what="ticker events")
        pages = self._downloads.pages(request, wire.parse_ticker_events_page, counts)
        return complete_download(pages[0], counts)

    def closes(self, day: date) -> Download:
        """The last price, as traded, of every symbol that traded on a day: symbol, price_usd (null where unknown).

        A symbol with several prices that differ has no row; these are `bad_rows`.

        Raises:
            MarketDataError: the vendor did not deliver.
        """
        path, counts = f"/v2/aggs/grouped/locale/us/market/stocks/{day}", RequestCounts()
        query = {"adjusted": "false", "include_otc": "false"}
        request = PagedRequest(path=path, root=path, query=query, what="daily bars of all symbols")
        window = day_ms(day), day_ms(day + timedelta(days=1))
        pages = self._downloads.pages(request, partial(wire.parse_closes_page, window=window), counts)
        return complete_download(_without_conflicts(pl.concat(pages), counts), counts)

    def trade_conditions(self) -> Download:
        """The vendor's conditions of trades (CONDITIONS of catalogue_wire), sorted by id.

        Rules are those of consolidated bars, null where the vendor lists none; of an id that is listed several times a
        rule is false if one of its rows says so.

        Raises:
            MarketDataError: the vendor did not deliver, or has no condition at all.
        """
        query = {"asset_class": "stocks", "data_type": "trade", "sort": "id", "order": "asc", "limit": "1000"}
        pages, counts = self._list(
            "/v3/reference/conditions", query, "trade conditions", catalogue.parse_conditions_page
        )
        if pages.is_empty():
            raise BadPage("trade conditions: the vendor lists none, and every trade has some. Nothing of it was kept.")
        rules = (pl.col(name).min() for name in catalogue.CONDITIONS.names()[2:])
        rows = pages.group_by("id").agg(pl.col("name").first(), *rules).sort("id")
        return complete_download(rows, counts)

    def exchanges(self) -> Download:
        """The exchanges of stocks (EXCHANGES of catalogue_wire), sorted by id.

        Raises:
            MarketDataError: the vendor did not deliver.
        """
        query = {"asset_class": "stocks"}
        pages, counts = self._list("/v3/reference/exchanges", query, "exchanges", catalogue.parse_exchanges_page)
        return complete_download(pages.unique(maintain_order=True).sort("id", maintain_order=True), counts)

    def splits(self, first: date, last: date, *, older: bool = True) -> Download:
        """Splits of all symbols executed from `first` to `last`, both included (SPLITS), sorted by symbol and day.

        From `/stocks/v1/splits`, and from the older `/v3/reference/splits` where the plan or the vendor has no such, if
        `older` lists may be asked for.
        Splits of a symbol on one day that differ are bad rows, which are left out and named.

        Raises:
            MarketDataError: the vendor did not deliver.
        """
        query = {"execution_date.gte": f"{first}", "execution_date.lte": f"{last}"}
        parse = partial(catalogue.parse_splits_page, days=(first, last))
        try:
            newer = query | {"sort": "execution_date.asc", "limit": str(_SPLITS_PER_PAGE)}
            pages, counts = self._list("/stocks/v1/splits", newer, "splits", parse)
        except (NotEntitled, NotFound):
            if not older:
                raise
            earlier = query | {"sort": "execution_date", "order": "asc", "limit": str(_OLDER_SPLITS_PER_PAGE)}
            pages, counts = self._list("/v3/reference/splits", earlier, "splits", parse)
        rows = pages.unique(maintain_order=True).sort("symbol", "execution_date")
        differ = rows.filter(pl.struct("symbol", "execution_date").is_duplicated())
        counts.bad_rows += [
            BadRow(symbol, f"two rows of {day} differ")
            for symbol, day in differ.select("symbol", "execution_date").unique(maintain_order=True).iter_rows()
        ]
        return complete_download(rows.join(differ, on=["symbol", "execution_date"], how="anti"), counts)

    def _list(
        self, path: str, query: Mapping[str, str], what: str, parse: Callable[[bytes], ParsedPage]
    ) -> tuple[pl.DataFrame, RequestCounts]:
        """All rows of a list, and what it took."""
        counts = RequestCounts()
        request = PagedRequest(path=path, root=path, query=dict(query), what=what)
        return pl.concat(self._downloads.pages(request, parse, counts)), counts

    def _latest_rows(
        self,
        path: str,
        limit: int,
        symbols: Sequence[str],
        schema: pl.Schema,
        parse: Callable[..., ParsedPage],
    ) -> Download:
        """The row of the latest date (the last column of `schema`) of each symbol, sorted by symbol."""
        counts = RequestCounts()
        requested = sorted({check_symbol(symbol) for symbol in symbols})
        pages = [schema.to_frame()]
        unserved: list[str] = []

        def fetch(some: list[str]) -> list[pl.DataFrame]:
            query = {"ticker.any_of": ",".join(some), "sort": "ticker.asc", "limit": str(limit)}
            request = PagedRequest(path=path, root=path, query=query, what=path.rpartition("/")[2].replace("-", " "))
            return self._downloads.pages(request, partial(parse, symbols=some), counts)

        for first in range(0, len(requested), _SYMBOLS_PER_REQUEST):
            chunk = requested[first : first + _SYMBOLS_PER_REQUEST]
            for part in narrow(chunk, fetch):
                if isinstance(part, Served):
                    pages += part.answer
                elif part.parts == chunk:
                    raise part.error
                else:
                    unserved += part.parts
        latest = pl.col(schema.names()[-1])
        rows = pl.concat(pages)
        rows = rows.filter(latest.eq_missing(latest.max().over("symbol"))).sort("symbol", maintain_order=True)
        return replace(complete_download(_without_conflicts(rows, counts), counts), unserved=tuple(unserved))


def _without_conflicts(rows: pl.DataFrame, counts: RequestCounts) -> pl.DataFrame:
    """Rows without exact repeats, and without the symbols that have several rows that differ: these are bad rows."""
    different = rows.unique(maintain_order=True)
    is_clear = ~pl.col("symbol").is_duplicated()
    values = [name for name in rows.columns if name != "symbol"]
    conflicting = different.filter(~is_clear).group_by("symbol", maintain_order=True).agg(values)
    for symbol, *columns in conflicting.iter_rows():
        differing = (f"{name} {_list_values(of)}" for name, of in zip(values, columns, strict=True) if len({*of}) > 1)
        counts.bad_rows.append(BadRow(symbol, f"{len(columns[0])} rows differ: {', '.join(differing)}"))
    return different.filter(is_clear)


def _list_values(values: Sequence[object]) -> str:
    """Some of a symbol's values of one column, in the vendor's order."""
    known = list(dict.fromkeys("none" if value is None else f"{value}" for value in values))
    more = f" and {len(known) - _MOST_VALUES_NAMED:,} more" if len(known) > _MOST_VALUES_NAMED else ""
    return " / ".join(known[:_MOST_VALUES_NAMED]) + more
