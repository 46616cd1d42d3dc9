"""What is computed together: the published spans of a symbol that overlap or touch, and the events in them.

A block holds spans of both kinds and of all waves, so that each event reads the tape of one block, and what is computed
of a block depends on nothing outside of it. A minute that spans of several waves hold belongs to the first of them in
the order of capture (WAVES): what is captured later never takes a minute from a wave that was captured before.
"""

from collections.abc import Mapping
from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import UTC_US, WAVES
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.tape.tables import WINDOWS
from smallcaps_assets.domain.tape.windows import event_windows, merge_windows, uncovered_windows

# The files of each block. `block`: its bounds, which name it within its symbol.
BLOCK_FILES: Final = pl.Schema({"symbol": pl.String(), "block": pl.String(), "path": pl.String()})
BLOCKS: Final = pl.Schema({"symbol": pl.String(), "block": pl.String(), "start": UTC_US, "end": UTC_US})
# Which rows of which file the windows of one span of rows read.
SPAN_PIECES: Final = pl.Schema(
    {"span": pl.Int64(), "path": pl.String(), "tile_start": UTC_US, "tile_end": UTC_US, "is_first": pl.Boolean()}
)
_TIME: Final = "%Y%m%dT%H%M%S%f"
_NAME: Final = "block"


def tape_blocks(published: Mapping[TapeKind, pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The blocks (BLOCKS) of published spans (PUBLISHED), and their files (BLOCK_FILES), sorted by symbol and start."""
    spans = pl.concat(published[kind].select("symbol", "start", "end", "path") for kind in TAPE_KINDS)
    merged = merge_windows(spans.select("symbol", "start", "end", event_id="path", wave=pl.lit("")).select(*WINDOWS))
    bounds = (pl.col(name).dt.to_string(_TIME) for name in ("start", "end"))
    named = merged.with_columns(pl.concat_str(*bounds, separator="_").alias(_NAME))
    files = named.select("symbol", _NAME, path="events_merged").explode("path", empty_as_null=False, keep_nulls=False)
    return named.select(*BLOCKS), files.select(*BLOCK_FILES)


def covered_windows(manifest: pl.DataFrame, published: pl.DataFrame) -> pl.DataFrame:
    """The windows (WINDOWS) of a manifest that published spans (PUBLISHED) cover."""
    windows = event_windows(manifest)
    return windows.join(uncovered_windows(windows, published), on="event_id", how="anti", maintain_order="left")


def share_rows(pieces: Mapping[TapeKind, pl.DataFrame]) -> tuple[pl.DataFrame, dict[TapeKind, pl.DataFrame]]:
    """Number the spans of rows that windows share: `event_id` and `span`, and SPAN_PIECES of each kind.

    Windows that read the same files, cut in the same way, share one span. Files are read from `tile_start` on, the
    first one of a span from its first row on: what precedes a window there is its opening book.

    Args:
        pieces: the pieces of each window, as `choose_pieces` returns them; an event may lack one kind.
    """
    tile = pl.format("{} {} {}", "path", "tile_start", "tile_end")
    of_kinds = [
        pieces[kind].group_by("event_id", maintain_order=True).agg(tile.str.join("\n").alias(kind))
        for kind in TAPE_KINDS
    ]
    read = of_kinds[0].join(of_kinds[1], on="event_id", how="full", coalesce=True)
    files = pl.concat_str(pl.col(*TAPE_KINDS).fill_null(""), separator="\n\n")
    spans = read.select("event_id", span=files.rank("dense").cast(pl.Int64))
    return spans, {kind: _span_pieces(pieces[kind], spans) for kind in TAPE_KINDS}


def _span_pieces(pieces: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    return (
        pieces.join(spans, on="event_id", how="inner", maintain_order="left")
        .with_columns(is_first=pl.col("piece_start") == pl.col("start"))
        .unique(["span", "path"], keep="first", maintain_order=True)
        .select(*SPAN_PIECES)
        .sort("span", "tile_start")
    )


def owned_minutes(minutes: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The minutes of all waves, with `wave`, sorted by symbol and timestamp; each stays with the first wave of WAVES.

    Args:
        minutes: rows with symbol and timestamp, by wave.
    """
    named = [minutes[wave].with_columns(wave=pl.lit(wave)) for wave in WAVES if wave in minutes]
    return (
        pl.concat(named).unique(["symbol", "timestamp"], keep="first", maintain_order=True).sort("symbol", "timestamp")
    )
