"""Market status, holidays and trade conditions as the vendor serves them."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from smallcaps_assets.simulated.hours import (
    NEW_YORK_ZONE,
    NS_PER_MINUTE,
    REGULAR_CLOSE,
    RTH_OPEN,
    TradingDay,
    to_ns,
    trading_dates,
    trading_day,
)
from smallcaps_assets.simulated.market.conditions import HIGH_LOW, OPEN_CLOSE, TRADE_CONDITIONS, VOLUME, Condition
from smallcaps_assets.simulated.source import Row

_HORIZON: Final = timedelta(days=365)
_FRIDAY: Final = 4
_NAMES: Final = {
    1: "New Years Day",
    2: "Washington's Birthday",
    3: "Good Friday",
    4: "Good Friday",
    5: "Memorial Day",
    6: "Juneteenth",
    7: "Independence Day",
    9: "Labor Day",
    11: "Thanksgiving",
    12: "Christmas",
}
_MARTIN_LUTHER_KING_FROM: Final = 10


def upcoming(now: datetime) -> list[Row]:
    """Holidays and early closes of the next year, one row per exchange, by date."""
    today = now.astimezone(NEW_YORK_ZONE).date()
    open_days = set(trading_dates(today, today + _HORIZON))
    last = max(open_days, default=today)
    rows: list[Row] = []
    for offset in range((last - today).days + 1):
        day = today + timedelta(days=offset)
        session = trading_day(day)
        if session is None and day.weekday() <= _FRIDAY:
            rows.extend(
                {"exchange": name, "name": _name(day), "date": day.isoformat(), "status": "closed"}
                for name in _EXCHANGES
            )
        elif session is not None and session.close != REGULAR_CLOSE:
            rows.extend(_early_close(name, session) for name in _EXCHANGES)
    return rows


_EXCHANGES: Final = ("NYSE", "NASDAQ")


def _early_close(exchange: str, session: TradingDay) -> Row:
    return {
        "exchange": exchange,
        "name": _name(session.day),
        "date": session.day.isoformat(),
        "status": "early-close",
        "open": _utc_text(session.day, RTH_OPEN),
        "close": _utc_text(session.day, session.close),
    }


def _utc_text(day: date, minute: int) -> str:
    local = datetime.combine(day, time(4 + minute // 60, minute % 60), NEW_YORK_ZONE)
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _name(day: date) -> str:
    if day.month == 1 and day.day > _MARTIN_LUTHER_KING_FROM:
        return "Martin Luther King, Jr. Day"
    return _NAMES.get(day.month, "Holiday")


def market_status(now: datetime) -> Row:
    """/v1/marketstatus/now."""
    session = trading_day(now.astimezone(NEW_YORK_ZONE).date())
    minute = -1 if session is None else (to_ns(now) - session.start_ns) // NS_PER_MINUTE
    early = session is not None and 0 <= minute < RTH_OPEN
    regular = session is not None and RTH_OPEN <= minute < session.close
    late = session is not None and session.close <= minute < session.end
    word = "open" if regular else "extended-hours" if early or late else "closed"
    return {
        "afterHours": late,
        "currencies": {"crypto": "open", "fx": "open"},
        "earlyHours": early,
        "exchanges": {"nasdaq": word, "nyse": word, "otc": "open" if regular else "closed"},
        "market": word,
        "serverTime": now.astimezone(NEW_YORK_ZONE).isoformat(timespec="seconds"),
    }


def condition_rows(data_type: str | None) -> list[Row]:
    """Trade conditions with their update rules; none for other data types."""
    if data_type not in (None, "trade"):
        return []
    return [_condition_row(condition) for condition in TRADE_CONDITIONS]


# id, type, name, MIC of the market itself and of its operator
_STOCK_EXCHANGES: Final = (
    (1, "exchange", "NYSE American", "XASE", "XNYS"),
    (2, "exchange", "Nasdaq BX", "XBOS", "XNAS"),
    (4, "TRF", "FINRA trade reporting facilities", "FINR", "FINR"),
    (7, "exchange", "Cboe EDGA", "EDGA", "XCBO"),
    (8, "exchange", "Cboe EDGX", "EDGX", "XCBO"),
    (10, "exchange", "New York Stock Exchange", "XNYS", "XNYS"),
    (11, "exchange", "NYSE Arca", "ARCX", "XNYS"),
    (12, "exchange", "Nasdaq", "XNAS", "XNAS"),
    (15, "exchange", "Investors Exchange", "IEXG", "IEXG"),
    (18, "exchange", "Cboe BYX", "BATY", "XCBO"),
    (19, "exchange", "Cboe BZX", "BATS", "XCBO"),
    (21, "exchange", "Members Exchange", "MEMX", "MEMX"),
)


def exchange_rows() -> list[Row]:
    """Exchanges of stocks, of which the trades here are, and the off-exchange facilities."""
    return [
        {
            "id": number,
            "type": kind,
            "name": name,
            "mic": mic,
            "operating_mic": operator,
            "asset_class": "stocks",
            "locale": "us",
        }
        for number, kind, name, mic, operator in _STOCK_EXCHANGES
    ]


def _condition_row(condition: Condition) -> Row:
    mapping = {name: code for name, code in (("CTA", condition.cta), ("UTP", condition.utp)) if code is not None}
    row: Row = {
        "id": condition.id,
        "type": "sale_condition",
        "name": condition.name,
        "asset_class": "stocks",
        "sip_mapping": mapping,
        "data_types": ["trade"],
    }
    if condition.rules is not None:
        rules = {
            "updates_high_low": bool(condition.rules & HIGH_LOW),
            "updates_open_close": bool(condition.rules & OPEN_CLOSE),
            "updates_volume": bool(condition.rules & VOLUME),
        }
        row["update_rules"] = {"consolidated": rules, "market_center": rules}
    return row
