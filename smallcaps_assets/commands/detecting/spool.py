"""Tables that grow batch by batch: kept on disk until they are published as one file."""

from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.lake.files.publish import disk_errors, publish_lazy

# Rows of a part. All parts but the last have as many, so that the published file does not depend on how rows came.
_PART_ROWS: Final = 100_000


class Spool:
    """The parts of one table, in a separate folder."""

    def __init__(self, folder: Path, schema: pl.Schema) -> None:
        """Begin with no rows; `folder` is made."""
        self._folder = folder
        self._parts: list[Path] = []
        self._waiting: list[pl.DataFrame] = []
        self.rows = 0
        folder.mkdir()
        self._write(schema.to_frame())

    def add(self, rows: pl.DataFrame) -> None:
        """Append rows."""
        if rows.height:
            self.rows += rows.height
            self._waiting.append(rows)
            self._write_parts()

    def scan(self) -> pl.LazyFrame:
        """All rows, in the order they came."""
        self._write_parts(least=1)
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
            # read once, soon
            rows.write_parquet(path, compression="lz4", statistics=False)
        self._parts.append(path)

    def _write_parts(self, least: int = _PART_ROWS) -> None:
        """Write what waits, in whole parts; and the rest if it has at least as many rows."""
        while sum(rows.height for rows in self._waiting) >= least:
            # in one chunk: the row groups of a file follow the chunks of its rows
            together = pl.concat(self._waiting, rechunk=True)
            self._write(together.head(_PART_ROWS))
            rest = together.slice(_PART_ROWS)
            self._waiting = [rest] if rest.height else []
