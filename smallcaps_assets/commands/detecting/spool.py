"""Tables that grow batch by batch: kept on disk until they are published as one file."""

from pathlib import Path

import polars as pl

from smallcaps_assets.lake.files.publish import disk_errors, publish_lazy


class Spool:
    """The parts of one table, in a separate folder."""

    def __init__(self, folder: Path, schema: pl.Schema) -> None:
        """Begin with no rows; `folder` is made."""
        self._folder = folder
        self._parts: list[Path] = []
        self.rows = 0
        folder.mkdir()
        self._write(schema.to_frame())

    def add(self, rows: pl.DataFrame) -> None:
        """Append rows."""
        if rows.height:
            self._write(rows)

    def scan(self) -> pl.LazyFrame:
        """All rows, in the order they came."""
        return pl.scan_parquet(self._parts, hive_partitioning=False, glob=False)

    def publish(self, path: Path) -> None:
        """Publish all rows as one file.

        Raises:
            LakeError: the disk refuses; `path` is as it was before.
        """
        publish_lazy(path, self.scan(), self.rows)

    def _write(self, rows: pl.DataFrame) -> None:
        path = self._folder / f"{len(self._parts):06}.parquet"
        with disk_errors("written", path):
            rows.write_parquet(path)
        self._parts.append(path)
        self.rows += rows.height
