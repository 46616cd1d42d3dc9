"""The stored universe and the vendor's details of single symbols."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.bars.coverage import LISTING_DATES
from smallcaps_assets.domain.symbols import ExchangeTestSymbols, canonical_name
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.domain.universe import UNIVERSE, UniverseParams
from smallcaps_assets.domain.versions import digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.publish import provenance_of, publish_frame
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.imports import imported_kinds
from smallcaps_assets.lake.layout import Lake

# One row per symbol whose details were requested: null where the vendor has none; `asked_for` is the requested day.
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
# Columns that tables written by earlier versions lack.
_ADDED_COLUMNS: Final = (
    *("market_cap_usd", "market_cap_date", "price_usd", "listed", "delisted"),
    *("excluded_by", "first_seen", "last_seen"),
)


@dataclass(frozen=True)
class UniverseStore:
    """The universe of a lake.

    All but `read` and `inputs`, which make it anew, raise a LakeError where the universe is lost.
    """

    lake: Lake

    def read(self) -> pl.DataFrame:
        """Every symbol ever seen (UNIVERSE), sorted; empty before the first materialization."""
        return _read(self.lake.universe, UNIVERSE)

    def inputs(self) -> dict[str, Any] | None:
        """The inputs that the stored universe was built from; None before the first materialization."""
        return provenance_of(self.lake.universe) if is_stored(self.lake.universe) else None

    def replace(self, universe: pl.DataFrame, inputs: dict[str, Any]) -> None:
        """Publish a new universe (UNIVERSE) with the inputs that it was built from."""
        publish_frame(
            self.lake.universe, universe.match_to_schema(UNIVERSE).sort("symbol"), inputs, below=self.lake.root
        )

    def reference(self) -> pl.DataFrame:
        """Reference data of every symbol (REFERENCE)."""
        return self._known().select(*REFERENCE)

    def followed(self) -> dict[str, date]:
        """The active symbols, each with the last day on which it is followed: its delisting, or `date.max`."""
        active = self._known().filter("active")
        return dict(active.select("symbol", pl.col("delisted").fill_null(date.max)).iter_rows())

    def test_symbols(self, params: UniverseParams) -> ExchangeTestSymbols:
        """The test symbols of exchanges, except those that the settings name or that are followed."""
        named = map(canonical_name, params.symbols or ())
        return ExchangeTestSymbols(tuple(params.test_symbols), frozenset((*named, *self.followed())))

    def listings(self) -> pl.DataFrame:
        """Every symbol ever seen, whether it is followed, and its days of listing and delisting (LISTING_DATES)."""
        return self._known().select(*LISTING_DATES)

    def _known(self) -> pl.DataFrame:
        """Every symbol ever seen (UNIVERSE); empty before the first materialization.

        Raises:
            LakeError: it is damaged, or is missing beside bars that only a universe lets be fetched. Without it, events
                would be detected again without reference data.
        """
        path, details = self.lake.universe, self.lake.ticker_details
        may_be_lost = not is_stored(path) and is_stored(details) and bool(list_paths(self.lake.minute_bars, "symbol=*"))
        if may_be_lost and "bars" not in imported_kinds(self.lake):
            raise LakeError(
                f"{path}: is missing, although {details.name} beside it and the bars show that there was one. "
                f"{how_to_restore(path)}",
                path,
            )
        return self.read()

    def version(self) -> str:
        """A fingerprint of the followed symbols and of their last days."""
        return digest(f"{symbol} {last}" for symbol, last in self.followed().items())

    def source(self) -> str | None:
        """The source of the symbols in the lake; None where there are none."""
        paths = [path for path in (self.lake.universe, self.lake.ticker_details) if is_stored(path)]
        sources = [(provenance_of(path) or {}).get("source") for path in paths]
        return next((source for source in sources if source is not None), None)

    def details(self) -> pl.DataFrame:
        """Details of single symbols (STORED_DETAILS)."""
        return _read(self.lake.ticker_details, STORED_DETAILS)

    def add_details(self, answers: pl.DataFrame, source: str) -> None:
        """Publish `answers` (STORED_DETAILS) of a source; details of other symbols are kept."""
        rows = pl.concat([self.details(), answers]).unique("symbol", keep="last").sort("symbol")
        publish_frame(self.lake.ticker_details, rows, {"source": source}, below=self.lake.root)


def _read(path: Path, schema: pl.Schema) -> pl.DataFrame:
    """A stored table, with nulls in columns that an earlier version did not write; empty where there is none."""
    if not is_stored(path):
        return schema.to_frame()
    return read_table(path, schema, [name for name in _ADDED_COLUMNS if name in schema])
