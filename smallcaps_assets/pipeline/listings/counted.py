"""What is stored of tickers, and which of them count: of whose changes the sessions are asked for."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.inference import Question, infer_listings
from smallcaps_assets.domain.listings.states import Evidence, TickerHistory, to_history
from smallcaps_assets.domain.symbols import ExchangeTestSymbols, canonical_name, symbol_is_safe
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.market_data.calendar import xnys_calendar
from smallcaps_assets.pipeline.universe.symbol_file import read_symbols
from smallcaps_assets.settings.settings import Settings, universe_file


class CountedTickers(NamedTuple):
    """Which tickers count.

    Attributes:
        tests: the test symbols of exchanges, which are left out.
        ticker_types: types of which the sessions of changes are asked for; None for all.
        named: tickers that count, of any type.
        only_named: whether no others count, as where a file or a list names the universe.
    """

    tests: ExchangeTestSymbols
    ticker_types: Sequence[str] | None
    named: Collection[str]
    only_named: bool

    def left_out(self, history: TickerHistory) -> tuple[list[str], list[str]]:
        """Test symbols of exchanges, and tickers that are not usable as names."""
        return self._left_out(history.rows)

    def _left_out(self, rows: pl.DataFrame) -> tuple[list[str], list[str]]:
        symbols = rows.select("symbol").unique()
        unusable = symbols.filter(~symbol_is_safe(pl.col("symbol")))["symbol"].sort().to_list()
        return self.tests.among(symbols["symbol"]), unusable

    def counting(self, history: TickerHistory) -> Collection[str]:
        """The tickers whose changes are asked for: of a followed type, or of no known one, or named.

        Where the universe is named, these are its tickers, and others of the same securities.
        """
        return set(history.rows.filter(self._counts(history.rows))["symbol"])

    def of_rows(self, rows: pl.DataFrame, listed: pl.DataFrame) -> pl.DataFrame:
        """The rows of another list of the vendor that count, without test symbols and tickers not usable as names.

        Args:
            rows: with `symbol`, `ticker_type` and `share_class_figi`.
            listed: rows of its lists, with these columns.
        """
        left_out = [name for some in self._left_out(rows) for name in some]
        names = ["symbol", "ticker_type", "share_class_figi"]
        every = pl.concat([rows.select(names), listed.select(names)])
        return rows.filter(self._counts(every) & ~pl.col("symbol").is_in(left_out))

    def _counts(self, rows: pl.DataFrame) -> pl.Expr:
        """Whether a row counts; the securities of a named universe are those of `rows`."""
        named = pl.col("symbol").is_in(list(self.named))
        if self.only_named:
            figis = rows.filter(named)["share_class_figi"].drop_nulls().unique()
            return named | pl.col("share_class_figi").is_in(figis.implode())
        if self.ticker_types is None:
            return pl.lit(value=True)
        return named | pl.col("ticker_type").is_in(list(self.ticker_types)) | pl.col("ticker_type").is_null()

    def open_questions(self, store: ListingStore) -> list[Question]:
        """The changes between stored lists whose session is not known, of the tickers that count; sends no request."""
        if not store.snapshot_days():
            return []
        history = to_history(evidence_of(store))
        left_out = [name for some in self.left_out(history) for name in some]
        counting = self.counting(history)
        found = infer_listings(without(history, left_out)).questions
        return [question for question in found if question.symbol in counting]


def counted_tickers(settings: Settings) -> CountedTickers:
    """The tickers that count under the settings.

    Raises:
        InputError: the file of symbols cannot be used.
    """
    params, file = settings.universe, universe_file(settings)
    named = set(map(canonical_name, params.symbols or ())) if file is None else set(read_symbols(file).rows["symbol"])
    tests = ExchangeTestSymbols(tuple(params.test_symbols), frozenset(named))
    return CountedTickers(tests, params.ticker_types, named, params.is_named)


def evidence_of(store: ListingStore) -> Evidence:
    """All that is stored, of one list at least; sessions go from the first list to the last one."""
    days = store.snapshot_days()
    sessions = xnys_calendar(days[0], days[-1])["date"].to_list()
    return Evidence(sessions, days, store.sightings(), store.observations())


def without(history: TickerHistory, symbols: Sequence[str]) -> TickerHistory:
    """The history of all other tickers."""
    return history._replace(states=history.states.filter(~pl.col("symbol").is_in(symbols)))
