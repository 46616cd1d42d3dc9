"""A market read from a user's Parquet files, served as the vendor would."""

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL
from smallcaps_assets.errors import InputError
from smallcaps_assets.simulated.hours import (
    NS_PER_MINUTE,
    RTH_OPEN,
    date_at_ns,
    midnight_ns,
    to_ns,
    trading_day,
    utc_now,
)
from smallcaps_assets.simulated.replay.files import BARS_TABLE, QUOTES_TABLE, TRADES_TABLE, Files
from smallcaps_assets.simulated.source import TRUTH, Row

_log = logging.getLogger(__name__)
_FEW_DAYS: Final = 7


class ReplayMarket:
    """The `bars*.parquet`, `trades*.parquet` and `quotes*.parquet` of a folder; rows are read on request only.

    Requests are fast where files are sorted by symbol and time, since filters then skip most row groups.
    Rows are served unchanged, including invalid ones. Without trades or quotes files there are none.
    Every symbol of the bars is listed as common stock; nothing is known of its float, short interest or splits.

    Args:
        folder: where the files are; subfolders are not searched.
        clock: the current time; no later data is returned.

    Raises:
        InputError: no bars file, an invalid Parquet file, a missing column, a wrong type or a timestamp without zone.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._bars, self._trades, self._quotes = (
            Files(folder, table) for table in (BARS_TABLE, TRADES_TABLE, QUOTES_TABLE)
        )
        if not len(self._bars):
            note = f" ({self._bars.note})" if self._bars.note else ""
            raise InputError(f"{folder} has no bars*.parquet{note}. Name a folder with bars, trades and quotes files.")
        for files in (self._bars, self._trades, self._quotes):
            if files.note:
                _log.warning("%s", files.note)
        for files in (self._trades, self._quotes):
            if not len(files):
                _log.warning(
                    "%s has no %s*.parquet: every answer for %s will be empty", folder, *[files.table.name] * 2
                )
        self._symbols: list[str] | None = None
        self._dates: dict[str, list[date]] = {}

    def symbols(self) -> list[str]:
        """Every symbol of the bars, sorted."""
        if self._symbols is None:
            self._symbols = self._bars.symbols()
        return list(self._symbols)

    def sessions(self) -> tuple[date, date]:
        """The first and the last New York date of the bars.

        Raises:
            InputError: the bars files hold no row.
        """
        dates = self._bars.new_york_dates()
        if dates.is_empty():
            raise InputError(
                "the bars*.parquet of this folder hold no row with a timestamp: there is nothing to replay."
            )
        return dates[0], dates[-1]

    def days(self, symbol: str, first: date, last: date) -> list[date]:
        """New York dates in [first, last] up to now that may hold rows of a symbol, ascending."""
        last = min(last, date_at_ns(to_ns(self._clock())))
        if (last - first).days < _FEW_DAYS:
            return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
        if symbol not in self._dates:
            found = [files.new_york_dates(symbol) for files in (self._bars, self._trades, self._quotes)]
            self._dates[symbol] = pl.concat(found).unique().sort().to_list()
        return [day for day in self._dates[symbol] if first <= day <= last]

    def bars(self, symbol: str, first: date, last: date) -> pl.DataFrame:
        """Bars (schema BARS) of the New York dates `first` to `last`, both included, whose minute is over, by time."""
        complete = to_ns(self._clock()) - NS_PER_MINUTE + 1
        end_ns = min(midnight_ns(last + timedelta(days=1)), complete)
        return self._bars.rows(symbol, midnight_ns(first), end_ns).match_to_schema(BARS)

    def daily(self, symbol: str, first: date, last: date) -> pl.DataFrame:
        """Day bars (schema BARS) of finished sessions: prices from regular hours, volume from all of the day's bars."""
        now_ns = to_ns(self._clock())
        days = [self._day_bar(symbol, day) for day in self.days(symbol, first, last) if _is_over(day, now_ns)]
        return pl.concat([BARS.to_frame(), *days])

    def trades(self, symbol: str, start_ns: int, end_ns: int) -> pl.DataFrame:
        """Trades (schema TRADES_ALL) with a SIP timestamp in [start_ns, end_ns), in SIP order, none after now."""
        rows = self._trades.rows(symbol, start_ns, min(end_ns, to_ns(self._clock()) + 1))
        return rows.drop("symbol").match_to_schema(TRADES_ALL)

    def quotes(self, symbol: str, start_ns: int, end_ns: int) -> pl.DataFrame:
        """Quotes (schema QUOTES_ALL) with a SIP timestamp in [start_ns, end_ns), in SIP order, none after now."""
        rows = self._quotes.rows(symbol, start_ns, min(end_ns, to_ns(self._clock()) + 1))
        return rows.drop("symbol").match_to_schema(QUOTES_ALL)

    def truth(self, first: date, last: date) -> pl.DataFrame:
        """No events: a replayed market has no planned ones."""
        del first, last
        return TRUTH.to_frame()

    def tickers(self, day: date | None = None) -> list[Row]:
        """One row per symbol of the bars: an active common stock. The date changes nothing."""
        del day
        return [_ticker_row(symbol) for symbol in self.symbols()]

    def details(self, symbol: str, day: date) -> Row | None:
        """The row of the list of tickers; None where the symbol has no bars. The date changes nothing."""
        del day
        return _ticker_row(symbol) if symbol in self.symbols() else None

    def splits(self) -> list[Row]:
        """None."""
        return []

    def floats(self) -> list[Row]:
        """None."""
        return []

    def short_interest(self) -> list[Row]:
        """None."""
        return []

    def _day_bar(self, symbol: str, day: date) -> pl.DataFrame:
        session = trading_day(day)
        bars = self.bars(symbol, day, day).unique(maintain_order=True)
        if session is None:
            return BARS.to_frame()
        at, volume = pl.col("timestamp").dt.epoch("ns"), pl.col("volume")
        # 0 and less mean that the file does not know them
        price, count = (pl.when(pl.col(name) > 0).then(name) for name in ("vwap", "transactions"))
        opens, closes = (session.start_ns + minute * NS_PER_MINUTE for minute in (RTH_OPEN, session.close))
        regular = bars.filter(at.is_between(opens, closes, closed="left"))
        if regular.is_empty():
            return BARS.to_frame()
        prices = regular.select(
            pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last()
        )
        whole = bars.select(
            volume.sum(),
            ((price * volume).sum() / volume.filter(price.is_not_null()).sum()).round(4).alias("vwap"),
            pl.when(count.is_not_null().all()).then(count.sum()).alias("transactions"),
        )
        stamp = pl.lit(midnight_ns(day)).cast(pl.Datetime("ns", "UTC")).dt.cast_time_unit("us")
        named = pl.select(pl.lit(symbol).alias("symbol"), stamp.alias("timestamp"))
        return pl.concat([named, prices, whole], how="horizontal").match_to_schema(BARS)


def _is_over(day: date, now_ns: int) -> bool:
    session = trading_day(day)
    return session is not None and session.start_ns + session.end * NS_PER_MINUTE <= now_ns


def _ticker_row(symbol: str) -> Row:
    return {
        "ticker": symbol,
        "name": symbol,
        "market": "stocks",
        "locale": "us",
        "primary_exchange": "XNAS",
        "type": "CS",
        "active": True,
        "currency_name": "usd",
    }
