"""Checks of bars that flat files have as well: whether the sources agree, and whether replaced files were taken."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.bars.source_differences import ROUNDING
from smallcaps_assets.domain.findings import Finding, finding

# sessions of symbols that flat files are about, one row per kind of difference, one with null where there is none
COMPARED_SESSIONS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "day": pl.Date(),
        "etag": pl.String(),  # of the file
        "is_source": pl.Boolean(),  # whether the file's bars are stored
        "kind": pl.String(),
        "minutes": pl.Int64(),
    }
)
_SESSION: Final = ("symbol", "day")


def flat_files_agree(sessions: pl.DataFrame) -> Finding:
    """Whether the bars of REST and of flat files agreed in all sessions (COMPARED_SESSIONS) that were compared.

    Values that differ after the sixth digit only are counted, and break nothing.
    """
    differing = sessions.filter(pl.col("kind").is_not_null())
    breaking = differing.filter(pl.col("kind") != ROUNDING).select(*_SESSION, "kind", "minutes")
    compared = sessions.filter(~pl.col("is_source") | pl.col("kind").is_not_null()).select(_SESSION).n_unique()
    counts = differing.group_by("kind").agg(pl.col("minutes").sum()).sort("kind")
    figures = {
        "sessions_from_files": sessions.filter("is_source").select(_SESSION).n_unique(),
        "sessions_compared": compared,
        "sessions_differing": breaking.select(_SESSION).n_unique(),
        **{f"minutes_{kind}": minutes for kind, minutes in counts.iter_rows()},
    }
    found = finding("flat_files_agree", breaking.sort(*_SESSION, "kind"), figures, severe=False)
    return found.unjudged_if(not compared, "no session has bars of both sources that were compared")


def flat_files_current(sessions: pl.DataFrame, files: pl.DataFrame) -> Finding:
    """Whether stored sessions (COMPARED_SESSIONS) are those of the present files (`day`, `etag`)."""
    of_files = sessions.filter("is_source").unique(_SESSION)
    stale = of_files.join(files, on="day", suffix=" of file").filter(pl.col("etag") != pl.col("etag of file"))
    breaking = stale.select(*_SESSION).sort("day", "symbol")
    figures = {
        "sessions_from_files": of_files.height,
        "symbols_stale": breaking["symbol"].n_unique(),
        "days_stale": breaking["day"].n_unique(),
    }
    found = finding("flat_files_current", breaking, figures, severe=False)
    return found.unjudged_if(of_files.is_empty(), "no session is from a flat file")
