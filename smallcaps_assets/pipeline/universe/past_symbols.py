"""Symbols that today's list lacks and that were in the universe once, from the listings of a lake."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

import polars as pl

from smallcaps_assets.domain.listings.past_symbols import add_past_symbols, eligible_symbols, follow_past_symbols
from smallcaps_assets.domain.universe import UniverseParams
from smallcaps_assets.domain.versions import rows_digest
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore

# Returns the market caps (SHARES) of symbols on days (`symbol`, `asked_for`).
PastCaps = Callable[[pl.DataFrame], pl.DataFrame]
_MARKET_CAP: Final = "market_cap"


@dataclass(frozen=True)
class PastSymbols:
    """The symbols that had a wanted type and exchange on a day of the history.

    Attributes:
        eligible: ELIGIBLE.
        params: the filters.
    """

    eligible: pl.DataFrame
    params: UniverseParams

    @classmethod
    def in_force(cls, lake: Lake, params: UniverseParams, first_session: date) -> Self | None:
        """Those of a lake; None without listings, for named symbols, and where the universe is that of today.

        Raises:
            LakeError: the listings are damaged or cannot be read.
        """
        facts = ListingStore(lake).facts() if params.judges_events else None
        return None if facts is None else cls(eligible_symbols(facts, params, first_session), params)

    def inputs(self) -> dict[str, str]:
        """What they add to the inputs of a universe."""
        return {"listings": rows_digest(self.eligible)}

    def added_to(self, listed: pl.DataFrame) -> pl.DataFrame:
        """See `add_past_symbols`."""
        return add_past_symbols(listed, self.eligible)

    def followed_in(
        self, judged: pl.DataFrame, caps: PastCaps, as_of: date, log: Callable[[str], None]
    ) -> pl.DataFrame:
        """See `follow_past_symbols`. Symbols that are large today are followed if they were not on an earlier day.

        Looked at is the first day of each year of the history until `as_of`, from the earliest on, until one is below
        the limit. Where the vendor gives no earlier market cap, a large symbol is not followed; their number is logged.
        """
        large = judged.filter(excluded_by=_MARKET_CAP).select("symbol")
        days = _first_days_of_years(self.eligible.join(large, on="symbol", how="semi"), as_of)
        left = days.select("symbol").unique().sort("symbol")
        known, limit = left.clear(), self.params.max_market_cap_usd
        for _, of_year in sorted(days.partition_by("year", as_dict=True).items()):
            asked = of_year.join(left, on="symbol", how="semi").select("symbol", "asked_for")
            if asked.is_empty() or limit is None:
                continue
            found = caps(asked).drop_nulls("market_cap_usd")
            known = pl.concat([known, found.select("symbol")]).unique()
            left = left.join(found.filter(pl.col("market_cap_usd") <= limit), on="symbol", how="anti")
        unknown = left.join(known, on="symbol", how="anti")
        if days.height:
            above = left.height - unknown.height
            log(
                f"{count_noun(large.height, 'symbol')} above the limit of the market cap today: "
                f"{days['symbol'].n_unique() - left.height:,} below it on the first day of a year and followed for "
                f"events of then, {unknown.height:,} without an earlier market cap and not followed, {above:,} above "
                "it on each of these days and not followed: whether they were below it in between is not looked at"
            )
        return follow_past_symbols(judged, self.eligible, self.params, left["symbol"], unknown["symbol"])


def _first_days_of_years(eligible: pl.DataFrame, until: date) -> pl.DataFrame:
    """`symbol`, `year` and `asked_for`: the first day of each year, or that of the listing in its first year."""
    first, last = pl.col("first").dt.year(), pl.col("last").fill_null(until).dt.year()
    years = pl.int_ranges(first, pl.max_horizontal(first, last) + 1)
    rows = eligible.with_columns(year=years).explode("year", empty_as_null=False, keep_nulls=False)
    begin = pl.date(pl.col("year"), 1, 1)
    return rows.select("symbol", pl.col("year").cast(pl.Int32), asked_for=pl.max_horizontal("first", begin))
