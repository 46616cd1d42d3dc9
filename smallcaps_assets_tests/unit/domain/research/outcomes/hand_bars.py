"""Bars and events written by hand, and the bars after them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.research.outcomes.bars_after import BarsAfter, bars_after
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.tables import BARS, UTC_US
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets_tests.scenarios import default_settings

DAY = date(2025, 11, 12)
# the early close after Thanksgiving: RTH ends at 13:00, after-hours at 17:00
HALF_DAY = date(2025, 11, 28)
SESSIONS = sessions_between(date(2025, 10, 27), date(2025, 12, 1), default_settings().sessions)
# clock, open, high, low, close
Bar = tuple[str, float, float, float, float]


def at(clock: str, day: date = DAY) -> datetime:
    """A New York time of a day, in UTC."""
    local = datetime.combine(day, datetime.strptime(clock, "%H:%M").time(), ZoneInfo("America/New_York"))  # noqa: DTZ007
    return local.astimezone(UTC)


def bars_of(rows: Sequence[Bar], symbol: str = "AAA", day: date = DAY, transactions: int | None = 10) -> pl.DataFrame:
    """BARS."""
    full = [(symbol, at(clock, day), *prices, 100.0, None, transactions) for clock, *prices in rows]
    return pl.DataFrame(full, BARS, orient="row")


def flat(clock: str, minutes: int, price: float) -> list[Bar]:
    """Bars of one price, one a minute."""
    start = datetime.strptime(clock, "%H:%M")  # noqa: DTZ007
    times = (start + timedelta(minutes=minute) for minute in range(minutes))
    return [(f"{time:%H:%M}", price, price, price, price) for time in times]


def events_at(*clocks: str, symbol: str = "AAA", day: date = DAY, direction: str = "up") -> pl.DataFrame:
    """Events, as far as outcomes read them."""
    rows = [(f"{symbol} {clock}", symbol, at(clock, day), direction, True) for clock in clocks]
    schema = {"event_id": pl.String, "symbol": pl.String, "timestamp": UTC_US, "direction": pl.String}
    return pl.DataFrame(rows, schema | {"in_master": pl.Boolean}, orient="row")


def label_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Those of the bars that lie in sessions, in order, with `day` and `session`."""
    ordered = bars.sort("symbol", "timestamp")
    return with_session(ordered, SESSIONS).filter(pl.col("day").is_not_null())


def after(events: pl.DataFrame, *bars: pl.DataFrame) -> BarsAfter:
    """The bars after events."""
    return bars_after(events, label_bars(pl.concat(bars)), SESSIONS)
