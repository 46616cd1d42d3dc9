"""Symbols and sessions of the tests of coverage, written as letters."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from smallcaps_assets.domain.bars.checks import SESSION_BARS
from smallcaps_assets.domain.bars.coverage import (
    COVERAGE,
    LISTING_DATES,
    coverage_table,
    session_states,
    symbols_to_report,
)
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat, new_york

# Monday to Friday of two weeks, and the Monday after; the month turns in the first week
EXPECTED = [date(2025, 10, day) for day in (27, 28, 29, 30, 31)] + [date(2025, 11, day) for day in (3, 4, 5, 6, 7, 10)]
OCTOBER, NOVEMBER = date(2025, 10, 1), date(2025, 11, 1)
PARAMS = default_settings().checks.bars


def listed(*rows: tuple[str, bool, date | None, date | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=LISTING_DATES, orient="row")


def here(**bars: str) -> pl.DataFrame:
    """Sessions by symbol, one letter for each expected one: `b` with 7 bars, `e` empty, `.` missing."""
    rows = [
        (symbol, day, 7 if letter == "b" else 0)
        for symbol, letters in bars.items()
        for day, letter in zip(EXPECTED, letters, strict=True)
        if letter != "."
    ]
    return pl.DataFrame(rows, schema=SESSION_BARS, orient="row")


def states_of(symbols: pl.DataFrame, sessions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The placed symbols, and the states of their sessions."""
    stock = symbols_to_report(symbols, sessions)
    return stock, session_states(stock, sessions, EXPECTED, EXPECTED, EXPECTED[0])


def counted(symbols: pl.DataFrame, sessions: pl.DataFrame) -> dict[tuple[str, date], dict[str, Any]]:
    stock, states = states_of(symbols, sessions)
    table = coverage_table(states, stock)
    assert table.schema == COVERAGE
    return {(row["symbol"], row["month"]): row for row in table.to_dicts()}


def counts_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """Expected, present, with bars, empty, empty between, missing, beyond."""
    names = ("expected", "here", "with_bars", "empty", "empty_between", "missing", "beyond")
    return tuple(row[f"sessions_{name}"] for name in names)


REJECTED = QUARANTINED_BARS.to_frame()
NOW = datetime(2025, 11, 11, 12, tzinfo=UTC)
SETTINGS = load_settings(
    overrides={
        "history": {"first_session": "2025-10-27", "last_session": "2025-11-10"},
        "checks": {"bars": {"min_active_symbols": 2, "active_minutes_pct": 50.0}},
    }
)


def stored(lake: Lake, symbol: str, letters: str, bars: Callable[[str, str], pl.DataFrame]) -> None:
    """Store sessions of a symbol as in `here`, with bars for each."""
    for month in (OCTOBER, NOVEMBER):
        added = [
            (day, letter)
            for day, letter in zip(EXPECTED, letters, strict=True)
            if letter != "." and day.replace(day=1) == month
        ]
        if added:
            made = [bars(f"{day}", symbol) for day, letter in added if letter == "b"]
            frame = pl.concat([BARS.to_frame(), *made]).sort("timestamp")
            BarsStore(lake).add(symbol, month, [day for day, _ in added], frame, REJECTED)


def regular(day: str, symbol: str, lost: tuple[int, int] = (0, 0)) -> pl.DataFrame:
    """All regular minutes of a day except from `lost[0]` to before `lost[1]`; volumes odd and even."""
    bars = bars_from(f"{day} 09:30", flat(390), symbol).with_columns(volume=pl.int_range(pl.len()).cast(pl.Float64) + 1)
    begin = new_york(f"{day} 09:30").astimezone(UTC)
    minute = (pl.col("timestamp") - begin).dt.total_minutes()
    return bars.filter(~minute.is_between(lost[0], lost[1], closed="left"))


def doubled(day: str, symbol: str) -> pl.DataFrame:
    return regular(day, symbol).with_columns(pl.col("volume") * 2)


def publish_universe(lake: Lake, **days: tuple[bool, date | None, date | None]) -> None:
    rows = [(symbol, *what) for symbol, what in days.items()]
    known = pl.DataFrame(rows, schema=LISTING_DATES, orient="row")
    UniverseStore(lake).replace(known.match_to_schema(UNIVERSE, missing_columns="insert"), {})
