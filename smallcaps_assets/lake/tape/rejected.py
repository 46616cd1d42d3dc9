"""Rows of tape that were set aside, each with the rule that it breaks: in the quarantine, in place of their file."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.tape.judging import REASON
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import disk_errors


def read_rejected(lake: Lake, files: Iterable[Path], schema: pl.Schema) -> pl.DataFrame:
    """The rejected rows that belong to tape files: `schema` and `reason`; none where nothing was set aside.

    Raises:
        LakeError: a file cannot be read.
    """
    columns = pl.Schema({**schema, REASON: pl.String()})
    found = [columns.to_frame()]
    for path in map(lake.quarantine_path, files):
        if path.is_file():
            with disk_errors("read", path):
                rows = pl.read_parquet(path, hive_partitioning=False, glob=False)
            found.append(rows.match_to_schema(columns, missing_columns="insert", extra_columns="ignore"))
    return pl.concat(found)
