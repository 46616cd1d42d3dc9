"""Sessions of the New York Stock Exchange and their official closes, from exchange_calendars."""

from datetime import date

import polars as pl

from smallcaps_assets.domain.sessions import CALENDAR

_calendars: dict[tuple[int, int], pl.DataFrame] = {}


def _calendar(first_year: int, last_year: int) -> pl.DataFrame:
    """Official closes (CALENDAR) that include the years; cached, since building them takes a fifth of a second."""
    for (first, last), cached in [*_calendars.items()]:
        if first <= first_year and last_year <= last:
            return cached
    import exchange_calendars  # noqa: PLC0415 -- takes most of a second and imports pandas

    calendar = exchange_calendars.get_calendar("XNYS", start=f"{first_year}-01-01", end=f"{last_year}-12-31")
    closes = calendar.schedule["close"]
    table = pl.DataFrame(
        {"date": [day.date() for day in closes.index], "close": [close.to_pydatetime() for close in closes]},
        schema=CALENDAR,
    )
    return _calendars.setdefault((first_year, last_year), table)


def xnys_calendar(first: date, last: date) -> pl.DataFrame:
    """Official closes (CALENDAR) of the XNYS sessions from `first` to `last`, both included."""
    return _calendar(first.year, last.year).filter(pl.col("date").is_between(first, last))
