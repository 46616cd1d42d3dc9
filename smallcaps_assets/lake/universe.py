"""The symbols that are followed, with what reference data says of them."""

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.tables import REFERENCE, matched
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import provenance_of, publish_frame

UNIVERSE: Final = pl.Schema(
    {
        **REFERENCE,
        "name": pl.String(),
        "ticker_type": pl.String(),
        "primary_exchange": pl.String(),
        "active": pl.Boolean(),
        "reason": pl.String(),
    }
)


@dataclass(frozen=True)
class UniverseStore:
    """The universe of a lake."""

    lake: Lake

    def read(self) -> pl.DataFrame:
        """Every symbol ever followed (UNIVERSE), sorted; empty before the first materialization."""
        path = self.lake.universe
        if not path.is_file():
            return UNIVERSE.to_frame()
        return matched(pl.scan_parquet(path, hive_partitioning=False), UNIVERSE, str(path)).collect()

    def asked(self) -> dict[str, Any] | None:
        """The question that the stored universe answers."""
        return provenance_of(self.lake.universe) if self.lake.universe.is_file() else None

    def replace(self, universe: pl.DataFrame, question: dict[str, Any]) -> None:
        """Publish the universe anew, with the question it answers."""
        publish_frame(self.lake.universe, universe.match_to_schema(UNIVERSE).sort("symbol"), question)

    def reference(self) -> pl.DataFrame:
        """What reference data knows (REFERENCE)."""
        return self.read().select(*REFERENCE)
