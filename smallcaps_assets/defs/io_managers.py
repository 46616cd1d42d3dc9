"""IO managers: of assets that are one table, and of what one step of a job tells the next.

A table is published by rename by dagster-polars, at the path of its asset in the registry.
dagster-polars 0.27.12 passes options that Polars 2 has dropped, and writes in place; this module replaces both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import polars as pl
from dagster_polars import PolarsParquetIOManager

from smallcaps_assets.defs.failures import foreseen_errors
from smallcaps_assets.defs.metadata.entries import COLUMNS_ABOVE
from smallcaps_assets.defs.registry import facts_of
from smallcaps_assets.domain.tables import match_columns
from smallcaps_assets.errors import LakeError, SettingsError
from smallcaps_assets.lake.files.proven_files import prove_anew
from smallcaps_assets.lake.files.publish import DerivedTable, disk_errors, publish_frame
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake

# the entry of the metadata
_HANDED_ON: Final = "handed on"

if TYPE_CHECKING:
    from upath import UPath


class LakeTableIOManager(PolarsParquetIOManager):
    """Reads and writes tables below `base_dir`, the lake, each at the path in its asset's row of the registry."""

    def load_input(self, context: dg.InputContext) -> object:
        """Read a table, after proving that it is not damaged and has its columns; a missing or damaged file is named.

        Raises:
            ForeseenFailure: the file is missing, damaged or cannot be read.
        """
        path = Path(str(self._get_path(context)))
        with foreseen_errors():
            if not is_stored(path):
                raise LakeError(f"{path}: is missing. Materialize {context.asset_key.to_user_string()} first.", path)
            prove_anew(path)
            with disk_errors("read", path):
                return super().load_input(context)

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Publish a table.

        Raises:
            ForeseenFailure: it cannot be written.
        """
        with foreseen_errors():
            super().handle_output(context, obj)

    def get_asset_relative_path(self, context: dg.InputContext | dg.OutputContext) -> "UPath":
        """The path of an asset's table below the lake, without its extension."""
        from upath import UPath  # noqa: PLC0415 -- slow to import, needed only when a table is read or written

        return UPath(facts_of(context.asset_key).path(Lake(Path())).with_suffix(""))

    def make_directory(self, path: "UPath") -> None:
        """Create nothing: publishing creates folders, but never the lake."""

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: "UPath") -> None:  # noqa: ANN401 -- any table
        """Publish a table; one that was derived from other files with what it was made from in its footer."""
        if isinstance(obj, DerivedTable):
            self._publish(context, obj.rows, path, obj.provenance)
        else:
            super().dump_to_path(context, obj, path)

    def write_df_to_path(self, context: dg.OutputContext, df: pl.DataFrame, path: "UPath") -> None:
        """Publish a table by rename."""
        self._publish(context, df, path)

    def _publish(
        self, context: dg.OutputContext, df: pl.DataFrame, path: "UPath", provenance: Mapping[str, Any] | None = None
    ) -> None:
        """Publish a table by rename; the hash of its file is its data version."""
        version = publish_frame(Path(str(path)), df, provenance, below=Path(str(self.base_dir)))
        context.step_context.set_data_version(context.asset_key, dg.DataVersion(version))

    def sink_df_to_path(self, context: dg.OutputContext, df: pl.LazyFrame, path: "UPath") -> None:
        """Collect a table and publish it by rename."""
        self.write_df_to_path(context, df.collect(), path)

    def get_metadata(
        self, context: dg.OutputContext, obj: DerivedTable | pl.DataFrame | pl.LazyFrame | None
    ) -> dict[str, dg.MetadataValue[Any]]:
        """The path of a table, without the columns, random rows and column statistics that dagster-polars adds.

        Rows and statistics take as long as writing the table and swell the event log; the assets record figures that
        matter. Columns are part of the definition of an asset, with their meaning. The path is that below the lake: a
        long one would make the metadata wider than the page, which shows it as storage.
        """
        table = obj.rows if isinstance(obj, DerivedTable) else obj
        found = super().get_metadata(context, None if table is None else table.lazy())
        found.pop(COLUMNS_ABOVE, None)
        return {**found, "path": dg.MetadataValue.path(str(facts_of(context.asset_key).path(Lake(Path()))))}

    def scan_df_from_path(
        self,
        path: "UPath",
        context: dg.InputContext,
        partition_key: str | None = None,  # noqa: ARG002
    ) -> pl.LazyFrame:
        """Scan a table, with the columns of its asset's row of the registry."""
        rows, facts = pl.scan_parquet(str(path), hive_partitioning=False, glob=False), facts_of(context.asset_key)
        return match_columns(rows, facts.schema, str(path), facts.added) if facts.schema else rows


class StateIOManager(dg.IOManager):
    """Keeps what a step tells the next one, a small mapping, in Dagster's state: in the event of the output itself.

    The step after it may run on another machine, in a repetition of the run, where a local file would be missing.
    """

    def handle_output(self, context: dg.OutputContext, obj: dict[str, Any]) -> None:
        """Record the mapping with the event of the output."""
        context.add_output_metadata({_HANDED_ON: dg.MetadataValue.json(obj)})

    def load_input(self, context: dg.InputContext) -> dict[str, Any]:
        """Read the mapping from the run in which its step went well.

        Raises:
            ForeseenFailure: Dagster's state no longer has it.
        """
        output = context.upstream_output
        assert output is not None  # noqa: S101 -- an input without a step before it has a default value
        logged = context.step_context.instance.all_logs(output.run_id, of_type=dg.DagsterEventType.HANDLED_OUTPUT)
        events = [entry.get_dagster_event() for entry in logged if entry.step_key == output.step_key]
        found = [event.event_specific_data.metadata.get(_HANDED_ON) for event in events]  # type: ignore[union-attr]
        with foreseen_errors():
            if not found or found[-1] is None:
                raise SettingsError(
                    f"run {output.run_id} left nothing of step {output.step_key} in Dagster's state. Launch the job "
                    "again from its first step: only what is missing is requested."
                )
            return dict(found[-1].value)  # type: ignore[arg-type]
