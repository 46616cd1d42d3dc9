"""Bars of another length than a minute, found by the gaps between them (specification, section 1).

Thin stocks have gaps as well, at random minutes. Bars are of another length if all gaps within their sessions are
multiples of one length, and that is as improbable by chance as 20 bars of a session on even gaps. Bars of a day have no
gaps within sessions: they are a symbol's only bars, nearly always at the same minute of the day.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK, new_york_dates

# fewer bars prove nothing
LEAST_BARS: Final = 20
# n gaps at random are all multiples of k minutes with a probability of about k**-n: at most 2**-19
LEAST_BITS: Final = LEAST_BARS - 1
_US_PER_S: Final = 1_000_000
_US_PER_MIN: Final = 60 * _US_PER_S
_S_PER_MIN: Final = 60
_MIN_PER_H: Final = 60
_MIN_PER_DAY: Final = 1_440
_CLOCKS: Final = (NEW_YORK, "UTC")
# bars of a day have the time of its close, which is another one on short days
USUAL_TIME: Final = 0.9
# the length of bars whose starts have no whole number of seconds between them
_SUB_SECOND: Final = 0
_OTHER_LENGTH: Final = "bars of "


def starts_a_minute() -> pl.Expr:
    """Whether `timestamp` is the start of a minute; true without a timestamp."""
    return (pl.col("timestamp").dt.epoch("us") % _US_PER_MIN == 0).fill_null(value=True)


def find_other_lengths(bars: pl.DataFrame, file: Sequence[str] = ()) -> pl.DataFrame:
    """Sessions whose bars are of another length: `symbol`, `day` (ET date), the columns of `file`, `length_s`.

    A session is the bars of a symbol on an ET date, in one file. It is one of another length if its own bars say so, or
    those of its symbol or its file as a whole. `length_s` is the length in seconds, 0 where it is below a second.

    Args:
        bars: `symbol`, `timestamp` and the columns of `file`, in any order; rows without a symbol or timestamp, and
            repeated ones, do not count. Rows off the minute only show that the others of their session are not bars of
            a minute.
        file: the columns that name the file of a row.
    """
    keys = [*file, "symbol", "day"]
    rows = bars.select(*keys[:-1], "timestamp").drop_nulls()
    rows = rows.select(*keys[:-1], day=new_york_dates(rows["timestamp"]), at=pl.col("timestamp").dt.epoch("us"))
    sessions = _count_rows(rows, keys)
    whole = [list(by) for by in dict.fromkeys([("symbol",), tuple(file), (*file, "symbol")]) if by]
    long = _find_long(rows, sessions, keys, whole)
    short = _find_short(rows, sessions, keys, whole)
    return pl.concat([short, long.join(short, on=keys, how="anti")]).sort(keys)


def select_minutes(bars: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, dict[str, int]]]:
    """The rows of bars (`symbol`, `timestamp`, ...) that are of one minute, and the numbers of the others by symbol."""
    off = ~starts_a_minute()
    others = find_other_lengths(bars)
    if others.is_empty() and not bars.select(off.any()).item():
        return bars, {}
    keys = others.select("symbol", "day", is_other=pl.lit(value=True))
    rows = bars.with_columns(day=new_york_dates(bars["timestamp"])).join(
        keys, on=["symbol", "day"], how="left", maintain_order="left"
    )
    is_other = pl.col("is_other").fill_null(value=False)
    counts = rows.group_by("symbol").agg(
        bars_off_minute_left_out=off.sum(),
        bars_of_other_length_left_out=(is_other & ~off).sum(),
        sessions_of_other_length=pl.col("day").filter(is_other).n_unique(),
    )
    left_out = {
        symbol: {name: count for name, count in row.items() if count}
        for symbol, row in counts.rows_by_key("symbol", named=True, unique=True).items()
    }
    return rows.filter(~(is_other | off)).drop("day", "is_other"), {name: row for name, row in left_out.items() if row}


def other_length_reason(length_s: int) -> str:
    """The reason for which bars of a length are rejected."""
    return f"{_OTHER_LENGTH}{describe_length(length_s)}, not of one minute"


def is_of_other_length() -> pl.Expr:
    """Whether the `reason` of a rejected row is an `other_length_reason`."""
    return pl.col("reason").str.starts_with(_OTHER_LENGTH)


def describe_length(length_s: int) -> str:
    """A length in words, such as `5 minutes`, `1 hour` or `15 seconds`; `seconds` for a second and less."""
    if length_s < _S_PER_MIN:
        return f"{length_s} seconds" if length_s > 1 else "seconds"
    minutes = length_s // _S_PER_MIN
    if minutes == _MIN_PER_DAY:
        return "1 day"
    if minutes % _MIN_PER_H:
        return f"{minutes} minutes"
    return f"{minutes // _MIN_PER_H} hour{'s' if minutes > _MIN_PER_H else ''}"


def _count_rows(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """By session: `rows`, `off` (those off the minute), `has_minutes` (two successive rows are a minute apart)."""
    if rows.is_empty():
        counts = {"rows": pl.Int64, "off": pl.Int64, "has_minutes": pl.Boolean}
        return rows.select(keys).with_columns(pl.lit(None, dtype).alias(name) for name, dtype in counts.items())
    is_new = pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in keys).fill_null(value=True)
    is_off = pl.col("at") % _US_PER_MIN != 0
    follows = (pl.col("at").diff() == _US_PER_MIN).fill_null(value=False) & ~is_off & ~is_new
    facts = rows.select(new=is_new, off=is_off.cast(pl.Int64), follows=follows)
    # rows of a session are mostly adjacent: there are few runs of them
    starts = facts["new"].arg_true().to_numpy()
    runs = rows[starts].select(
        *keys,
        rows=pl.Series(np.diff(starts, append=rows.height)).cast(pl.Int64),
        off=pl.Series(np.add.reduceat(facts["off"].to_numpy(), starts)),
        has_minutes=pl.Series(np.logical_or.reduceat(facts["follows"].to_numpy(), starts)),
    )
    return runs.group_by(keys).agg(pl.col("rows", "off").sum(), pl.col("has_minutes").any())


def _find_long(
    rows: pl.DataFrame, sessions: pl.DataFrame, keys: Sequence[str], whole: Sequence[list[str]]
) -> pl.DataFrame:
    """Sessions of bars that are longer than a minute: `keys` and `length_s`. Most have rows one minute apart."""
    suspect = sessions.filter(pl.col("has_minutes").not_())
    if suspect.is_empty():
        return suspect.select(*keys, length_s=pl.lit(None, pl.Int64))
    others = rows.filter(pl.col("at") % _US_PER_MIN == 0).join(suspect, on=keys, how="semi")
    at = (pl.col("at") // _US_PER_MIN).unique().sort()
    judged = (
        others.group_by(keys)
        .agg(bars=at.len(), first=at.first(), gaps=at.diff(null_behavior="drop"))
        .with_columns(number=pl.col("gaps").list.len(), least=pl.col("gaps").list.min())
    )
    judged = _with_divisor(judged, "gaps").select(*keys, "bars", "first", "number", "divisor")
    improbable = judged.filter(_is_improbable())
    # several sessions that are improbable by themselves have enough bars together
    together = [improbable.filter(pl.col("bars").sum().over(by) >= LEAST_BARS) for by in whole]
    parts = [part.select(*keys, "divisor") for part in together]
    for by in whole:
        divisors = pl.col("divisor").filter(pl.col("divisor") > 0)
        totals = (
            judged.join(sessions.filter("has_minutes"), on=by, how="anti")
            .group_by(by)
            .agg(pl.col("bars", "number").sum(), least=divisors.min(), divisors=divisors)
        )
        found = _with_divisor(totals, "divisors").filter(_is_improbable() & (pl.col("bars") >= LEAST_BARS))
        parts.append(judged.select(keys).join(found.select(*by, "divisor"), on=by))
        if "symbol" in by:
            others = sessions.filter("has_minutes").select(by)
            parts.append(_find_days(judged.join(others, on=by, how="anti"), by).select(*keys, "divisor"))
    found = pl.concat(parts).group_by(keys).agg(pl.col("divisor").min())
    return found.select(*keys, length_s=pl.col("divisor") * _S_PER_MIN)


def _find_days(judged: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Those of the sessions that are bars of a day, with `divisor`: single ones of a symbol, nearly all at one time."""
    single = judged.filter((pl.col("bars") == 1).all().over(by) & (pl.col("day").n_unique().over(by) >= LEAST_BARS))
    at = pl.from_epoch(pl.col("first") * _S_PER_MIN).dt.replace_time_zone("UTC")
    times = [at.dt.convert_time_zone(zone).dt.time() for zone in _CLOCKS]
    is_usual = [pl.len().over([*by, time]).max().over(by) >= USUAL_TIME * pl.len().over(by) for time in times]
    return single.filter(pl.any_horizontal(is_usual)).with_columns(divisor=pl.lit(_MIN_PER_DAY, pl.Int64))


