"""Rows of tape windows, read lazily from many files at once."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import UTC_NS
from smallcaps_assets.domain.tape.tables import PIECE_COUNTS
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import disk_errors

_BOUNDS: Final = ("piece_start", "piece_end")
_STORED: Final = " stored"  # place of a row in its file


def scan_pieces(where: pl.DataFrame, schema: pl.Schema) -> pl.LazyFrame:
    """Rows of the pieces of windows, with their event_id and path, in no particular order.

    Files may have other columns than `schema`: further ones are ignored, missing ones are null.

    Args:
        where: event_id, path, piece_start, piece_end (see `domain.tape.windows.pieces`).
        schema: the columns to return.
    """
    if where.is_empty():
        return pl.LazyFrame(schema={**schema, "path": pl.String(), "event_id": pl.String()})
    wanted = where.lazy().select("event_id", "path", *(pl.col(name).cast(UTC_NS) for name in _BOUNDS))
    inside = pl.col("timestamp").is_between(*_BOUNDS, closed="left")
    return scan_files(where["path"], schema).join(wanted, on="path", how="inner").filter(inside).drop(_BOUNDS)


def scan_opening_books(where: pl.DataFrame, schema: pl.Schema) -> pl.LazyFrame:
    """For each window the last row before its start in the file that holds its start, with its event_id.

    Args:
        where: see `scan_pieces`, and the `start` of each window.
        schema: the columns to return.
    """
    first = where.filter(pl.col("piece_start") == pl.col("start"))
    if first.is_empty():
        return pl.LazyFrame(schema={**schema, "event_id": pl.String()})
    wanted = first.lazy().select("event_id", "path", pl.col("start").cast(UTC_NS))
    return (
        scan_files(first["path"], schema)
        .with_row_index(_STORED)
        .join(wanted, on="path", how="inner")
        .filter(pl.col("timestamp") < pl.col("start"))
        .sort(_STORED)
        .unique("event_id", keep="last")
        .select(*schema, "event_id")
    )


def scan_files(paths: Iterable[str], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """All rows of files, once each, in the order of their paths, with their path; missing columns are null."""
    return pl.scan_parquet(
        sorted(set(paths)),
        hive_partitioning=False,
        glob=False,
        include_file_paths="path",
        schema=dict(schema),
        extra_columns="ignore",
        missing_columns="insert",
    )


def count_pieces(where: pl.DataFrame, schema: pl.Schema, folder: Path) -> pl.DataFrame:
    """Rows of each event in each of its files (PIECE_COUNTS), with the first and last time; streamed.

    Args:
        where: see `scan_pieces`.
        schema: see `scan_pieces`.
        folder: where the files are, for messages.

    Raises:
        LakeError: a file cannot be read; names it.
    """

    def count(some: pl.DataFrame, place: Path) -> pl.DataFrame:
        times = (
            scan_pieces(some, schema)
            .group_by("event_id", "path")
            .agg(rows=pl.len().cast(pl.Int64), first=pl.col("timestamp").min(), last=pl.col("timestamp").max())
        )
        with disk_errors("read", place):
            return times.collect(engine="streaming").match_to_schema(PIECE_COUNTS)

    try:
        return count(where, folder)
    except LakeError:  # of many files, name the one
        by_file = where.partition_by("path", maintain_order=True)
        return pl.concat(count(pieces, Path(pieces["path"][0])) for pieces in by_file)
