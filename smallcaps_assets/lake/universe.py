"""The symbols that are listed and followed, and what the vendor said of each."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.bars.coverage import LISTINGS
from smallcaps_assets.domain.tables import REFERENCE, match_columns
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.domain.versions import digest
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import provenance_of, publish_frame

# One answer per symbol that the vendor was asked about: null where it did not know, `asked_for` the day in question.
STORED_DETAILS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "name": pl.String(),
        "ticker_type": pl.String(),
        "primary_exchange": pl.String(),
        "market_cap_usd": pl.Float64(),
        "listed": pl.Date(),
        "asked_for": pl.Date(),
    }
)
# columns that tables of earlier versions lack
_LATER: Final = (
    *("market_cap_usd", "market_cap_date", "price_usd", "listed", "delisted"),
    *("excluded_by", "first_seen", "last_seen"),
)


@dataclass(frozen=True)
class UniverseStore:
    """The universe of a lake."""

    lake: Lake

    def read(self) -> pl.DataFrame:
        """Every symbol ever seen (UNIVERSE), sorted; empty before the first materialization."""
        return _read(self.lake.universe, UNIVERSE)

    def asked(self) -> dict[str, Any] | None:
        """The question that the stored universe answers."""
        return provenance_of(self.lake.universe) if self.lake.universe.is_file() else None

    def replace(self, universe: pl.DataFrame, question: dict[str, Any]) -> None:
        """Publish the universe anew, with the question it answers."""
        publish_frame(self.lake.universe, universe.match_to_schema(UNIVERSE).sort("symbol"), question)

    def reference(self) -> pl.DataFrame:
        """What reference data knows (REFERENCE)."""
        return self.read().select(*REFERENCE)

    def followed(self) -> dict[str, date]:
        """The active symbols, each with the last day that it is followed: the latest there is, or its delisting."""
        active = self.read().filter("active")
        return dict(active.select("symbol", pl.col("delisted").fill_null(date.max)).iter_rows())

    def listings(self) -> pl.DataFrame:
        """Every symbol ever seen, whether it is followed, and the days of its listing (LISTINGS)."""
        return self.read().select(*LISTINGS)

    def version(self) -> str:
        """What tells the symbols that are followed, and until when, from others."""
        return digest(f"{symbol} {last}" for symbol, last in self.followed().items())

    def source(self) -> str | None:
        """Where what the lake knows of symbols came from; None where it knows nothing."""
        paths = [path for path in (self.lake.universe, self.lake.ticker_details) if path.is_file()]
        sources = [(provenance_of(path) or {}).get("source") for path in paths]
        return next((source for source in sources if source is not None), None)

    def details(self) -> pl.DataFrame:
        """What the vendor answered of single symbols (DETAILS)."""
        return _read(self.lake.ticker_details, STORED_DETAILS)

    def add_details(self, answers: pl.DataFrame, source: str) -> None:
        """Publish `answers` (DETAILS) of a source together with those of other symbols that are there."""
        rows = pl.concat([self.details(), answers]).unique("symbol", keep="last").sort("symbol")
        publish_frame(self.lake.ticker_details, rows, {"source": source})


def _read(path: Path, schema: pl.Schema) -> pl.DataFrame:
    """A table as it is now, with nulls in columns that an earlier version did not write; empty where there is none."""
    if not path.is_file():
        return schema.to_frame()
    rows = pl.scan_parquet(path, hive_partitioning=False)
    absent = [name for name in _LATER if name in schema and name not in rows.collect_schema()]
    rows = rows.with_columns(pl.lit(None, dtype=schema[name]).alias(name) for name in absent)
    return match_columns(rows, schema, str(path)).collect()