def _is_improbable() -> pl.Expr:
    """Whether `number` gaps at random minutes would hardly all be multiples of `divisor`."""
    return (pl.col("divisor") > 1) & (pl.col("number") * pl.col("divisor").log(2) >= LEAST_BITS)


def _with_divisor(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Rows with `divisor` instead of the lists `name`: the greatest common one, 0 for an empty list.

    `least` is the least number of each list: where it is 1, so is the divisor.
    """
    wanted = rows["least"].fill_null(0) > 1
    divisor = (rows["least"] == 1).fill_null(value=False).cast(pl.Int64)
    lists = rows.filter(wanted)[name]
    if lists.len():
        starts = lists.list.len().cum_sum().shift(1, fill_value=0).to_numpy()
        divisors = np.gcd.reduceat(lists.explode().to_numpy(), starts)
        divisor = divisor.scatter(wanted.arg_true(), pl.Series(divisors))
    return rows.drop(name).with_columns(divisor=divisor)


def _find_short(
    rows: pl.DataFrame, sessions: pl.DataFrame, keys: Sequence[str], whole: Sequence[list[str]]
) -> pl.DataFrame:
    """Sessions of bars that are shorter than a minute: `keys` and `length_s`.

    More than half of their rows are off the minute, at different seconds: bars of a minute that are stamped at another
    second are all off the minute at that second, so that those on the minute stay usable.
    """
    found = sessions.filter(2 * pl.col("off") > pl.col("rows")).select(keys)
    if found.is_empty():
        return found.with_columns(length_s=pl.lit(None, pl.Int64))
    second = pl.col("at") % _US_PER_MIN
    off = rows.join(found, on=keys, how="semi").select(*keys, second=second)
    parts = []
    for by in whole:
        totals = off.group_by(by).agg(
            rows=pl.len(), seconds=pl.col("second").filter(pl.col("second") > 0).unique().sort()
        )
        several = totals.filter((pl.col("rows") >= LEAST_BARS) & (pl.col("seconds").list.len() > 1))
        steps = pl.col("seconds").list.concat(pl.lit(_US_PER_MIN)).list.diff(null_behavior="drop")
        listed = several.select(*by, steps=steps).with_columns(least=pl.col("steps").list.min())
        lengths = _with_divisor(listed, "steps").select(*by, "divisor")
        parts.append(found.join(lengths, on=by))
    lengths = pl.concat(part.select(*keys, "divisor") for part in parts).group_by(keys).agg(pl.col("divisor").min())
    whole_s = pl.col("divisor") % _US_PER_S == 0
    length = pl.when(whole_s).then(pl.col("divisor") // _US_PER_S).otherwise(_SUB_SECOND)
    return lengths.select(*keys, length_s=length)
