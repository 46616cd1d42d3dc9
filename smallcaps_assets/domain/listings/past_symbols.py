"""Symbols that were in the universe once: listed within the history with a type and exchange that the filters want."""

from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.domain.universe import LISTED, SOURCE_REJECTION, UniverseParams

# The listing of a symbol that would have passed the filters of type and exchange last: its LISTED columns, and from and
# to when the ticker was listed within the history.
ELIGIBLE: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "name": pl.String(),
        "ticker_type": pl.String(),
        "primary_exchange": pl.String(),
        "first": pl.Date(),
        "last": pl.Date(),
        "former": pl.Boolean(),
    }
)
# Filters of today that say nothing about earlier dates.
_OF_TODAY: Final = ("delisted", "type", "exchange", "price", "market_cap")
_FOLLOWED: Final = "followed for earlier events"
# what the reason says of symbols of which earlier market caps decide that they are not followed
LARGE_THROUGHOUT: Final = "above it on the first day of each year as well; not looked at in between"
NO_EARLIER_CAP: Final = "no earlier market cap is known"


def eligible_symbols(facts: pl.DataFrame, params: UniverseParams, first_session: date) -> pl.DataFrame:
    """The symbols (ELIGIBLE) that had the wanted type and exchange on a day of the history, sorted.

    `first` and `last` are those days, `last` null where the ticker is still listed; `former` whether it is not.

    Args:
        facts: LISTING_FACTS.
        params: the filters.
        first_session: where history begins.
    """
    rows = facts.filter(pl.col("valid_to").fill_null(date.max) >= first_session)
    for column, wanted in (("ticker_type", params.ticker_types), ("primary_exchange", params.exchanges)):
        if wanted is not None:
            rows = rows.filter(pl.col(column).is_in(wanted))
    ordered = rows.sort("symbol", "valid_from")
    ended = pl.col("valid_to").is_null().any()
    return (
        ordered.group_by("symbol", maintain_order=True)
        .agg(
            pl.col("name", "ticker_type", "primary_exchange").last(),
            first=pl.max_horizontal(pl.col("valid_from").min(), pl.lit(first_session)),
            last=pl.when(~ended).then(pl.col("valid_to").max()),
        )
        .with_columns(former=pl.col("last").is_not_null())
        .select(*ELIGIBLE)
    )


def add_past_symbols(listed: pl.DataFrame, eligible: pl.DataFrame) -> pl.DataFrame:
    """`listed` (LISTED and SOURCE_REJECTION) with the eligible symbols (ELIGIBLE) that it lacks, as delisted ones."""
    missing = eligible.join(listed, on="symbol", how="anti")
    rows = missing.select("symbol", "name", "ticker_type", "primary_exchange", delisted="last")
    schema = pl.Schema({**LISTED, SOURCE_REJECTION: pl.String()})
    return pl.concat([listed, rows.match_to_schema(schema, missing_columns="insert").select(listed.columns)])


def follow_past_symbols(
    judged: pl.DataFrame, eligible: pl.DataFrame, params: UniverseParams, large: pl.Series, unknown: pl.Series
) -> pl.DataFrame:
    """`judged` in which eligible symbols are active though a filter of today excludes them, which stays named.

    The reason of those that are large today and not followed says what of their earlier market caps was looked at.

    Args:
        judged: what `judge_listings` returns.
        eligible: ELIGIBLE.
        params: the filters; delisted symbols are followed even if `include_delisted` is false.
        large: symbols that were above the limit of the market cap whenever that was looked at, or of which no earlier
            one is known.
        unknown: those of them of which none is known.
    """
    joined = judged.join(eligible.select("symbol", "former", once=True), on="symbol", how="left", maintain_order="left")
    # one that the vendor lists today is not gone, even where the listings have not seen its return yet
    is_former = pl.col("former").fill_null(value=False) & pl.col("delisted").is_not_null()
    gone = pl.col("active") & is_former & (not params.include_delisted)
    by = pl.when(gone).then(pl.lit("delisted")).otherwise("excluded_by")
    reason = pl.when(gone).then(pl.format("delisted after {}", "delisted")).otherwise(pl.col("reason"))
    joined = joined.with_columns(excluded_by=by, reason=reason)
    followed = (
        pl.col("once").fill_null(value=False)
        & pl.col("excluded_by").is_in(_OF_TODAY)
        & ~pl.col("symbol").is_in(large.implode())
    )
    text = pl.format(f"{_FOLLOWED}; today {{}}", pl.col("reason"))
    looked_at = (pl.col("excluded_by") == "market_cap") & pl.col("symbol").is_in(large.implode())
    is_unknown = pl.col("symbol").is_in(unknown.implode())
    why = pl.when(is_unknown).then(pl.lit(NO_EARLIER_CAP)).otherwise(pl.lit(LARGE_THROUGHOUT))
    reason = (
        pl.when(followed)
        .then(text)
        .when(looked_at & pl.col("once").fill_null(value=False))
        .then(pl.format("{}; {}", "reason", why))
        .otherwise("reason")
    )
    return joined.with_columns(active=(pl.col("active") & ~gone) | followed, reason=reason).drop("former", "once")


def count_not_followed(rows: pl.DataFrame) -> tuple[int, int]:
    """Symbols above the limit of the market cap today that are not followed for earlier events.

    Returns:
        How many were above it on the first day of each year as well, so that a time below it in between is missed; and
        of how many no earlier market cap is known.

    Args:
        rows: with `reason`, of a universe.
    """
    reasons = rows["reason"].drop_nulls()
    return int(reasons.str.ends_with(LARGE_THROUGHOUT).sum()), int(reasons.str.ends_with(NO_EARLIER_CAP).sum())
