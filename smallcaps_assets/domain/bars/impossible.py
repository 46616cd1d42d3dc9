"""Sessions of which most bars are impossible: the answer is wrong as a whole, not a few bars of it."""

from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.words import count_noun

# Bad bars are rare; a faulty column is wrong in nearly all of them. One is allowed in a session of any length.
MOST_IMPOSSIBLE_BARS: Final = 0.5


def find_impossible_sessions(good: pl.DataFrame, rejected: pl.DataFrame) -> dict[date, str]:
    """New York dates of which most bars with a volume were rejected, each with the reason and one of the bars.

    Bars without a volume do not count: some vendors fill up minutes without trades.

    Args:
        good: usable bars (BARS) of one symbol.
        rejected: the unusable ones (QUARANTINED_BARS).
    """
    day = new_york_date(pl.col("timestamp")).alias("day")
    dated = rejected.filter(pl.col("timestamp").is_not_null() & (pl.col("volume") != 0)).with_columns(day)
    if dated.is_empty():
        return {}
    counts = dated.group_by("day").agg(bad=pl.len()).join(good.group_by(day).len("usable"), on="day", how="left")
    of = pl.col("bad") + pl.col("usable").fill_null(0)
    many = counts.filter(pl.col("bad") > pl.max_horizontal(1.0, MOST_IMPOSSIBLE_BARS * of)).with_columns(of=of)
    return {
        row["day"]: _describe(dated.filter(day=row["day"]), row["bad"], row["of"])
        for row in many.sort("day").iter_rows(named=True)
    }


def _describe(bad: pl.DataFrame, count: int, of: int) -> str:
    reason = bad["reason"].mode().sort()[0]
    bar = bad.filter(reason=reason).row(0, named=True)
    values = ", ".join(f"{name} {bar[name]}" for name in ("open", "high", "low", "close", "volume"))
    return (
        f"impossible bars: {reason} in {count:,} of {count_noun(of, 'bar')}, such as "
        f"{bar['timestamp']:%Y-%m-%d %H:%M} UTC, {values}"
    )
