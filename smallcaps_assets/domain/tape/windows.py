"""Tape windows and the spans that cover them (specification, section 6). Half open, UTC."""

from datetime import timedelta

import polars as pl

from smallcaps_assets.domain.tape.tables import SPANS, STALE, WINDOWS


def event_windows(manifest: pl.DataFrame) -> pl.DataFrame:
    """The window of each event (WINDOWS): [timestamp - before, timestamp + after); the wave is the event's session."""
    timestamp = pl.col("timestamp")
    return manifest.select(
        "event_id",
        "symbol",
        wave="session",
        start=timestamp - pl.duration(minutes="window_before_min"),
        end=timestamp + pl.duration(minutes="window_after_min"),
    ).match_to_schema(WINDOWS)


def with_known_at(windows: pl.DataFrame, timestamps: pl.Series) -> pl.DataFrame:
    """Windows with the end of their event's minute, when it is known: `known_at`.

    Args:
        windows: one per event.
        timestamps: start of the minute of each.
    """
    return windows.with_columns(known_at=timestamps + timedelta(minutes=1))


def _island(by: list[str]) -> pl.Expr:
    """Number of the group of overlapping or touching intervals; rows are sorted by `by` and `start`."""
    reach = pl.col("end").cum_max().shift(1).over(by)
    return (pl.col("start") > reach).fill_null(value=True).cum_sum()


def merge_windows(windows: pl.DataFrame) -> pl.DataFrame:
    """Merge windows (WINDOWS) of one symbol and wave that overlap or touch into spans (SPANS)."""
    by = ["symbol", "wave"]
    return (
        windows.sort(*by, "start", "end", "event_id")
        .with_columns(island=_island(by))
        .group_by(*by, "island", maintain_order=True)
        .agg(pl.col("start").min(), pl.col("end").max(), events_merged="event_id")
        .select(*SPANS)
        .match_to_schema(SPANS)
    )


def uncovered_windows(windows: pl.DataFrame, published: pl.DataFrame) -> pl.DataFrame:
    """Windows (WINDOWS) that are not fully inside the published spans (columns symbol, start, end) of their symbol."""
    islands = (
        published.select("symbol", "start", "end")
        .sort("symbol", "start", "end")
        .with_columns(island=_island(["symbol"]))
        .group_by("symbol", "island")
        .agg(pl.col("start").min(), reach=pl.col("end").max())
        .sort("start")
    )
    return (
        windows.sort("start")
        .join_asof(islands, on="start", by="symbol", strategy="backward", check_sortedness=False)
        .filter((pl.col("reach") < pl.col("end")).fill_null(value=True))
        .select(*WINDOWS)
        .sort("symbol", "start", "event_id")
    )


def cut_tiles(published: pl.DataFrame) -> pl.DataFrame:
    """Cut `published` so that no moment of a symbol is covered twice; adds `tile_start` and `tile_end`.

    The common part of overlapping spans is left to the one that starts first; spans with no part left are dropped.
    """
    reach = pl.col("end").cum_max().shift(1).over("symbol")
    return (
        published.sort("symbol", "start", "end")
        .with_columns(tile_start=pl.max_horizontal("start", reach), tile_end=pl.col("end"))
        .filter(pl.col("tile_start") < pl.col("tile_end"))
    )


def cut_pieces(windows: pl.DataFrame, published: pl.DataFrame) -> pl.DataFrame:
    """Where to read each window: its pieces [piece_start, piece_end), with the columns of the span of each piece."""
    return (
        windows.join(cut_tiles(published).drop("wave", strict=False), on="symbol", how="inner", suffix="_span")
        .with_columns(
            piece_start=pl.max_horizontal("start", "tile_start"), piece_end=pl.min_horizontal("end", "tile_end")
        )
        .filter(pl.col("piece_start") < pl.col("piece_end"))
        .sort("symbol", "start", "event_id", "piece_start")
    )


def current_spans(published: pl.DataFrame) -> pl.DataFrame:
    """Published spans (PUBLISHED) that lack no column."""
    return published.filter(pl.col("missing_columns").list.len() == 0)


def choose_pieces(windows: pl.DataFrame, published: pl.DataFrame) -> pl.DataFrame:
    """Where to read each window (see `cut_pieces`): in current files if they cover it fully, else in all files."""
    current = current_spans(published)
    if current.height == published.height:
        return cut_pieces(windows, published)
    not_current = uncovered_windows(windows.select(*WINDOWS), current).select("event_id")
    if not_current.is_empty():
        return cut_pieces(windows, current)
    chosen = [
        cut_pieces(windows.join(not_current, on="event_id", how="anti"), current),
        cut_pieces(windows.join(not_current, on="event_id", how="semi"), published),
    ]
    return pl.concat(chosen).sort("symbol", "start", "event_id", "piece_start")


def stale_windows(windows: pl.DataFrame, published: pl.DataFrame) -> pl.DataFrame:
    """Windows (STALE) that are published, but not fully in current files, with the columns that their files lack."""
    not_current = uncovered_windows(windows.select(*WINDOWS), current_spans(published))
    stale = not_current.join(uncovered_windows(not_current, published), on="event_id", how="anti")
    missing = (
        cut_pieces(stale, published)
        .group_by("event_id")
        .agg(pl.col("missing_columns").list.explode(keep_nulls=False, empty_as_null=False).unique().sort())
    )
    return stale.join(missing, on="event_id", how="left", maintain_order="left").select(*STALE).match_to_schema(STALE)
