"""Whether the sizes of quotes look like the unit that they are said to have (research specification, section 0.7).

The unit is a dated setting and never inferred; what contradicts it is counted, for people to look at.
"""

from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.tape.size_units import DEFAULT_SIZE_UNIT

# The positive sizes of a span before its first event: how many, how many whole hundreds, their median.
SPAN_SIZES: Final = pl.Schema(
    {"path": pl.String(), "sizes": pl.Int64(), "hundreds": pl.Int64(), "median": pl.Float64()}
)
_HUNDRED: Final = 100.0
_MOST_IN_LOTS: Final = 0.9
_LEAST_IN_SHARES: Final = 0.5


def span_sizes(quotes: pl.LazyFrame) -> pl.LazyFrame:
    """SPAN_SIZES of spans with a positive size.

    Args:
        quotes: `path`, `bid_size` and `ask_size` of the quotes of each span before its first event.
    """
    sizes = pl.concat([quotes.select("path", size=f"{side}_size") for side in ("bid", "ask")])
    return (
        sizes.filter(pl.col("size") > 0)
        .group_by("path")
        .agg(
            sizes=pl.len().cast(pl.Int64),
            hundreds=(pl.col("size") % _HUNDRED == 0).sum().cast(pl.Int64),
            median=pl.col("size").median(),
        )
    )


def contradicts_unit() -> pl.Expr:
    """Whether SPAN_SIZES contradict their `unit`: lots of which nearly all are whole hundreds, or small odd shares."""
    share = pl.col("hundreds") / pl.col("sizes")
    as_lots = (pl.col("unit") == "lots") & (share >= _MOST_IN_LOTS)
    as_shares = (pl.col("unit") == "shares") & (share < _LEAST_IN_SHARES) & (pl.col("median") < _HUNDRED)
    return as_lots | as_shares


def with_unit(spans: pl.DataFrame, shares_from: date | None) -> pl.DataFrame:
    """Spans (`start` in UTC, `quote_size_unit` of their footers) with `month` (New York) and the `unit` in force.

    As for the research tables, the setting decides; the footers do where it is null.
    """
    day = pl.col("start").dt.convert_time_zone(NEW_YORK).dt.date()
    if shares_from is None:
        unit = pl.col("quote_size_unit").fill_null(DEFAULT_SIZE_UNIT)
    else:
        unit = pl.when(day < shares_from).then(pl.lit("lots")).otherwise(pl.lit("shares"))
    return spans.with_columns(month=day.dt.to_string("%Y-%m"), unit=unit)


def contradictions_by_month(spans: pl.DataFrame) -> pl.DataFrame:
    """`month`, `unit`, `spans` and how many of them are `contradicting`, by month; spans have SPAN_SIZES."""
    return (
        spans.group_by("month", "unit")
        .agg(spans=pl.len().cast(pl.Int64), contradicting=contradicts_unit().sum().cast(pl.Int64))
        .sort("month", "unit")
    )
