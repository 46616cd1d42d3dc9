"""Reference data of the simulated companies, as the vendor serves it."""

import calendar
from datetime import date, timedelta
from typing import Final

from smallcaps_assets.simulated.hours import trading_dates
from smallcaps_assets.simulated.market.listings import HISTORY_BEGINS, Listing
from smallcaps_assets.simulated.market.noise import Noise
from smallcaps_assets.simulated.source import Row

_PUBLICATION_LAG: Final = timedelta(days=11)
_YEAR: Final = timedelta(days=365)
_UNKNOWN_SHORT_INTEREST: Final = 7
_CROWDED_SHORT: Final = 9
_CALM_MINUTES_A_DAY: Final = 550


def ticker_row(listing: Listing, today: date) -> Row:
    """A row of the list of tickers."""
    return {
        "ticker": listing.symbol,
        "name": f"{listing.symbol.capitalize()} Simulated Holdings",
        "market": "stocks",
        "locale": "us",
        "primary_exchange": listing.venue[0],
        "type": listing.type,
        "active": True,
        "currency_name": "usd",
        "cik": f"{9_000_000 + listing.index:010d}",
        "composite_figi": f"BBGSIM{listing.index:06d}",
        "share_class_figi": f"BBGSIC{listing.index:06d}",
        "last_updated_utc": f"{today.isoformat()}T00:00:00Z",
    }


def details_row(listing: Listing, day: date) -> Row:
    """The details of one ticker on a date: shares as of that date, market cap at that day's first price."""
    shares = listing.shares_outstanding
    if listing.split is not None and day < listing.split.day:
        shares *= listing.split.ratio
    row = ticker_row(listing, day)
    del row["last_updated_utc"]
    return row | {
        "market_cap": shares * listing.level_cents(day) / 100,
        "share_class_shares_outstanding": shares,
        "weighted_shares_outstanding": shares,
        "round_lot": 100,
        "list_date": HISTORY_BEGINS.isoformat(),
        "sic_code": "3674",
        "sic_description": "SIMULATED",
        "ticker_root": listing.symbol.split(".")[0],
        "description": "A company of the simulated market.",
    }


def split_row(listing: Listing) -> Row | None:
    """The one reverse split of a symbol, or None."""
    if listing.split is None:
        return None
    return {
        "ticker": listing.symbol,
        "execution_date": listing.split.day.isoformat(),
        "split_from": listing.split.ratio,
        "split_to": 1,
    }


def float_row(listing: Listing, today: date) -> Row | None:
    """The latest free float, or None where it is unknown."""
    if listing.float_shares is None:
        return None
    return {
        "ticker": listing.symbol,
        "effective_date": today.replace(day=1).isoformat(),
        "free_float": listing.float_shares,
        "free_float_percent": round(100 * listing.float_shares / listing.shares_outstanding, 2),
    }


def short_interest_rows(listing: Listing, settlements: list[date]) -> list[Row]:
    """One row per settlement date; none for a symbol in twelve. One in twelve is crowded: 45 percent of the float.

    Equal at every settlement, so that the events that pass a filter do not depend on the day of the request.
    """
    if listing.index % 12 == _UNKNOWN_SHORT_INTEREST or listing.is_silent:
        return []
    free = listing.float_shares if listing.float_shares is not None else 20_000_000
    daily = listing.dollars_per_minute * 100 // listing.base_cents * _CALM_MINUTES_A_DAY
    crowded = listing.index % 12 == _CROWDED_SHORT
    per_mille = 450 if crowded else Noise(listing.seed, listing.symbol, "short").one(0, 10, 45)
    short = free * per_mille // 1000
    return [
        {
            "ticker": listing.symbol,
            "settlement_date": day.isoformat(),
            "short_interest": short,
            "avg_daily_volume": daily,
            "days_to_cover": max(round(short / daily, 2), 1.0),
        }
        for day in settlements
    ]


def settlement_dates(today: date) -> list[date]:
    """The settlement dates of the last year that are published: mid-month and month-end, moved back to a session."""
    dates = []
    day = (today - _YEAR).replace(day=1)
    while day <= today:
        for nominal in (day.replace(day=15), day.replace(day=calendar.monthrange(day.year, day.month)[1])):
            if nominal + _PUBLICATION_LAG <= today:
                dates.extend(trading_dates(nominal - timedelta(days=6), nominal)[-1:])
        day = (day + timedelta(days=32)).replace(day=1)
    return dates
