"""Rules that bars and events must meet before they enter a table; bad bars are quarantined with a reason."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.lengths import find_other_lengths, other_length_reason, starts_a_minute
from smallcaps_assets.domain.bars.unknown import MOST_PRICE_USD, MOST_SHARES, UNKNOWN, all_known, find_unknown
from smallcaps_assets.domain.bars.whole_prices import WHOLE_PRICES, find_whole_sessions
from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.symbols import symbol_is_safe
from smallcaps_assets.domain.tables import BARS, SESSIONS, match_columns
from smallcaps_assets.domain.words import count_noun

QUARANTINED_BARS: Final = pl.Schema({**BARS, "reason": pl.String()})
NOT_A_MINUTE: Final = "timestamp is not the start of a minute"
REPEATED: Final = "repeats the minute of an earlier row"
# of a row that contradicts the bar that stays
ANOTHER: Final = "another bar of a minute that has one"
PRICES: Final = ("open", "high", "low", "close")
TOO_HIGH: Final = f"a price is above {MOST_PRICE_USD:,.0f} dollars"


class CleanBars(NamedTuple):
    """Usable bars, sorted and unique by (symbol, timestamp), and quarantined rows with a `reason`.

    `unknown` (UNKNOWN) are the values of usable bars that meant "not known" and are null now.
    """

    good: pl.DataFrame
    quarantined: pl.DataFrame
    unknown: pl.DataFrame = UNKNOWN.to_frame()


def clean_bars(bars: pl.DataFrame, file: Sequence[str] = (), *, in_dollars: bool = True) -> CleanBars:
    """Separate usable bars (BARS) from the rest (specification, section 1).

    `file` are the columns, if any, that name the file of a row: each file has bars of one length. Unless prices are
    known to be `in_dollars`, sessions of `find_whole_sessions` are quarantined as well.

    NaN and infinity count as null. A row is quarantined for an unusable symbol, no timestamp, one off the minute, a
    null or non-positive price, `high` or `low` that contradict open and close, a volume that is null or not positive,
    a price above MOST_PRICE_USD, a volume above MOST_SHARES, because the bars of its session are of another length
    than a minute, or because a usable row of the same symbol and timestamp came before it. A number of transactions or
    a vwap that means "not known" beside a volume is null in usable bars.
    """
    usable, rejected = _judge_rows(bars, file, in_dollars=in_dollars)
    usable = usable.select(*BARS)
    repeated = ~pl.struct("symbol", "timestamp").is_first_distinct()
    if usable.select(pl.struct("symbol", "timestamp").n_unique()).item() != usable.height:
        again = usable.filter(repeated).with_columns(reason=pl.lit(REPEATED))
        rejected, usable = pl.concat([rejected, again]), usable.filter(~repeated)
    good = usable.sort("symbol", "timestamp")
    return CleanBars(good.with_columns(all_known()), rejected.sort("symbol", "timestamp"), find_unknown(good))


def usable_rows(bars: pl.DataFrame, beside: Collection[str] = (), *, in_dollars: bool = True) -> CleanBars:
    """Separate usable rows as `clean_bars` does, but without sorting and without removing repeats.

    `beside` names further text columns that usable rows keep: those that name their file.
    """
    usable, rejected = _judge_rows(bars, beside, in_dollars=in_dollars)
    return CleanBars(usable.with_columns(all_known()), rejected, find_unknown(usable))


def find_faults(bars: pl.DataFrame) -> pl.Series:
    """The reason for which each row (BARS) is unusable by itself; null where it is usable."""
    return _with_faults(bars)["reason"]


def _judge_rows(
    bars: pl.DataFrame, beside: Collection[str] = (), *, in_dollars: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Usable rows, with unknown values as given, and rejected ones (QUARANTINED_BARS)."""
    judged = _judge_lengths(_with_faults(bars, beside), beside)
    if not in_dollars:
        judged = _judge_prices(judged, beside)
    is_bad = pl.col("reason").is_not_null()
    rejected = judged.filter(is_bad).with_columns(pl.when(pl.col("vwap").is_finite()).then("vwap"))
    return judged.filter(~is_bad).drop("reason"), rejected.select(*QUARANTINED_BARS)


