"""Whether certainly no security was listed under a symbol on a day, and the other names of securities."""

from collections.abc import Collection
from typing import Final

import polars as pl

from smallcaps_assets.domain.listings.lookup import with_listing

_DAY: Final = "_day"
# Listings of a symbol that had another ticker before or after.
RENAMED: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "former_symbol": pl.String(),
        "active_from": pl.Date(),
        "next_symbol": pl.String(),
        "active_to": pl.Date(),
    }
)


def absences(rows: pl.DataFrame, listings: pl.DataFrame, day: str) -> pl.Series:
    """Of each row whether its symbol is known to be listed under no security on its day; false where that is unknown.

    It is known where the listing before ended on an exact day, and the one after begins on one, and there is either.

    Args:
        rows: a frame with `symbol` and a column of dates.
        listings: LISTINGS.
        day: the name of the column of dates.
    """
    ended = listings.select("symbol", "to_is_exact", _from="active_from").sort("_from")
    begins = listings.select("symbol", "from_is_exact", _next="active_from").sort("_next")
    asked = with_listing(rows.select("symbol", pl.col(day).alias(_DAY)), listings, _DAY)
    sides = (
        asked.with_row_index("_row")
        .sort(_DAY)
        .join_asof(ended, left_on=_DAY, right_on="_from", by="symbol", strategy="backward", check_sortedness=False)
        .join_asof(begins, left_on=_DAY, right_on="_next", by="symbol", strategy="forward", check_sortedness=False)
        .sort("_row")
    )
    known = pl.col("_from").is_not_null() | pl.col("_next").is_not_null()
    certain = pl.col("to_is_exact").fill_null(value=True) & pl.col("from_is_exact").fill_null(value=True)
    return sides.select(pl.col("listing_id").is_null() & known & certain).to_series().alias("absent")


def renamed(listings: pl.DataFrame, symbols: Collection[str]) -> pl.DataFrame:
    """The listings (RENAMED) of some symbols whose security had another ticker before or after, in their order."""
    named = pl.col("former_symbol").is_not_null() | pl.col("next_symbol").is_not_null()
    return listings.filter(pl.col("symbol").is_in(list(symbols)), named).select(*RENAMED).sort("symbol", "active_from")


def describe_renamed(row: dict[str, object]) -> str:
    """One row of RENAMED in words."""
    names = (("former_symbol", "before", "active_from"), ("next_symbol", "after", "active_to"))
    parts = [f"{row[name]} {when} {row[day]}" for name, when, day in names if row[name]]
    return f"{row['symbol']}: {', '.join(parts)}"


def name_notes(events: pl.DataFrame, listings: pl.DataFrame) -> dict[str, str]:
    """By event, what a page says of the names of its security; events without another name or owner are left out.

    That a security was renamed later is hindsight, and the note says so.

    Args:
        events: `event_id`, `symbol` and `date`.
        listings: LISTINGS.
    """
    rows = with_listing(events.with_columns(pl.col("date").str.to_date("%Y-%m-%d").alias(_DAY)), listings, _DAY)
    ended = pl.col("active_to").shift(1).over("symbol")
    notes = listings.sort("symbol", "active_from").select(
        "listing_id",
        note=pl.concat_str(
            pl.format("formerly {}", "former_symbol"),
            pl.format("another company's ticker until {}", ended),
            pl.format("hindsight: {} after {}", "next_symbol", "active_to"),
            separator=" · ",
            ignore_nulls=True,
        ),
    )
    found = rows.join(notes.filter(pl.col("note") != ""), on="listing_id", how="inner", maintain_order="left")
    return dict(found.select("event_id", "note").iter_rows())
