"""A manifest and files of tape made by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets_tests.conftest import event, manifest_of, quotes_at, trades_at

# by hand: windows [-3, +7) around ten and around eleven o'clock in New York
TEN = datetime(2025, 11, 5, 15, tzinfo=UTC)
HAND = manifest_of(
    event("2025-11-05 10:00", event_id="one"),
    event("2025-11-05 10:05", event_id="near"),
    event("2025-11-05 11:00", event_id="two"),
)

Import = Callable[..., dict[str, Any]]


def write(folder: Path, kind: TapeKind, event_id: str, rows: pl.DataFrame, *, flat: bool = False) -> Path:
    path = (
        folder / f"{event_id}_{kind}.parquet"
        if flat
        else folder / "symbol=AEMD" / f"event={event_id}" / f"{kind}.parquet"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(path)
    return path


def at(*minutes: float) -> list[datetime]:
    return [TEN + timedelta(minutes=minute) for minute in minutes]


def trades(*minutes: float) -> pl.DataFrame:
    return trades_at(*at(*minutes)).with_columns(exchange=pl.lit(4, pl.Int64), trade_id=pl.lit("t"))


def quotes(*minutes: float) -> pl.DataFrame:
    return quotes_at(*at(*minutes))
