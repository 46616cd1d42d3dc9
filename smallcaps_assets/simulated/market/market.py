"""A simulated market of small caps; every day is reproducible from a seed, a symbol and a date.

The trades of a day (gaps, runners, reclaims, halts, odd lots, Form T prints) follow its plan; `truth` lists the events
of the plans.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL, UTC_NS, UTC_US
from smallcaps_assets.simulated.hours import (
    NS_PER_MINUTE,
    NS_PER_SECOND,
    TradingDay,
    date_at_ns,
    midnight_ns,
    to_ns,
    trading_dates,
    trading_day,
    utc_now,
)
from smallcaps_assets.simulated.market.aggregation import Candles, day_candle, minute_candles
from smallcaps_assets.simulated.market.book import Book, draw_book
from smallcaps_assets.simulated.market.cache import ByteCache
from smallcaps_assets.simulated.market.drill.company import DRILL_SYMBOL, DrillCompany
from smallcaps_assets.simulated.market.drill.day import DrillDay, draw_drill_day
from smallcaps_assets.simulated.market.drill.plan import plan_drill
from smallcaps_assets.simulated.market.drill.sides import BUY, NO_SIDE
from smallcaps_assets.simulated.market.frames import bars_frame, quotes_frame, trades_frame
from smallcaps_assets.simulated.market.listings import HISTORY_BEGINS, Listing, list_companies
from smallcaps_assets.simulated.market.noise import Ints
from smallcaps_assets.simulated.market.plan import DayPlan, plan_day
from smallcaps_assets.simulated.market.reference import (
    details_row,
    float_row,
    settlement_dates,
    short_interest_rows,
    split_row,
    ticker_row,
)
from smallcaps_assets.simulated.market.tape import Tape, draw_tape
from smallcaps_assets.simulated.source import AGGRESSORS, PLANTS, TRUTH, Row

TICKS_CACHE_BYTES: Final = 160_000_000
BARS_CACHE_BYTES: Final = 40_000_000
DAY_BARS_CACHE_BYTES: Final = 4_000_000
DRILL_CACHE_BYTES: Final = 40_000_000


class SimulatedMarket:
    """`symbols` companies under one seed. A day depends on seed, symbol and date only, never on earlier calls.

    Args:
        seed: selects the market.
        symbols: number of companies, 1 to 100,000; the first twelve include the special cases.
        clock: the current time; no later data is returned.
        drill: add the company DRILL, in which what the research tables must find is planted.

    Raises:
        InputError: `symbols` is out of bounds.
    """

    def __init__(
        self, seed: int = 7, symbols: int = 12, clock: Callable[[], datetime] = utc_now, *, drill: bool = False
    ) -> None:
        companies: list[Listing] = [*list_companies(seed, symbols), *([DrillCompany(seed)] if drill else [])]
        self._listings = {listing.symbol: listing for listing in companies}
        self._clock = clock
        self._ticks: ByteCache[Tape | Book] = ByteCache(TICKS_CACHE_BYTES, lambda value: value.nbytes)
        self._minutes: ByteCache[Candles] = ByteCache(BARS_CACHE_BYTES, lambda value: value.nbytes)
        self._days: ByteCache[Candles] = ByteCache(DAY_BARS_CACHE_BYTES, lambda value: value.nbytes)
        self._drills: ByteCache[DrillDay] = ByteCache(DRILL_CACHE_BYTES, lambda value: value.nbytes)
        self._short_interest: tuple[date, list[Row]] | None = None

    def symbols(self) -> list[str]:
        """Every listed symbol in the order of the listing, also those that never trade."""
        return list(self._listings)

    def days(self, symbol: str, first: date, last: date) -> list[date]:
        """Trading dates in [first, last] up to now, ascending; empty for unknown and silent symbols."""
        listing = self._listings.get(symbol)
        if listing is None or listing.is_silent:
            return []
        return trading_dates(max(first, HISTORY_BEGINS), min(last, date_at_ns(self._now_ns())))

    def bars(self, symbol: str, first: date, last: date) -> pl.DataFrame:
        """Complete minute bars (schema BARS) of the New York dates `first` to `last`, both included.

        Every bar is the aggregation of the minute's trades under the vendor's condition rules; a minute in which no
        trade may set open and close has no bar.
        """
        days = [
            (session.start_ns, self._minutes_of(listing, session))
            for listing, session in self._sessions(symbol, first, last)
        ]
        if not days:
            return BARS.to_frame()
        complete_before = datetime.fromtimestamp(self._now_ns() // NS_PER_SECOND, UTC) - timedelta(minutes=1)
        return bars_frame(symbol, days).filter(pl.col("timestamp") <= complete_before)

    def daily(self, symbol: str, first: date, last: date) -> pl.DataFrame:
        """Day bars (schema BARS) of finished sessions: prices from regular hours, volume from the whole day."""
        days = [
            (midnight_ns(session.day), self._day_of(listing, session))
            for listing, session in self._sessions(symbol, first, last)
            if session.start_ns + session.end * NS_PER_MINUTE <= self._now_ns()
        ]
        return bars_frame(symbol, days)

    def trades(self, symbol: str, start_ns: int, end_ns: int) -> pl.DataFrame:
        """Trades (schema TRADES_ALL) with a SIP timestamp in [start_ns, end_ns), in SIP order, none after now."""
        frames = [
            trades_frame(tape, rows, listing.venue[1])
            for listing, session in self._sessions_within(symbol, start_ns, end_ns)
            for tape in (self._tape_of(listing, session),)
            for rows in (self._rows(tape.timestamp, start_ns, end_ns),)
        ]
        return pl.concat(frames) if frames else TRADES_ALL.to_frame()

    def quotes(self, symbol: str, start_ns: int, end_ns: int) -> pl.DataFrame:
        """Quotes (schema QUOTES_ALL) with a SIP timestamp in [start_ns, end_ns), in SIP order, none after now.

        Sizes are shares on every date.
        """
        frames = [
            quotes_frame(book, rows, listing.venue[1])
            for listing, session in self._sessions_within(symbol, start_ns, end_ns)
            for book in (self._book_of(listing, session),)
            for rows in (self._rows(book.timestamp, start_ns, end_ns),)
        ]
        return pl.concat(frames) if frames else QUOTES_ALL.to_frame()

    def truth(self, first: date, last: date) -> pl.DataFrame:
        """The planned events of the dates `first` to `last`, both included, whose bars are complete now.

        Returns:
            symbol, date (New York, YYYY-MM-DD), event_type, direction, timestamp (start of the planned bar) and story,
            by symbol and time. The bars meet section 3 of the specification; the global filters are not applied.
        """
        now_ns = self._now_ns()
        rows = [
            (symbol, session.day.isoformat(), event.event_type, event.direction, at_ns // 1000, event.story)
            for symbol in self._listings
            for listing, session in self._sessions(symbol, first, last)
            for event in _plan(listing, session).events
            for at_ns in (session.start_ns + event.minute * NS_PER_MINUTE,)
            if at_ns + NS_PER_MINUTE <= now_ns
        ]
        raw = pl.Schema({**TRUTH, "timestamp": pl.Int64()})
        frame = pl.DataFrame(rows, schema=raw, orient="row").with_columns(pl.col("timestamp").cast(UTC_US))
        return frame.sort("symbol", "timestamp", "event_type")

    def plants(self, first: date, last: date) -> pl.DataFrame:
        """What is planted in DRILL on the dates `first` to `last`, both included, and over now (PLANTS).

        Sorted by start, kind and end; empty without DRILL.
        """
        now_ns = self._now_ns()
        rows = [
            (DRILL_SYMBOL, session.day.isoformat(), *plant)
            for company, session in self._drilled(first, last)
            for plant in self._drill_of(company, session).plants
            if plant.end_ns <= now_ns
        ]
        raw = pl.Schema({**PLANTS, "start": pl.Int64(), "end": pl.Int64()})
        frame = pl.DataFrame(rows, schema=raw, orient="row").with_columns(pl.col("start", "end").cast(UTC_NS))
        return frame.sort("start", "kind", "end")

    def sides(self, first: date, last: date) -> pl.DataFrame:
        """The aggressor of each trade of DRILL that has one, on the dates `first` to `last` inclusive (AGGRESSORS)."""
        now_ns = self._now_ns()
        frames = [AGGRESSORS.to_frame()]
        for company, session in self._drilled(first, last):
            day = self._drill_of(company, session)
            tape = day.planted.tape
            frame = pl.DataFrame({"at": tape.timestamp, "sequence_number": tape.sequence, "side": day.side})
            known = frame.filter(pl.col("side") != NO_SIDE, pl.col("at") <= now_ns).with_columns(
                symbol=pl.lit(DRILL_SYMBOL),
                timestamp=pl.col("at").cast(UTC_NS),
                side=pl.when(pl.col("side") == BUY).then(pl.lit("buy")).otherwise(pl.lit("sell")),
            )
            frames.append(known.select(*AGGRESSORS))
        return pl.concat(frames)

    def tickers(self, day: date | None = None) -> list[Row]:
        """One row per symbol as the vendor lists it, by symbol; none on a day before history begins."""
        today = self._today()
        if day is not None and day < HISTORY_BEGINS:
            return []
        return [ticker_row(self._listings[symbol], today) for symbol in sorted(self._listings)]

    def details(self, symbol: str, day: date) -> Row | None:
        """The vendor's details of one symbol on a date; None where it is unknown."""
        listing = self._listings.get(symbol)
        return None if listing is None else details_row(listing, day)

    def splits(self) -> list[Row]:
        """The splits executed up to now, by symbol."""
        today = self._today().isoformat()
        rows = (split_row(listing) for listing in self._listings.values())
        return [row for row in rows if row is not None and str(row["execution_date"]) <= today]

    def floats(self) -> list[Row]:
        """The latest free float where it is known, by symbol; as with the vendor, there is no history."""
        today = self._today()
        rows = (float_row(self._listings[symbol], today) for symbol in sorted(self._listings))
        return [row for row in rows if row is not None]

    def short_interest(self) -> list[Row]:
        """Short interest of the settlement dates of the last year, by symbol and date."""
        today = self._today()
        if self._short_interest is None or self._short_interest[0] != today:
            dates = settlement_dates(today)
            rows = [
                row for symbol in sorted(self._listings) for row in short_interest_rows(self._listings[symbol], dates)
            ]
            self._short_interest = (today, rows)
        return self._short_interest[1]

    def _now_ns(self) -> int:
        return to_ns(self._clock())

    def _today(self) -> date:
        return date_at_ns(self._now_ns())

    def _sessions(self, symbol: str, first: date, last: date) -> Iterator[tuple[Listing, TradingDay]]:
        for day in self.days(symbol, first, last):
            session = trading_day(day)
            if session is not None:
                yield self._listings[symbol], session

    def _drilled(self, first: date, last: date) -> Iterator[tuple[DrillCompany, TradingDay]]:
        for listing, session in self._sessions(DRILL_SYMBOL, first, last):
            if isinstance(listing, DrillCompany):
                yield listing, session

    def _drill_of(self, company: DrillCompany, session: TradingDay) -> DrillDay:
        return self._drills.get(session.day, lambda: draw_drill_day(company, session))

    def _sessions_within(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[tuple[Listing, TradingDay]]:
        if start_ns < end_ns:
            yield from self._sessions(symbol, date_at_ns(start_ns), date_at_ns(end_ns - 1))

    def _rows(self, timestamps: Ints, start_ns: int, end_ns: int) -> slice:
        end_ns = min(end_ns, self._now_ns() + 1)
        return slice(*(int(np.searchsorted(timestamps, bound)) for bound in (start_ns, max(start_ns, end_ns))))

    def _tape_of(self, listing: Listing, session: TradingDay) -> Tape:
        if isinstance(listing, DrillCompany):
            return self._drill_of(listing, session).planted.tape
        made = self._ticks.get(
            ("tape", listing.symbol, session.day), lambda: draw_tape(listing, plan_day(listing, session))
        )
        assert isinstance(made, Tape)  # noqa: S101 -- the key says so
        return made

    def _book_of(self, listing: Listing, session: TradingDay) -> Book:
        if isinstance(listing, DrillCompany):
            return self._drill_of(listing, session).book
        made = self._ticks.get(
            ("book", listing.symbol, session.day),
            lambda: draw_book(listing, plan_day(listing, session), self._tape_of(listing, session)),
        )
        assert isinstance(made, Book)  # noqa: S101 -- the key says so
        return made

    def _minutes_of(self, listing: Listing, session: TradingDay) -> Candles:
        if isinstance(listing, DrillCompany):
            return self._drill_of(listing, session).minutes

        def make() -> Candles:
            return minute_candles(draw_tape(listing, plan_day(listing, session)), session)

        return self._minutes.get((listing.symbol, session.day), make)

    def _day_of(self, listing: Listing, session: TradingDay) -> Candles:
        if isinstance(listing, DrillCompany):
            return self._drill_of(listing, session).day

        def make() -> Candles:
            return day_candle(draw_tape(listing, plan_day(listing, session)), session)

        return self._days.get((listing.symbol, session.day), make)


def _plan(listing: Listing, session: TradingDay) -> DayPlan:
    return plan_drill(listing, session) if isinstance(listing, DrillCompany) else plan_day(listing, session)
