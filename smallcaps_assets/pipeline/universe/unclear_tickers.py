"""Tickers of the vendor's list that are not clear: two rows that contradict each other, or names that look alike."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.symbols import canonical_symbol
from smallcaps_assets.domain.universe import SOURCE_REJECTION

# A company has one type and one exchange: rows of a ticker that differ there are of different companies, or wrong.
_IDENTITY: Final = ("ticker_type", "primary_exchange")


class Unclear(NamedTuple):
    """Listings without what is not clear in them."""

    rows: pl.DataFrame  # the listings; SOURCE_REJECTION holds the reason of those rejected
    rejected: dict[str, str]  # symbols, each with its reason
    notes: list[str]  # to log


def reject_unclear(listed: pl.DataFrame) -> Unclear:
    """Listings (active, the columns of LISTED and SOURCE_REJECTION) with a reason for each symbol that is not clear.

    Args:
        listed: the rows of a symbol in the order in which they count; those that are active, or delisted on the same
            day, as the first is, contradict each other if they differ, and others are of earlier companies.
    """
    state = pl.struct("active", "delisted")
    newest = listed.filter(state == state.first().over("symbol"), pl.col(SOURCE_REJECTION).is_null())
    repeated = newest.filter(pl.col("symbol").is_duplicated()).unique(maintain_order=True)
    rejected = _contradictions(repeated) | _indistinct(listed)
    reasons = pl.DataFrame(
        {"symbol": list(rejected), "unclear": list(rejected.values())},
        schema={"symbol": pl.String, "unclear": pl.String},
    )
    rows = listed.join(reasons, on="symbol", how="left", maintain_order="left")
    rows = rows.with_columns(pl.coalesce("unclear", SOURCE_REJECTION).alias(SOURCE_REJECTION)).drop("unclear")
    notes = [f"left out of the vendor's list: {symbol}, {reason}" for symbol, reason in rejected.items()]
    others = repeated.filter(pl.col("symbol").is_duplicated())["symbol"].unique().sort()
    if alike := [symbol for symbol in others if symbol not in rejected]:
        notes.append(f"the vendor lists {', '.join(alike)} several times with different details; the first ones count")
    return Unclear(rows, rejected, notes)


def _contradictions(repeated: pl.DataFrame) -> dict[str, str]:
    """The symbols whose rows are of several types or exchanges."""
    identity = pl.format("{} on {}", *(pl.col(name).fill_null("unknown") for name in _IDENTITY))
    found = (
        repeated.group_by("symbol")
        .agg(identity.unique(maintain_order=True).alias("identities"))
        .filter(pl.col("identities").list.len() > 1)
        .sort("symbol")
    )
    return {symbol: f"the vendor lists it as {' and as '.join(names)}" for symbol, names in found.iter_rows()}


def _indistinct(listed: pl.DataFrame) -> dict[str, str]:
    """The symbols without a capital letter whose spelling in capitals is another symbol: files of users mean that."""
    names = listed.select("symbol", capitals=canonical_symbol(pl.col("symbol"))).unique().sort("symbol")
    found = names.filter(pl.col("symbol") != pl.col("capitals"), pl.col("capitals").is_in(names["symbol"].implode()))
    return {
        symbol: f"the vendor lists {capitals} as well, which differs only in case" for symbol, capitals in found.rows()
    }