def _with_faults(bars: pl.DataFrame, beside: Collection[str] = ()) -> pl.DataFrame:
    """BARS and the columns of `beside` with the `reason` for which a row is unusable by itself."""
    floats = [name for name, dtype in BARS.items() if dtype == pl.Float64]
    finite: dict[str, pl.Expr] = {name: pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name in floats}
    # an infinite vwap is a value that means "not known", NaN is how tables without nulls say that there is none
    finite["vwap"] = pl.col("vwap").fill_nan(None)
    low, high, volume = pl.col("low"), pl.col("high"), pl.col("volume")
    reason = (
        pl.when(~symbol_is_safe(pl.col("symbol")))
        .then(pl.lit("symbol is not usable as a name"))
        .when(pl.col("timestamp").is_null())
        .then(pl.lit("timestamp is missing or implausible"))
        .when(~starts_a_minute())
        .then(pl.lit(NOT_A_MINUTE))
        .when(pl.any_horizontal(*(pl.col(name).is_null() | (pl.col(name) <= 0) for name in PRICES)))
        .then(pl.lit("a price is missing or not positive"))
        .when((high < pl.max_horizontal("open", "close")) | (low > pl.min_horizontal("open", "close")) | (high < low))
        .then(pl.lit("high or low contradicts open and close"))
        .when(volume.is_null() | (volume <= 0))
        .then(pl.lit("volume is missing or not positive"))
        .when(pl.any_horizontal(pl.col(name) > MOST_PRICE_USD for name in PRICES))
        .then(pl.lit(TOO_HIGH))
        .when(volume > MOST_SHARES)
        .then(pl.lit("the volume is too large for any market"))
    )
    return (
        match_columns(bars.lazy(), {**BARS, **dict.fromkeys(beside, pl.String())}, "bars")
        .with_columns(**finite)
        .with_columns(reason=reason)
        .collect()
    )


def _judge_lengths(checked: pl.DataFrame, beside: Collection[str]) -> pl.DataFrame:
    """Rows with the `reason` of those that are usable but in a session of bars of another length than a minute."""
    reason, keys = pl.col("reason"), [*beside, "symbol", "day"]
    rows = checked.select(*beside, "symbol", "timestamp", "reason")
    others = find_other_lengths(rows.filter(reason.is_null() | (reason == NOT_A_MINUTE)), tuple(beside))
    if others.is_empty():
        return checked
    words = {length: other_length_reason(length) for length in others["length_s"].unique()}
    return _reject_sessions(
        checked, others.select(*keys, because=pl.col("length_s").replace_strict(words, return_dtype=pl.String))
    )


def _judge_prices(checked: pl.DataFrame, beside: Collection[str]) -> pl.DataFrame:
    """Rows with the `reason` of those that are usable but in a session whose prices are not in dollars."""
    whole = find_whole_sessions(checked.filter(pl.col("reason").is_null()), tuple(beside))
    return checked if whole.is_empty() else _reject_sessions(checked, whole.with_columns(because=pl.lit(WHOLE_PRICES)))


