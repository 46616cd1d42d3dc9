"""Published windows that are empty although there was trading, and the files to ask for again."""

import polars as pl

from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.tape.tables import SPANS, WINDOWS
from smallcaps_assets.domain.tape.windows import choose_pieces, uncovered_windows
from smallcaps_assets.lake.tape.bar_minutes import events_with_volume
from smallcaps_assets.lake.tape.store import TapeBacklog, TapeStore


def contradicted_windows(
    tape: TapeStore, kind: TapeKind, windows: pl.DataFrame, published: pl.DataFrame
) -> pl.DataFrame:
    """Windows (WINDOWS) that are published without a row of `kind` although there was trading.

    Reads bars only of the minutes of empty windows, and rows of tape only where a file covers more than its window.

    Args:
        tape: the tape.
        kind: trades or quotes.
        windows: the windows; further columns are ignored.
        published: published spans (PUBLISHED) of that kind.

    Raises:
        LakeError: a file cannot be read.
    """
    empty = _empty_windows(tape, kind, windows.select(*WINDOWS), published)
    traded = events_with_volume(tape.lake, empty)
    if kind == "quotes" and len(traded) < empty.height:
        trades = tape.published("trades", empty["symbol"].unique().sort().to_list())
        without = uncovered_windows(empty, trades)["event_id"]
        without = pl.concat([without, _empty_windows(tape, "trades", empty, trades)["event_id"]])
        traded |= set(empty["event_id"]) - set(without)
    return empty.filter(pl.col("event_id").is_in(list(traded)))


def add_contradicted(tape: TapeStore, kind: TapeKind, backlog: TapeBacklog) -> TapeBacklog:
    """A backlog with the published files added that hold contradicted windows of the backlog's symbols and waves.

    Each is asked for again as a whole, so that it is replaced in its place.

    Raises:
        LakeError: a file cannot be read.
    """
    found = contradicted_windows(tape, kind, backlog.windows, backlog.published)
    files = choose_pieces(found, backlog.published).select("path").unique()
    again = (
        backlog.published.join(files, on="path", how="semi")
        .join(backlog.windows, on=["symbol", "wave"], how="semi")
        .join(backlog.spans, on=["symbol", "wave", "start", "end"], how="anti")
        .sort("symbol", "wave", "start")
        .select(*SPANS)
    )
    return backlog._replace(spans=pl.concat([backlog.spans, again]), retried=again)


def _empty_windows(tape: TapeStore, kind: TapeKind, windows: pl.DataFrame, published: pl.DataFrame) -> pl.DataFrame:
    """The published ones of `windows` (WINDOWS) that have no row."""
    covered = windows.join(uncovered_windows(windows, published), on="event_id", how="anti")
    where = choose_pieces(covered, published)
    is_whole = (pl.col("piece_start") == pl.col("start_span")) & (pl.col("piece_end") == pl.col("end_span"))
    has_rows = where.filter(is_whole & (pl.col("rows") > 0))["event_id"]
    open_pieces = where.filter(~is_whole & (pl.col("rows") > 0), ~pl.col("event_id").is_in(has_rows.implode()))
    counted = tape.count_pieces(kind, open_pieces)["event_id"]
    return covered.filter(~pl.col("event_id").is_in(pl.concat([has_rows, counted]).implode()))
