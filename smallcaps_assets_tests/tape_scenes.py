"""A lake of one symbol and day with minute bars and tape that agree, for tests of what is computed from both."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS, QUOTES, TRADES
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets_tests.conftest import LATER, event, manifest_of
from smallcaps_assets_tests.scenarios import default_settings, new_york

DAY: Final = date(2025, 11, 5)
SYMBOL: Final = "AEMD"
MINUTE: Final = timedelta(minutes=1)
EARLY, OPENING, FIRST, SECOND = "early", "opening", "first", "second"
# of each event: its wave, its minute, and the window that `manifest_of` gives it
EVENTS: Final = {
    EARLY: ("PM", "2025-11-05 09:28"),
    OPENING: ("RTH", "2025-11-05 09:33"),
    FIRST: ("RTH", "2025-11-05 10:00"),
    SECOND: ("RTH", "2025-11-05 11:00"),
}
BEFORE, AFTER = 3, 7
# second of the minute, price, size
Trade = tuple[float, float, float]
TRADES_OF_MINUTE: Final[tuple[Trade, ...]] = ((10, 10.0, 100), (40, 10.01, 200))


def manifest_with(*names: str) -> pl.DataFrame:
    """The manifest of some of EVENTS."""
    rows = [event(at, event_id=name, session=wave) for name, (wave, at) in EVENTS.items() if name in names]
    return manifest_of(*rows, before=BEFORE, after=AFTER)


def window_of(name: str) -> tuple[datetime, datetime]:
    """The window of an event, UTC."""
    at = new_york(EVENTS[name][1]).astimezone(UTC)
    return at - BEFORE * MINUTE, at + AFTER * MINUTE


def trade_rows(start: datetime, end: datetime, other: dict[datetime, Sequence[Trade]] | None = None) -> pl.DataFrame:
    """The trades of whole minutes: TRADES_OF_MINUTE, or those of `other`."""
    rows: list[dict[str, Any]] = []
    minutes = [start + number * MINUTE for number in range((end - start) // MINUTE)]
    for minute in minutes:
        for second, price, size in (other or {}).get(minute, TRADES_OF_MINUTE):
            at = minute + timedelta(seconds=second)
            rows.append({"timestamp": at, "price": price, "size": size, "exchange": 11, "sequence_number": len(rows)})
    known = pl.DataFrame(rows, schema_overrides={name: TRADES[name] for name in rows[0]})
    return known.match_to_schema(TRADES, missing_columns="insert")


def quote_rows(start: datetime, end: datetime) -> pl.DataFrame:
    """A book of 9.99 by 10.01 from 5 s before the start on, confirmed every 10 s."""
    times = [start + timedelta(seconds=second) for second in range(-35, int((end - start).total_seconds()), 10)]
    opening = [moment for moment in times if moment < start][-1:]
    kept = [*opening, *(moment for moment in times if moment >= start)]
    sizes = [100.0 + number % 7 for number in range(len(kept))]
    known = pl.DataFrame(
        {
            "timestamp": kept, "bid_price": 9.99, "bid_size": sizes, "ask_price": 10.01, "ask_size": 200.0,
            "sequence_number": range(len(kept)),
        },
        schema={name: QUOTES[name] for name in (
            "timestamp", "bid_price", "bid_size", "ask_price", "ask_size", "sequence_number"
        )},
    )  # fmt: skip
    return known.match_to_schema(QUOTES, missing_columns="insert")


def capture(tape: TapeStore, name: str, kind: TapeKind, rows: pl.DataFrame | None = None) -> None:
    """Publish the tape of one event's window."""
    start, end = window_of(name)
    span = Span(SYMBOL, EVENTS[name][0], start, end, (name,))
    made = rows if rows is not None else trade_rows(start, end) if kind == "trades" else quote_rows(start, end)
    tape.publish(kind, span, made, {"fetched_at": LATER.isoformat()})


def fill_bars(lake: Lake, volume: float = 300.0) -> None:
    """Publish the bars of the day from 09:00 to 12:00, as TRADES_OF_MINUTE make them; `volume` is that of 10:30."""
    first = new_york("2025-11-05 09:00").astimezone(UTC)
    odd = new_york("2025-11-05 10:30").astimezone(UTC)
    rows = [
        (SYMBOL, minute, 10.0, 10.01, 10.0, 10.01, volume if minute == odd else 300.0, 3002.0 / 300, 2)
        for minute in (first + number * MINUTE for number in range(180))
    ]
    bars = pl.DataFrame(rows, schema=BARS, orient="row")
    BarsStore(lake).add(SYMBOL, DAY.replace(day=1), [DAY], bars, QUARANTINED_BARS.to_frame())


def tape_of(lake: Lake) -> TapeStore:
    """The tape of core."""
    return TapeStore(lake, "core", default_settings().profiles["core"])
