"""The IO manager of single tables: dagster-polars, publishing by rename, to the places of the lake's layout.

dagster-polars 0.27.12 asks Polars 2 for options that it no longer has, and writes in place; both are replaced here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import polars as pl
from dagster_polars import PolarsParquetIOManager

from smallcaps_assets.lake.publish import publish_frame, sha256
from smallcaps_assets.settings.settings import PROFILES

if TYPE_CHECKING:
    from upath import UPath

MASTER: Final = dg.AssetKey("master_events")
_PLACES: Final[Mapping[dg.AssetKey, str]] = {
    MASTER: "events/master",
    dg.AssetKey("nightly_report"): "reports/nightly",
    dg.AssetKey("coverage"): "reports/coverage",
    **{
        dg.AssetKey([profile, f"capture_{table}"]): f"tape/{profile}/{table}"
        for profile in PROFILES
        for table in ("ledger", "report")
    },
}


def table_path(root: Path, asset: dg.AssetKey) -> Path:
    """Where the table of an asset lies in the lake."""
    return root / f"{_PLACES[asset]}.parquet"


class LakeTableIOManager(PolarsParquetIOManager):
    """Reads and writes the tables of `_PLACES` below `base_dir`, the lake."""

    def get_asset_relative_path(self, context: dg.InputContext | dg.OutputContext) -> "UPath":
        """Where an asset's table lies, without its extension."""
        from upath import UPath  # noqa: PLC0415 -- heavy, and only needed when a table moves

        return UPath(_PLACES[context.asset_key])

    def write_df_to_path(self, context: dg.OutputContext, df: pl.DataFrame, path: "UPath") -> None:
        """Publish a table by rename; its data version is what the file holds."""
        publish_frame(Path(str(path)), df)
        context.step_context.set_data_version(context.asset_key, dg.DataVersion(sha256(Path(str(path)))))

    def sink_df_to_path(self, context: dg.OutputContext, df: pl.LazyFrame, path: "UPath") -> None:
        """Collect and publish a table by rename."""
        self.write_df_to_path(context, df.collect(), path)

    def get_metadata(
        self, context: dg.OutputContext, obj: pl.DataFrame | pl.LazyFrame | None
    ) -> dict[str, dg.MetadataValue[Any]]:
        """The columns of a table; not the random rows and the statistics of each column that a frame in memory gets.

        They take as long as writing the table, swell the event log, and the assets tell figures of their own.
        """
        return super().get_metadata(context, None if obj is None else obj.lazy())

    def scan_df_from_path(
        self,
        path: "UPath",
        context: dg.InputContext,  # noqa: ARG002
        partition_key: str | None = None,  # noqa: ARG002
    ) -> pl.LazyFrame:
        """Scan a table."""
        return pl.scan_parquet(str(path), hive_partitioning=False)
