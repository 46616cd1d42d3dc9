"""The quarantine of minute bars: rejected rows by month; a row leaves when a good bar of its minute is published."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.bars.quality import ANOTHER, QUARANTINED_BARS, REPEATED
from smallcaps_assets.domain.bars.unknown import all_known
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.files.content_hash import DAMAGE
from smallcaps_assets.lake.files.damaged_files import is_damaged, set_aside
from smallcaps_assets.lake.files.publish import disk_errors, publish_frame
from smallcaps_assets.lake.layout import Lake

# files of rows without a month, and of rows without a symbol
UNDATED: Final = "undated.parquet"
UNNAMED: Final = "unnamed.parquet"
_PLACE: Final = " place"
# a row without a timestamp is identified by its other values
_VALUES: Final = tuple(name for name in BARS if name != "timestamp")


@dataclass(frozen=True)
class BarQuarantine:
    """The quarantine of a lake's bars. Callers hold the lock of the symbol that they change."""

    lake: Lake

    def add(self, symbol: str | None, month: date | None, rejected: pl.DataFrame) -> None:
        """Add rows (QUARANTINED_BARS) of a month; `month` and `symbol` are None where the rows have none."""
        path = self._path(symbol, month)
        present = self._read(path)
        rows = pl.concat([present, rejected.match_to_schema(QUARANTINED_BARS)]).unique(maintain_order=True)
        if rows.height > present.height:
            publish_frame(path, rows.sort("timestamp", maintain_order=True), below=self.lake.root)

    def replace(self, symbol: str, month: date, sessions: Collection[date], rejected: pl.DataFrame) -> None:
        """Replace the rows of `sessions`, all of one month, by those of `rejected`; add rows without a timestamp."""
        path = self._path(symbol, month)
        if rejected.is_empty() and not path.is_file():
            return
        new = new_york_date(pl.col("timestamp")).is_in(list(sessions))
        rows = rejected.filter(new.fill_null(value=True))
        if path.is_file():
            kept = self._read(path).filter(~new.fill_null(value=False))
            rows = pl.concat([kept, rows]).unique(maintain_order=True)
        elif rows.is_empty():
            return
        publish_frame(path, rows.match_to_schema(QUARANTINED_BARS).sort("timestamp"), below=self.lake.root)

    def release(self, symbol: str, month: date | None, good: pl.DataFrame, still: pl.DataFrame) -> None:
        """Remove rows that `good` (BARS) replaces: those of the same minute, or if undated of equal values.

        Rows that were rejected as repeats stay. So do `still`, rows that were rejected together with `good`.
        """
        path = self._path(symbol, month)
        if not path.is_file():
            return
        by = list(_VALUES) if month is None else ["timestamp"]
        present = self._read(path)
        repeats = pl.col("reason").is_in([REPEATED, ANOTHER])
        # values that mean "not known" are null in good bars, and as given here
        known = present.with_columns(all_known()).with_row_index(_PLACE).filter(~repeats)
        released = present[known.join(good, on=by, how="semi", nulls_equal=True)[_PLACE]]
        every = list(QUARANTINED_BARS)
        released = released.join(still.match_to_schema(QUARANTINED_BARS), on=every, how="anti", nulls_equal=True)
        if released.is_empty():
            return
        left = present.join(released, on=every, how="anti", nulls_equal=True, maintain_order="left")
        if left.is_empty():
            with disk_errors("written", path):
                path.unlink()
        else:
            publish_frame(path, left, below=self.lake.root)

    def _path(self, symbol: str | None, month: date | None) -> Path:
        folder = self.lake.minute_bars if symbol is None else self.lake.bars(symbol)
        name = UNNAMED if symbol is None else UNDATED if month is None else f"{month:%Y-%m}.parquet"
        return self.lake.quarantine_path(folder / name)

    def _read(self, path: Path) -> pl.DataFrame:
        """The rejected rows in a file; none where there is none. A damaged file is set aside: nothing is made of it."""
        if path.is_file() and is_damaged(path):
            set_aside(self.lake, path, DAMAGE)
        if not path.is_file():
            return QUARANTINED_BARS.to_frame()
        with disk_errors("read", path):
            return pl.read_parquet(path, hive_partitioning=False, glob=False)
