"""Reference tables of a lake: the vendor's trade conditions and splits."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.research.bars.market_state import SPLITS
from smallcaps_assets.domain.research.tape.pinned_conditions import CONDITION_TABLE, pinned_conditions
from smallcaps_assets.lake.files.publish import provenance_of, publish_frame
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake

# Keys of what research tables are computed from: the splits of their symbol, or that none were fetched; the hash of the
# conditions, or of the pinned copy.
SPLITS_INPUT: Final = "splits"
SPLITS_UNKNOWN: Final = "unknown"
CONDITIONS_INPUT: Final = "conditions"


@dataclass(frozen=True)
class ReferenceTables:
    """The reference tables of a lake."""

    lake: Lake

    def trade_conditions(self) -> pl.DataFrame:
        """The vendor's trade conditions (CONDITION_TABLE); the pinned copy where they were not fetched."""
        path = self.lake.trade_conditions
        return read_table(path, CONDITION_TABLE) if is_stored(path) else pinned_conditions()

    def conditions_fetched_on(self) -> date | None:
        """The day on which the vendor served the stored conditions; None if it did not serve them."""
        path = self.lake.trade_conditions
        if not is_stored(path) or (provenance_of(path) or {}).get("is_pinned", False):
            return None
        return read_table(path, CONDITION_TABLE)["source_date"].max()  # type: ignore[return-value] # a date or None

    def publish_trade_conditions(self, conditions: pl.DataFrame, source: str, *, is_pinned: bool) -> None:
        """Publish conditions (CONDITION_TABLE) of a source, or the pinned copy because it served none."""
        provenance = {"source": source, "is_pinned": is_pinned}
        publish_frame(self.lake.trade_conditions, conditions, provenance, below=self.lake.root)

    def splits(self) -> pl.DataFrame | None:
        """Splits of all symbols (SPLITS), sorted by symbol and day; None if they were never fetched."""
        path = self.lake.splits
        return read_table(path, SPLITS) if is_stored(path) else None

    def splits_cover(self) -> tuple[date, date] | None:
        """The first and the last execution date that the stored splits cover; None if there are none."""
        stored: dict[str, Any] = (provenance_of(self.lake.splits) or {}) if is_stored(self.lake.splits) else {}
        if "first" not in stored:
            return None
        return date.fromisoformat(stored["first"]), date.fromisoformat(stored["last"])

    def publish_splits(self, splits: pl.DataFrame, source: str, first: date, last: date) -> None:
        """Publish all splits (SPLITS) of a source that were executed from `first` to `last`, both included."""
        provenance = {"source": source, "first": f"{first}", "last": f"{last}"}
        publish_frame(self.lake.splits, splits.match_to_schema(SPLITS), provenance, below=self.lake.root)
