"""A simulated market whose companies have a history: a ticker belongs to one company today and to another before."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL
from smallcaps_assets.simulated.corporate.companies import COMPANIES, Company, Tenure
from smallcaps_assets.simulated.hours import date_at_ns, midnight_ns, to_ns, trading_dates, utc_now
from smallcaps_assets.simulated.market.listings import Listing, list_companies
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.market.reference import details_row, float_row, settlement_dates, short_interest_rows
from smallcaps_assets.simulated.market.reference import split_row as split_of
from smallcaps_assets.simulated.source import TRUTH, Row

_FIGIS: Final = ("composite_figi", "share_class_figi")
_ONE_DAY: Final = timedelta(days=1)


class CorporateMarket:
    """The prices and trades of the simulated market, under the tickers that its companies have on each day.

    The trades of a company depend on seed and date, not on its ticker. A ticker has no data on days on which
    no company has it. A list of tickers as of a date has those listed then; its inactive ones are those delisted until
    then, with the day after their last one as the day of delisting.

    Args:
        seed: selects the market.
        companies: their histories.
        clock: the current time; no later data is returned.
    """

    def __init__(
        self, seed: int = 7, companies: Sequence[Company] = COMPANIES, clock: Callable[[], datetime] = utc_now
    ) -> None:
        count = max(company.number for company in companies) + 1
        self._market = SimulatedMarket(seed, count, clock)
        self._companies = tuple(companies)
        self._plain = list_companies(seed, count)
        self._clock = clock

    def symbols(self) -> list[str]:
        """Every ticker that any company ever had, sorted."""
        return sorted({tenure.ticker for company in self._companies for tenure in company.tenures})

    def days(self, symbol: str, first: date, last: date) -> list[date]:
        """Trading dates in [first, last] up to now on which a company has the ticker, ascending."""
        return sorted(
            day
            for company, begin, end in self._spans(symbol, first, last)
            for day in self._market.days(self._name(company), begin, end)
        )

    def bars(self, symbol: str, first: date, last: date) -> pl.DataFrame:
        """Complete minute bars (BARS) of the New York dates `first` to `last`, both included, by time."""
        return self._joined(symbol, first, last, self._market.bars)

    def daily(self, symbol: str, first: date, last: date) -> pl.DataFrame:
        """Day bars (BARS) of finished sessions."""
        return self._joined(symbol, first, last, self._market.daily)

    def trades(self, symbol: str, start_ns: int, end_ns: int) -> pl.DataFrame:
        """Trades (TRADES_ALL) with a SIP timestamp in [start_ns, end_ns), in SIP order, none after now."""
        return pl.concat([TRADES_ALL.to_frame(), *self._ticks(symbol, start_ns, end_ns, self._market.trades)])

    def quotes(self, symbol: str, start_ns: int, end_ns: int) -> pl.DataFrame:
        """Quotes (QUOTES_ALL) with a SIP timestamp in [start_ns, end_ns), in SIP order, none after now."""
        return pl.concat([QUOTES_ALL.to_frame(), *self._ticks(symbol, start_ns, end_ns, self._market.quotes)])

    def truth(self, first: date, last: date) -> pl.DataFrame:
        """The planned events (TRUTH), under the tickers of their days."""
        events = self._market.truth(first, last)
        frames = [TRUTH.to_frame()]
        for company in self._companies:
            mine = events.filter(pl.col("symbol") == self._name(company))
            day = pl.col("date").str.to_date()
            frames += [
                mine.filter(day.is_between(tenure.first, tenure.last or date.max)).with_columns(
                    symbol=pl.lit(tenure.ticker)
                )
                for tenure in company.tenures
            ]
        return pl.concat(frames).sort("symbol", "timestamp", "event_type")

    def tickers(self, day: date | None = None) -> list[Row]:
        """One row per ticker that is listed on a day, and one per earlier tenure of which the ticker was lost since.

        By ticker; those that are listed first.
        """
        asked = day or self._today()
        rows = [
            self._ticker_row(company, tenure, asked)
            for company in self._companies
            for tenure in company.tenures
            if tenure.holds(asked) or _was_lost(company, tenure, asked)
        ]
        return sorted(rows, key=lambda row: (str(row["ticker"]), not row["active"]))

    def details(self, symbol: str, day: date) -> Row | None:
        """The vendor's details of one ticker on a date; None where no company has it then."""
        for company in self._companies:
            tenure = company.on(day)
            if tenure is not None and tenure.ticker == symbol:
                return self._details(company, tenure, day)
        return None

    def ticker_events(self, identifier: str) -> Row | None:
        """The tickers that a company has had up to now, latest first; None where no company is meant.

        Args:
            identifier: a ticker, which means the company that has it today, or a composite FIGI.
        """
        today = self._today()
        for company in self._companies:
            past = [tenure for tenure in company.tenures if tenure.first <= today]
            has_ticker = any(tenure.ticker == identifier and tenure.holds(today) for tenure in past)
            has_figi = any(tenure.has_figi for tenure in past) and identifier == self.figis(company)[0]
            if not (has_ticker or has_figi):
                continue
            known = self._identity(company, past[-1])
            before = [None, *(tenure.ticker for tenure in past)]
            changes = [
                {"ticker_change": {"ticker": one.ticker}, "type": "ticker_change", "date": one.first.isoformat()}
                for one, ticker in zip(past, before, strict=False)
                if one.ticker != ticker
            ]
            fields = {name: known[name] for name in ("name", "composite_figi", "cik") if name in known}
            return fields | {"events": changes[::-1]}
        return None

    def splits(self) -> list[Row]:
        """The splits executed up to now, under the tickers of their days."""
        today, rows = self._today().isoformat(), []
        for company in self._companies:
            row = split_of(self._plain[company.number])
            if row is not None and str(row["execution_date"]) <= today:
                tenure = company.on(date.fromisoformat(str(row["execution_date"])))
                rows += [] if tenure is None else [row | {"ticker": tenure.ticker}]
        return sorted(rows, key=lambda row: str(row["ticker"]))

    def floats(self) -> list[Row]:
        """The latest free float of those that are listed today, where it is known."""
        today = self._today()
        rows = ((tenure.ticker, float_row(self._plain[company.number], today)) for company, tenure in self._listed())
        return sorted((row | {"ticker": ticker} for ticker, row in rows if row is not None), key=_by_ticker)

    def short_interest(self) -> list[Row]:
        """Short interest of the last year of those that are listed today, by ticker and date."""
        dates = settlement_dates(self._today())
        rows = [
            row | {"ticker": tenure.ticker}
            for company, tenure in self._listed()
            for row in short_interest_rows(self._plain[company.number], dates)
        ]
        return sorted(rows, key=_by_ticker)

    def _name(self, company: Company) -> str:
        """The company's ticker in the plain simulated market."""
        return self._plain[company.number].symbol

    def _today(self) -> date:
        return date_at_ns(to_ns(self._clock()))

    def _listed(self) -> Iterator[tuple[Company, Tenure]]:
        for company in self._companies:
            tenure = company.on(self._today())
            if tenure is not None:
                yield company, tenure

    def _spans(self, symbol: str, first: date, last: date) -> Iterator[tuple[Company, date, date]]:
        """The companies that have a ticker within a time, each with the days of it, by time."""
        spans = [
            (max(first, tenure.first), min(last, tenure.last or date.max), company)
            for company in self._companies
            for tenure in company.tenures
            if tenure.ticker == symbol
        ]
        for begin, end, company in sorted(spans, key=lambda span: span[0]):
            if begin <= end:
                yield company, begin, end

    def _joined(
        self, symbol: str, first: date, last: date, fetch: Callable[[str, date, date], pl.DataFrame]
    ) -> pl.DataFrame:
        frames = [
            fetch(self._name(company), begin, end).with_columns(symbol=pl.lit(symbol))
            for company, begin, end in self._spans(symbol, first, last)
        ]
        return pl.concat([BARS.to_frame(), *frames])

    def _ticks(
        self, symbol: str, start_ns: int, end_ns: int, fetch: Callable[[str, int, int], pl.DataFrame]
    ) -> Iterator[pl.DataFrame]:
        if start_ns < end_ns:
            for company, begin, end in self._spans(symbol, date_at_ns(start_ns), date_at_ns(end_ns - 1)):
                since, until = midnight_ns(begin), midnight_ns(end + _ONE_DAY)
                yield fetch(self._name(company), max(start_ns, since), min(end_ns, until))

    def _ticker_row(self, company: Company, tenure: Tenure, day: date) -> Row:
        is_listed = tenure.holds(day)
        row = self._identity(company, tenure) | {"active": is_listed}
        if not is_listed and tenure.last is not None:
            row["delisted_utc"] = f"{_next_session(tenure.last).isoformat()}T04:00:00Z"
        return row | {"last_updated_utc": f"{day.isoformat()}T00:00:00Z"}

    def _identity(self, company: Company, tenure: Tenure) -> Row:
        listing = self._plain[company.number]
        return {
            "ticker": tenure.ticker,
            "name": f"Company {company.number} Simulated Holdings",
            "market": "stocks",
            "locale": "us",
            "primary_exchange": tenure.exchange,
            "type": tenure.type,
            "currency_name": "usd",
            "cik": f"{9_000_000 + listing.index:010d}",
            **(dict(zip(_FIGIS, self.figis(company), strict=True)) if tenure.has_figi else {}),
        }

    def figis(self, company: Company) -> tuple[str, str]:
        """The composite and the share class FIGI of a company."""
        return f"BBGSIM{company.number:06d}", f"BBGSIC{company.number:06d}"

    def _details(self, company: Company, tenure: Tenure, day: date) -> Row:
        listing: Listing = self._plain[company.number]
        row = {name: value for name, value in details_row(listing, day).items() if name not in _FIGIS}
        shares = company.shares_on(day, int(str(row["share_class_shares_outstanding"])))
        return (
            row
            | self._identity(company, tenure)
            | {
                "market_cap": shares * listing.level_cents(day) / 100,
                "share_class_shares_outstanding": shares,
                "weighted_shares_outstanding": shares,
                "list_date": company.tenures[0].first.isoformat(),
                "ticker_root": tenure.ticker.split(".")[0],
            }
        )


def _was_lost(company: Company, tenure: Tenure, day: date) -> bool:
    """Whether a tenure was over before a day without another one under the same ticker that followed at once."""
    if tenure.last is None or tenure.last >= day:
        return False
    following = company.on(_next_session(tenure.last))
    return following is None or following.ticker != tenure.ticker


def _next_session(day: date) -> date:
    return trading_dates(day + _ONE_DAY, day + timedelta(days=7))[0]


def _by_ticker(row: Row) -> str:
    return str(row["ticker"])
