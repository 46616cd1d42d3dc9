"""Windows without trades or quotes although there was trading (specification, section 6).

Such a window keeps its state and gets one of CONTRADICTIONS as its cause. Empty trades are contradicted by bars with
volume in the same minutes; empty quotes by such bars as well, and by trades in the window. Where no bars are published,
nothing contradicts empty trades.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final

import polars as pl

from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind

BY_BARS: Final = "contradicted by the bars"
BY_TRADES: Final = "contradicted by the trades"
CONTRADICTIONS: Final = (BY_BARS, BY_TRADES)
_MINUTE: Final = timedelta(minutes=1)


def whole_minutes(windows: pl.DataFrame) -> pl.DataFrame:
    """The minutes that lie entirely in windows (columns event_id, symbol, start, end): event_id, symbol, timestamp."""
    begun = pl.col("start").dt.truncate("1m")
    first = pl.when(begun < pl.col("start")).then(begun + _MINUTE).otherwise(begun)
    last = pl.col("end").dt.truncate("1m")
    return (
        windows.select("event_id", "symbol", first=first, last=last)
        .filter(pl.col("first") < pl.col("last"))
        .select("event_id", "symbol", timestamp=pl.datetime_ranges("first", "last", "1m", closed="left"))
        .explode("timestamp")
    )


def with_volume(minutes: pl.DataFrame, bars: pl.DataFrame) -> set[str]:
    """Events of `minutes` (as of `whole_minutes`) in which `bars` (symbol, timestamp, volume) have volume."""
    if bars.is_empty():
        return set()
    traded = bars.filter(pl.col("volume") > 0)
    return set(minutes.join(traded, on=["symbol", "timestamp"], how="semi")["event_id"])


def contradiction(traded: Collection[str]) -> pl.Expr:
    """The cause of the published windows of a ledger that are contradicted; null for all others.

    Args:
        traded: events whose windows have volume according to bars; only those with empty trades or quotes matter.
    """
    no_trades, no_quotes = (pl.col(f"{kind}_rows") == 0 for kind in TAPE_KINDS)
    published = pl.all_horizontal(pl.col(f"{kind}_rows").is_not_null() for kind in TAPE_KINDS)
    has_volume = pl.col("event_id").is_in(list(traded))
    return (
        pl.when(published & (no_trades | no_quotes) & has_volume)
        .then(pl.lit(BY_BARS))
        .when(published & no_quotes & ~no_trades)
        .then(pl.lit(BY_TRADES))
    )


def is_contradicted() -> pl.Expr:
    """Whether a window of a ledger is empty, wholly or of one kind, although there was trading."""
    return pl.col("cause").is_in(CONTRADICTIONS).fill_null(value=False)


def count_contradicted(ledger: pl.DataFrame) -> dict[TapeKind, int]:
    """Number of contradicted windows of a ledger by kind of tape that is empty."""
    found = ledger.filter(is_contradicted())
    return {kind: found.filter(pl.col(f"{kind}_rows") == 0).height for kind in TAPE_KINDS}


def describe_contradicted(counts: Mapping[TapeKind, int]) -> str | None:
    """The empty windows that are contradicted, in words; None where there are none."""
    parts = [f"{kind} of {count:,} window{'s' if count > 1 else ''}" for kind, count in counts.items() if count]
    return f"{' and '.join(parts)} empty although bars or trades of the same minutes show trading" if parts else None
