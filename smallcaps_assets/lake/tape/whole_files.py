"""All rows of many tape files at once, and what identifies the content of a file without reading it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.lake.files.content_hash import content_sha256
from smallcaps_assets.lake.files.proven_files import prove_once
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.files.stored_tables import naming_damaged
from smallcaps_assets.lake.tape.reading import scan_files

_PATH: Final = "path"


def read_tape_files(
    paths: Sequence[str], schema: Mapping[str, pl.DataType], folder: Path
) -> tuple[pl.DataFrame, dict[str, tuple[int, int]]]:
    """`schema` of the rows of all files, file by file in stored order, and the first row and the end of each file.

    Every file is proved. Columns that a file lacks are null.

    Args:
        paths: the files.
        schema: the columns.
        folder: where the files are, for messages.

    Raises:
        LakeError: a file is damaged or cannot be read; names it.
    """
    for path in paths:
        prove_once(Path(path))
    places = dict.fromkeys(paths, (0, 0))
    if not paths:
        return pl.Schema(schema).to_frame(), places
    with naming_damaged([Path(path) for path in paths], folder, {}):
        rows = scan_files(paths, schema).collect().rechunk()
    runs = rows[_PATH].rle().struct.unnest()
    ends = runs["len"].cum_sum()
    places |= {path: (end - length, end) for path, length, end in zip(runs["value"], runs["len"], ends, strict=True)}
    return rows.drop(_PATH), places


def content_fingerprint(path: str, rows: int, size: int) -> str:
    """What identifies the content of a tape file; reads its footer only.

    Raises:
        LakeError: it cannot be read.
    """
    with disk_errors("read", Path(path)):
        return content_sha256(Path(path)) or f"{rows} rows, {size} bytes"
