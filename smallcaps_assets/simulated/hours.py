"""Trading days of the simulated exchange: minutes from 04:00 New York time, XNYS sessions, early closes."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

NEW_YORK_ZONE: Final = ZoneInfo("America/New_York")
NS_PER_SECOND: Final = 1_000_000_000
NS_PER_MINUTE: Final = 60 * NS_PER_SECOND

FIRST_HOUR: Final = 4
RTH_OPEN: Final = 330
REGULAR_CLOSE: Final = 720
AFTER_HOURS_MINUTES: Final = 240
_NEVER: Final = -1


@dataclass(frozen=True)
class TradingDay:
    """One trading day; minutes count from 04:00 New York time, ends are excluded."""

    day: date
    close: int

    @property
    def end(self) -> int:
        """The minute at which after-hours trading ends: four hours after the close."""
        return self.close + AFTER_HOURS_MINUTES

    @property
    def start_ns(self) -> int:
        """04:00 New York time in UTC nanoseconds."""
        return int(datetime.combine(self.day, time(FIRST_HOUR), NEW_YORK_ZONE).timestamp()) * NS_PER_SECOND


@cache
def _closes(decade: int) -> dict[date, int]:
    """The sessions of ten years, such as 201 for 2010 to 2019, and the minute of their close."""
    import exchange_calendars  # noqa: PLC0415 -- takes half a second and imports pandas

    calendar = exchange_calendars.get_calendar("XNYS", start=f"{decade}0-01-01", end=f"{decade}9-12-31")
    early = {session.date() for session in calendar.early_closes}
    closes: dict[date, int] = {}
    for session in calendar.sessions:
        day = session.date()
        closes[day] = _close_minute(calendar.session_close(session)) if day in early else REGULAR_CLOSE
    return closes


def _close_minute(close: datetime) -> int:
    local = close.astimezone(NEW_YORK_ZONE)
    return (local.hour - FIRST_HOUR) * 60 + local.minute


def trading_day(day: date) -> TradingDay | None:
    """The trading day of a date, in any year; None on weekends and holidays."""
    close = _closes(day.year // 10).get(day, _NEVER)
    return None if close == _NEVER else TradingDay(day, close)


def trading_dates(first: date, last: date) -> list[date]:
    """Trading dates from `first` to `last`, both included, ascending."""
    days = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
    return [day for day in days if day in _closes(day.year // 10)]


def business_day(day: date) -> int:
    """A number that grows by one from weekday to weekday, independent of the installed calendar."""
    weeks, weekday = divmod(day.toordinal() - 1, 7)
    return weeks * 5 + min(weekday, 4)


def date_at_ns(at_ns: int) -> date:
    """The New York date of a UTC nanosecond timestamp."""
    return datetime.fromtimestamp(at_ns // NS_PER_SECOND, UTC).astimezone(NEW_YORK_ZONE).date()


def midnight_ns(day: date) -> int:
    """00:00 New York time of a date in UTC nanoseconds."""
    return int(datetime.combine(day, time(0), NEW_YORK_ZONE).timestamp()) * NS_PER_SECOND


def utc_now() -> datetime:
    """The present moment, zone-aware, in UTC."""
    return datetime.now(UTC)


def to_ns(moment: datetime) -> int:
    """A zone-aware datetime in UTC nanoseconds, exact to the microsecond."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
