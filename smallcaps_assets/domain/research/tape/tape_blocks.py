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


def thinned_quotes(pieces: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """How many quotes a second the tape of each event holds: event_id, quotes_hz, quotes_hz_after, quotes_by_change.

    `quotes_hz` is the rate before the event is known, `quotes_hz_after` the one from then on. Where a file was thinned
    further after another event, that counts in the parts of this window in which it was; where it is not known in
    which, as in files of release 0.1 or of events that no manifest names any more, it counts in the whole window.

    Args:
        pieces: of quotes, as `choose_pieces` returns them.
        events: `event_id`, `known_at`, `end` of the windows of the manifest.
    """
    thinned = (
        pieces.select("path", "budget_events", "budget_hz", "budget_from")
        .unique("path")
        .explode("budget_events", "budget_hz", empty_as_null=False, keep_nulls=False)
        .join(events.select(budget_events="event_id", since="known_at", until="end"), on="budget_events", how="left")
        .with_columns(is_known=pl.col("since").is_not_null() & (pl.col("budget_from") == "known_at"))
        .with_columns(pl.col("is_known").fill_null(value=False))
    )
    own = pieces.select("event_id", "path", "start", "end").join(
        events.select("event_id", "known_at"), on="event_id", how="left"
    )
    meets = own.join(thinned, on="path", how="inner")
    before = ~pl.col("is_known") | ((pl.col("since") < pl.col("known_at")) & (pl.col("until") > pl.col("start")))
    after = ~pl.col("is_known") | ((pl.col("since") < pl.col("end")) & (pl.col("until") > pl.col("known_at")))
    lowest = meets.group_by("event_id").agg(
        before=pl.col("budget_hz").filter(before).min(), after=pl.col("budget_hz").filter(after).min()
    )
    whole = pieces.group_by("event_id", maintain_order=True).agg(
        rate=pl.col("thinning").struct.field("max_hz").min().cast(pl.Float64),
        quotes_by_change=pl.col("thinning").struct.field("by_change_only").any(),
    )
    return whole.join(lowest, on="event_id", how="left", maintain_order="left").select(
        "event_id",
        quotes_hz=pl.min_horizontal("rate", "before"),
        quotes_hz_after=pl.min_horizontal("rate", "after"),
        quotes_by_change=pl.col("quotes_by_change").fill_null(value=False),
    )
