"""Rows of bars that were refused, by the month that they are of; they leave when a good bar takes their place."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.bars.quality import ANOTHER, QUARANTINED_BARS, REPEATED
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import disk_errors, publish_frame

# where rows lie that cannot be put into a month, or not even to a symbol
UNDATED: Final = "undated.parquet"
UNNAMED: Final = "unnamed.parquet"
# a row without a time is known by what else it says
_SAID: Final = tuple(name for name in BARS if name != "timestamp")


@dataclass(frozen=True)
class BarQuarantine:
    """The quarantine of a lake's bars. Whoever changes what a symbol has here holds its lock."""

    lake: Lake

    def add(self, symbol: str | None, month: date | None, refused: pl.DataFrame) -> None:
        """Add rows (QUARANTINED_BARS) of a month; None where they tell no month, or no symbol."""
        path = self._path(symbol, month)
        here = _read(path)
        rows = pl.concat([here, refused.match_to_schema(QUARANTINED_BARS)]).unique(maintain_order=True)
        if rows.height > here.height:
            publish_frame(path, rows.sort("timestamp", maintain_order=True))

    def replace(self, symbol: str, month: date, sessions: Collection[date], refused: pl.DataFrame) -> None:
        """Replace the rows of `sessions`, all of one month, by those of `refused`, and add those without a time."""
        path = self._path(symbol, month)
        new = new_york_date(pl.col("timestamp")).is_in(list(sessions))
        rows = refused.filter(new.fill_null(value=True))
        if path.is_file():
            kept = _read(path).filter(~new.fill_null(value=False))
            rows = pl.concat([kept, rows]).unique(maintain_order=True)
        elif rows.is_empty():
            return
        publish_frame(path, rows.match_to_schema(QUARANTINED_BARS).sort("timestamp"))

    def relieve(self, symbol: str, month: date | None, good: pl.DataFrame, still: pl.DataFrame) -> None:
        """Let go of rows that bars of `good` (BARS) take the place of: of the same minute, or else the same values.

        Rows that only repeat a minute were never in need of one. `still` are rows that were refused together with
        `good`: they stay.
        """
        path = self._path(symbol, month)
        if not path.is_file():
            return
        by = list(_SAID) if month is None else ["timestamp"]
        here = _read(path)
        repeats = pl.col("reason").is_in([REPEATED, ANOTHER])
        gone = here.filter(~repeats).join(good, on=by, how="semi", nulls_equal=True)
        every = list(QUARANTINED_BARS)
        gone = gone.join(still.match_to_schema(QUARANTINED_BARS), on=every, how="anti", nulls_equal=True)
        if gone.is_empty():
            return
        left = here.join(gone, on=every, how="anti", nulls_equal=True, maintain_order="left")
        if left.is_empty():
            with disk_errors("written", path):
                path.unlink()
        else:
            publish_frame(path, left)

    def _path(self, symbol: str | None, month: date | None) -> Path:
        folder = self.lake.minute_bars if symbol is None else self.lake.bars(symbol)
        name = UNNAMED if symbol is None else UNDATED if month is None else f"{month:%Y-%m}.parquet"
        return self.lake.quarantine_path(folder / name)


def _read(path: Path) -> pl.DataFrame:
    with disk_errors("read", path):
        return pl.read_parquet(path, hive_partitioning=False) if path.is_file() else QUARANTINED_BARS.to_frame()
