"""The interface of a market, simulated or replayed, behind the simulated exchange."""

from datetime import date
from typing import Final, Protocol, runtime_checkable

import polars as pl

from smallcaps_assets.domain.tables import UTC_NS, UTC_US

Row = dict[str, object]

TRUTH: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "date": pl.String(),
        "event_type": pl.String(),
        "direction": pl.String(),
        "timestamp": UTC_US,
        "story": pl.String(),
    }
)
# What is planted in the company DRILL; `rows` trades or bars, 0 for a state of quotes or of the day.
PLANTS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "date": pl.String(),
        "kind": pl.String(),
        "start": UTC_NS,
        "end": UTC_NS,
        "rows": pl.Int64(),
    }
)
# The aggressor, `buy` or `sell`, of trades that have one.
AGGRESSORS: Final = pl.Schema(
    {"symbol": pl.String(), "timestamp": UTC_NS, "sequence_number": pl.Int64(), "side": pl.String()}
)


class Market(Protocol):
    """A market behind the exchange; it returns no data later than its clock."""

    def symbols(self) -> list[str]:
        """Every listed symbol, also those that never trade."""
        ...

    def days(self, symbol: str, first: date, last: date) -> list[date]:
        """New York dates in [first, last] that may hold data of a symbol, ascending; empty for unknown symbols."""
        ...

    def bars(self, symbol: str, first: date, last: date) -> pl.DataFrame:
        """Complete minute bars (schema BARS) of the New York dates `first` to `last`, both included, by time."""
        ...

    def daily(self, symbol: str, first: date, last: date) -> pl.DataFrame:
        """Day bars (schema BARS); the timestamp is 00:00 New York time."""
        ...

    def trades(self, symbol: str, start_ns: int, end_ns: int) -> pl.DataFrame:
        """Trades (schema TRADES_ALL) with a SIP timestamp in [start_ns, end_ns), in SIP order."""
        ...

    def quotes(self, symbol: str, start_ns: int, end_ns: int) -> pl.DataFrame:
        """Quotes (schema QUOTES_ALL) with a SIP timestamp in [start_ns, end_ns), in SIP order."""
        ...

    def tickers(self, day: date | None = None) -> list[Row]:
        """The rows of symbols as the vendor lists them on a date, today if not given, by symbol."""
        ...

    def details(self, symbol: str, day: date) -> Row | None:
        """The vendor's details of one symbol on a date; None where it is unknown."""
        ...

    def splits(self) -> list[Row]:
        """ticker, execution_date (YYYY-MM-DD), split_from and split_to of every split up to now."""
        ...

    def floats(self) -> list[Row]:
        """ticker, effective_date, free_float and free_float_percent where known."""
        ...

    def short_interest(self) -> list[Row]:
        """ticker, settlement_date, short_interest, avg_daily_volume and days_to_cover, by ticker and date."""
        ...


@runtime_checkable
class RenamingMarket(Protocol):
    """A market whose companies change their tickers."""

    def ticker_events(self, identifier: str) -> Row | None:
        """The tickers that a company had, as the vendor gives them; None where no company is meant.

        Args:
            identifier: a ticker, which means the company that has it today, or a composite FIGI.
        """
        ...
