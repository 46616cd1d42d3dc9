"""Events as an earlier system stored them: good ones, copies, rivals, bad rows; and the command that imports them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets_tests.scenarios import new_york

COLUMNS = list(EVENTS)[:17]
OLD = {
    **dict.fromkeys(COLUMNS, pl.Float32),
    **dict.fromkeys(("symbol", "event_type", "direction", "session", "event_bias", "close_vs_open"), pl.String),
    "timestamp": pl.Datetime("ms"),
    "date": pl.Date,
    "tier": pl.Int32,
    "volume": pl.Int64,
    "score": pl.Float64,
}


def old(at: str, symbol: str, session: str = "RTH", score: float = 0.5, **values: Any) -> dict[str, Any]:
    """A row of the earlier table at a New York time, with date and session by the UTC clock."""
    moment = new_york(at).astimezone(UTC).replace(tzinfo=None)
    return {
        "symbol": symbol,
        "event_type": "volume_spike",
        "timestamp": moment,
        "direction": "up",
        "session": session,
        "spike_x": 7.5,
        "open": 12.3,
        "high": 12.41,
        "low": 12.29,
        "close": 12.34,
        "volume": 20_000,
        "dollar_volume": 246_800.0,
        "score": score,
        "date": moment.date(),
        "event_bias": "bullish",
        "close_vs_open": "green",
        "tier": 1,
    } | values


def table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=OLD, orient="row")


# 20 of regular hours, 6 of them called after-hours; 2 before the open called regular; 1 after the close on the next
# UTC day, called pre-market: 9 of 23 are 39 %. Scores 0.05 to 1 in regular hours, but the fourth equals the fifth.
REGULAR = [
    old(
        f"2025-11-{3 + number % 5:02} 1{1 if number < 6 else 0}:{10 + number}",
        f"S{number:02}",
        "AH" if number < 6 else "RTH",
        0.25 if number == 3 else (number + 1) / 20,
    )
    for number in range(20)
]
EARLY = [old("2025-07-07 08:00", "S20", score=0.3), old("2025-11-05 08:00", "S21", score=0.3)]
LATE = [old("2025-11-05 19:30", "S22", "PM", 0.01, direction="down", event_bias="bullish", close_vs_open="red")]
GOOD = [*REGULAR, *EARLY, *LATE]
# of S03, raw score 0.25: a lower score, the other direction, and a smaller spike
RIVALS = [
    REGULAR[3] | {"score": 0.2, "spike_x": 99.0},
    REGULAR[3] | {"direction": "down", "spike_x": 99.0},
    REGULAR[3] | {"spike_x": 7.0},
]
NAN, INF = float("nan"), float("inf")
BAD = {
    "score is missing, NaN or infinite": [old("2025-11-03 10:00", "S30", score=NAN)] * 4
    + [old("2025-11-03 10:00", "S31", score=None)],
    "close is missing, NaN or infinite": [old("2025-11-03 10:00", "S30", close=INF)],
    "volume is missing, NaN or infinite": [old("2025-11-03 10:00", "S30", volume=None)],
    "spike_x is NaN or infinite": [old("2025-11-03 10:00", "S30", spike_x=NAN)],
    "event_type is not one of the seven": [old("2025-11-03 10:00", "S30", event_type="gap_up")],
    "direction is neither up nor down": [old("2025-11-03 10:00", "S30", direction="long")],
    "outside every session of the calendar": [
        *[old("2025-11-03 21:00", "S30")] * 2,
        old("2025-11-08 10:00", "S30"),  # a Saturday
        old("2025-11-28 17:00", "S30"),  # four hours after an early close
    ],
    "timestamp is not the start of a minute": [
        old("2025-11-03 10:00", "S30", timestamp=datetime(2025, 11, 3, 15, 0, 30))  # noqa: DTZ001
    ],
    "timestamp is missing or implausible": [old("2025-11-03 10:00", "S30", timestamp=datetime(1970, 1, 21, 3))],  # noqa: DTZ001
    "symbol is not usable as a name": [old("2025-11-03 10:00", "A|B")],
    "high or low contradicts open and close": [old("2025-11-03 10:00", "S30", high=12.3)],
    "a price is not positive": [old("2025-11-03 10:00", "S30", low=0.0)],
    "volume or dollar_volume is not positive": [old("2025-11-03 10:00", "S30", volume=0)],
}
# one to eight rows of each event
COPIED = [row for number, row in enumerate(GOOD) for _ in range(number % 8 + 1)]
DIRTY = [*COPIED, *RIVALS, *(row for rows in BAD.values() for row in rows)]
ROWS = 23 + (28 + 28 + 21) + 3 + 20


def import_events(path: Path, *flags: object) -> int:
    return main(["import", "events", str(path), "--timezone", "UTC", *map(str, flags)])


def summary(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result
