"""Further tickers of a market: copies of its companies under names that careless readers change."""

from collections.abc import Mapping
from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.simulated.source import Market, Row

# Names that are read as a missing value, a Boolean or a number unless tickers are read as text; a preferred share, in
# whose name the letter case counts; a symbol with which an exchange tests its systems.
ODD_TICKERS: Final = ("NULL", "nan", "TRUE", "1E5", "BFpA", "ZVZZT")


class AliasedMarket:
    """A market with more tickers, over REST and in flat files alike.

    Args:
        market: the companies.
        aliases: the company of each further ticker.
    """

    def __init__(self, market: Market, aliases: Mapping[str, str]) -> None:
        self._market = market
        self._aliases = dict(aliases)

    def symbols(self) -> list[str]:
        """The companies, and the further tickers after them."""
        return [*self._market.symbols(), *self._aliases]

    def days(self, symbol: str, first: date, last: date) -> list[date]:
        """As of the company."""
        return self._market.days(self._company(symbol), first, last)

    def bars(self, symbol: str, first: date, last: date) -> pl.DataFrame:
        """As of the company."""
        return self._named(self._market.bars(self._company(symbol), first, last), symbol)

    def daily(self, symbol: str, first: date, last: date) -> pl.DataFrame:
        """As of the company."""
        return self._named(self._market.daily(self._company(symbol), first, last), symbol)

    def trades(self, symbol: str, start_ns: int, end_ns: int) -> pl.DataFrame:
        """As of the company."""
        return self._market.trades(self._company(symbol), start_ns, end_ns)

    def quotes(self, symbol: str, start_ns: int, end_ns: int) -> pl.DataFrame:
        """As of the company."""
        return self._market.quotes(self._company(symbol), start_ns, end_ns)

    def tickers(self, day: date | None = None) -> list[Row]:
        """A row of each company and, with its own name, of each further ticker whose company is listed; by ticker."""
        rows = {str(row["ticker"]): row for row in self._market.tickers(day)}
        listed = {alias: company for alias, company in self._aliases.items() if company in rows}
        rows |= {alias: {**rows[company], "ticker": alias} for alias, company in listed.items()}
        return [rows[ticker] for ticker in sorted(rows)]

    def details(self, symbol: str, day: date) -> Row | None:
        """As of the company."""
        row = self._market.details(self._company(symbol), day)
        return None if row is None else {**row, "ticker": symbol}

    def splits(self) -> list[Row]:
        """Those of the companies."""
        return self._market.splits()

    def floats(self) -> list[Row]:
        """Those of the companies."""
        return self._market.floats()

    def short_interest(self) -> list[Row]:
        """Those of the companies."""
        return self._market.short_interest()

    def _company(self, symbol: str) -> str:
        return self._aliases.get(symbol, symbol)

    def _named(self, rows: pl.DataFrame, symbol: str) -> pl.DataFrame:
        return rows.with_columns(pl.lit(symbol).alias("symbol")) if symbol in self._aliases else rows