def _reject_sessions(checked: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Rows with the `reason` of their session, the column `because`, where they have none."""
    dated = checked.with_columns(day=new_york_date(pl.col("timestamp")))
    keys = [name for name in sessions.columns if name != "because"]
    joined = dated.join(sessions, on=keys, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("reason", "because").alias("reason")).drop("day", "because")


def reasons(quarantined: pl.DataFrame) -> dict[str, int]:
    """Count quarantined rows by reason, the most frequent first."""
    counts = quarantined.group_by("reason").len().sort("len", "reason", descending=[True, False])
    return dict(counts.iter_rows())


def bad_values(events: pl.LazyFrame) -> pl.DataFrame:
    """Columns of events (EVENTS or SHARD) with forbidden values: `fault`, `column`, `rows`."""
    keys = ("symbol", "event_type", "timestamp", "session", "score", "date", "event_id", "event_group_id")
    there = events.collect_schema()
    floats = [name for name, dtype in there.items() if dtype.is_float()]
    counts = {
        **{("null", name): pl.col(name).is_null() for name in keys if name in there},
        **{("NaN", name): pl.col(name).is_nan() for name in floats},
        **{("infinite", name): pl.col(name).is_infinite() for name in floats},
    }
    rows = events.select(found.sum().alias("/".join(key)) for key, found in counts.items()).collect(engine="streaming")
    faults = [(fault, column, number) for (fault, column), number in zip(counts, rows.row(0), strict=True) if number]
    return pl.DataFrame(faults, schema={"fault": pl.String, "column": pl.String, "rows": pl.Int64}, orient="row")


def master_problems(master: pl.DataFrame) -> list[str]:
    """Faults of a MASTER table (EVENTS) that would corrupt a ranking, one sentence each."""
    ids = master["event_id"]
    # counting distinct ids takes half the time of finding the repeated ones
    repeated = int(ids.is_duplicated().sum()) if ids.n_unique() < ids.len() else 0
    return _event_problems(master) + ([f"repeated event_id in {count_noun(repeated, 'row')}"] if repeated else [])


def shard_problems(events: pl.DataFrame, symbols: Collection[str]) -> list[str]:
    """Faults of shards (SHARD) of `symbols` that would corrupt MASTER, one sentence each."""
    others = [name for name in events["symbol"].unique(maintain_order=True) if name not in symbols]
    problems = _event_problems(events)
    if others:
        problems.append(f"events of {', '.join(map(str, others[:5]))} among those of {', '.join([*symbols][:5])}")
    # rows are ordered by the first column in which they differ
    unsorted, equal = pl.lit(value=False), pl.col("symbol") == pl.col("symbol").shift(1)
    for name, descending in (("timestamp", False), ("event_type", False), ("direction", True)):
        here, before = pl.col(name), pl.col(name).shift(1)
        unsorted |= equal & ((here > before) if descending else (here < before))
        equal &= here == before
    if events.select(unsorted.any()).item():
        problems.append("events are not sorted by timestamp, event_type and direction")
    repeated = int(events.select("event_id", "direction").is_duplicated().sum())
    return problems + ([f"repeated event_id and direction in {count_noun(repeated, 'row')}"] if repeated else [])


def bar_problems(bars: pl.DataFrame, symbol: str) -> list[str]:
    """Faults of stored bars (BARS) that would corrupt detection, one sentence each."""
    prices = pl.all_horizontal(pl.col(name).is_finite() & (pl.col(name) > 0) for name in (*PRICES, "volume"))
    counts = bars.select(
        **{
            f"of another symbol than {symbol}": pl.col("symbol").ne_missing(symbol).sum(),
            "without timestamp": pl.col("timestamp").null_count(),
            "not after the bar before": (pl.col("timestamp").diff() <= timedelta()).sum(),
            "with a price or volume that is missing or not positive": (~prices.fill_null(value=False)).sum(),
        }
    ).row(0, named=True)
    return [f"{count_noun(rows, 'bar')} {fault}" for fault, rows in counts.items() if rows]


def _event_problems(events: pl.DataFrame) -> list[str]:
    faults = bad_values(events.lazy()).group_by("fault", maintain_order=True)
    problems = [
        ", ".join(f"{fault} {row['column']} in {count_noun(row['rows'], 'row')}" for row in found.to_dicts())
        for (fault,), found in faults
    ]
    known: dict[str, tuple[str, ...]] = {"event_type": EVENT_TYPES, "session": SESSIONS}
    for name, values in known.items():
        others = events[name].drop_nulls().unique().sort().to_list()
        problems += [f"{name} {value!r} is not one of {', '.join(values)}" for value in others if value not in values]
    days = events["date"].drop_nulls()
    undated = days.filter(days.str.to_date("%Y-%m-%d", strict=False).is_null())
    return problems + ([f"date {undated[0]!r} is not YYYY-MM-DD"] if undated.len() else [])
