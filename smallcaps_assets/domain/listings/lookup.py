"""Which listing a symbol belonged to on a day, and what was known of it then."""

from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.domain.listings.tables import IDENTITIES, LISTING_FACTS

# FIGIs and CIK, in the order in which they count
_NUMBERS: Final = [name for name in IDENTITIES if name != "name"]


def listed_on(listings: pl.DataFrame, facts: pl.DataFrame, day: date) -> pl.DataFrame:
    """The listings of one session (LISTINGS), with the name, type and exchange of that day; one row per symbol.

    A symbol whose border is not exact has no row between the days on which it is known.

    Args:
        listings: LISTINGS.
        facts: LISTING_FACTS.
        day: the session.
    """
    there = pl.lit(day).is_between("active_from", pl.col("active_to").fill_null(date.max))
    then = facts.filter(pl.lit(day).is_between("valid_from", pl.col("valid_to").fill_null(date.max)))
    names = ["ticker_type", "primary_exchange", "name"]
    rows = listings.filter(there).drop(names).join(then.select("listing_id", *names), on="listing_id", how="left")
    return rows.select(listings.columns).sort("symbol")


def with_listing(rows: pl.DataFrame, listings: pl.DataFrame, day: str) -> pl.DataFrame:
    """`rows` in their order, with `listing_id`: the listing of their `symbol` on their day, null where none is known.

    Args:
        rows: a frame with `symbol` and a column of dates.
        listings: LISTINGS.
        day: the name of the column of dates.
    """
    spans = listings.select("symbol", "listing_id", "active_to", _from="active_from")
    found = _last_before(rows, spans, day)
    inside = pl.col(day) <= pl.col("active_to").fill_null(date.max)
    return found.with_columns(pl.when(inside).then("listing_id").alias("listing_id")).drop("active_to")


def with_listing_facts(rows: pl.DataFrame, facts: pl.DataFrame, day: str) -> pl.DataFrame:
    """`rows` in their order, with `listing_id`, `ticker_type`, `primary_exchange` and `name` as of their day.

    All are null where no listing of their `symbol` is known on that day.

    Args:
        rows: a frame with `symbol` and a column of dates.
        facts: LISTING_FACTS.
        day: the name of the column of dates.
    """
    names = [name for name in LISTING_FACTS if name not in ("symbol", "valid_from", "valid_to", "from_is_exact")]
    spans = facts.select("symbol", *names, "valid_to", _from="valid_from")
    found = _last_before(rows, spans, day)
    inside = pl.col(day) <= pl.col("valid_to").fill_null(date.max)
    return found.with_columns(pl.when(inside).then(name).alias(name) for name in names).drop("valid_to")


def is_of_another_security(rows: pl.DataFrame, listings: pl.DataFrame, day: str) -> pl.Series:
    """Whether rows are of another security than the listing of their `symbol` on their day (Boolean, in their order).

    The first number that both have decides, as between two rows of the vendor's lists (see `is_same_security`); where
    they have none in common, or no listing is known on that day, a row is not of another.

    Args:
        rows: a frame with `symbol`, a column of dates and the numbers of a security.
        listings: LISTINGS.
        day: the name of the column of dates.
    """
    numbers = listings.select("listing_id", *(pl.col(name).alias(f"_{name}") for name in _NUMBERS))
    both = with_listing(rows, listings, day).join(numbers, on="listing_id", how="left", maintain_order="left")
    differs = (pl.col(name) != pl.col(f"_{name}") for name in _NUMBERS)
    return both.select(pl.coalesce(*differs, pl.lit(value=False))).to_series()


def _last_before(rows: pl.DataFrame, spans: pl.DataFrame, day: str) -> pl.DataFrame:
    """`rows` with the columns of the last span of their symbol that begins on their day or before."""
    numbered = rows.with_row_index("_row").sort(day)
    joined = numbered.join_asof(
        spans.sort("_from"), left_on=day, right_on="_from", by="symbol", strategy="backward", check_sortedness=False
    )
    return joined.sort("_row").drop("_row", "_from", strict=False)
