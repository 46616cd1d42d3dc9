"""Rows of tape that were set aside, each with the rule that it breaks: in the quarantine, in place of their file."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.tape.judging import REASON
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake


def read_rejected(lake: Lake, files: Iterable[Path], schema: pl.Schema) -> pl.DataFrame:
    """The rejected rows that belong to tape files: `schema` and `reason`; none where nothing was set aside.

    Raises:
        LakeError: a file is damaged or cannot be read.
    """
    columns = pl.Schema({**schema, REASON: pl.String()})
    paths = [path for path in map(lake.quarantine_path, files) if is_stored(path)]
    return pl.concat([columns.to_frame(), *(read_table(path, columns, tuple(schema)) for path in paths)])
