"""What may enter a table: bad bars are set aside with the reason, never silently dropped."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.tables import BARS, EVENT_TYPES, EVENTS, SESSIONS, matched, symbol_is_safe

QUARANTINED_BARS: Final = pl.Schema({**BARS, "reason": pl.String()})
PRICES: Final = ("open", "high", "low", "close")


class CleanBars(NamedTuple):
    """Bars that may be used, sorted and unique by (symbol, timestamp), and those that may not, with a `reason`."""

    good: pl.DataFrame
    quarantined: pl.DataFrame


def clean_bars(bars: pl.DataFrame) -> CleanBars:
    """Separate usable bars from the rest (specification, section 1).

    NaN and infinity count as null. A row is quarantined for an unusable symbol, no timestamp, a null or non-positive
    price, `high` or `low` that contradict open and close, a volume that is null or not positive, or because a usable
    row of the same symbol and timestamp came before it.
    """
    floats = [name for name, dtype in BARS.items() if dtype == pl.Float64]
    low, high, volume = pl.col("low"), pl.col("high"), pl.col("volume")
    reason = (
        pl.when(~symbol_is_safe(pl.col("symbol")))
        .then(pl.lit("symbol is not usable as a name"))
        .when(pl.col("timestamp").is_null())
        .then(pl.lit("timestamp is missing or implausible"))
        .when(pl.any_horizontal(*(pl.col(name).is_null() | (pl.col(name) <= 0) for name in PRICES)))
        .then(pl.lit("a price is missing or not positive"))
        .when((high < pl.max_horizontal("open", "close")) | (low > pl.min_horizontal("open", "close")) | (high < low))
        .then(pl.lit("high or low contradicts open and close"))
        .when(volume.is_null() | (volume <= 0))
        .then(pl.lit("volume is missing or not positive"))
    )
    judged = (
        matched(bars.lazy(), BARS, "bars")
        .with_columns(pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name in floats)
        .with_columns(reason=reason)
        .collect()
    )
    usable = judged.filter(pl.col("reason").is_null())
    repeated = ~pl.struct("symbol", "timestamp").is_first_distinct()
    if usable.select(pl.struct("symbol", "timestamp").n_unique()).item() != usable.height:
        again = usable.filter(repeated).with_columns(reason=pl.lit("repeats the minute of an earlier row"))
        usable = usable.filter(~repeated)
    else:
        again = usable.clear()
    refused = pl.concat([judged.filter(pl.col("reason").is_not_null()), again]).match_to_schema(QUARANTINED_BARS)
    return CleanBars(
        good=usable.drop("reason").sort("symbol", "timestamp"), quarantined=refused.sort("symbol", "timestamp")
    )


def reasons(quarantined: pl.DataFrame) -> dict[str, int]:
    """How many rows were refused for each reason, most frequent first."""
    counts = quarantined.group_by("reason").len().sort("len", "reason", descending=[True, False])
    return dict(counts.iter_rows())


def master_problems(master: pl.DataFrame) -> list[str]:
    """What of a MASTER table (EVENTS) would poison a ranking, in words; empty where nothing does."""
    return [problem for problem in _master_problems(master) if problem]


def _master_problems(master: pl.DataFrame) -> Iterator[str]:
    keys = ("symbol", "event_type", "timestamp", "session", "score", "date", "event_id", "event_group_id")
    floats = [name for name, dtype in EVENTS.items() if dtype.is_float()]
    counts: dict[str, dict[str, int]] = {
        "null": {name: master[name].null_count() for name in keys},
        "NaN": {name: int(master[name].is_nan().sum()) for name in floats},
        "infinite": {name: int(master[name].is_infinite().sum()) for name in floats},
        "repeated": {"event_id": int(master["event_id"].is_duplicated().sum())},
    }
    for problem, found in counts.items():
        yield ", ".join(f"{problem} {name} in {count:,} rows" for name, count in found.items() if count)
    known: dict[str, tuple[str, ...]] = {"event_type": EVENT_TYPES, "session": SESSIONS}
    for name, values in known.items():
        others = master[name].drop_nulls().unique().sort().to_list()
        yield ", ".join(f"{name} {value!r} is none of {', '.join(values)}" for value in others if value not in values)
    undated = (
        master["date"].drop_nulls().filter(master["date"].drop_nulls().str.to_date("%Y-%m-%d", strict=False).is_null())
    )
    if undated.len():
        yield f"date {undated[0]!r} is not YYYY-MM-DD"
