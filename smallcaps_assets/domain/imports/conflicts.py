"""Bars from elsewhere, beside those that are here and beside one another: which agree, and which do not."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS

# figures of 32 bits agree with those of 64 to seven digits
SAME: Final = 1e-6
_SAID_BY_ALL: Final = ("open", "high", "low", "close", "volume")
_SAID_BY_SOME: Final = ("vwap", "transactions")
_HERE: Final = " here"
_ROW: Final = " row"
_MINUTE: Final = ("symbol", "timestamp")
# by session: minutes of which there are two bars, and how many of them differ
MINUTES: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date(), "both": pl.Int64(), "other": pl.Int64()})


class Compared(NamedTuple):
    """Bars (BARS) of minutes that are not here, of minutes that differ, and how many minutes agree.

    `filled` are those of the minutes that agree of which the other says what is null here, as they then are.
    """

    new: pl.DataFrame
    differing: pl.DataFrame
    equal: int
    filled: pl.DataFrame


class Single(NamedTuple):
    """Bars (BARS) unique by symbol and minute.

    `differing` are the others of their minutes that say something else, `equal` is how many say the same. `minutes`
    (MINUTES) tells them by session.
    """

    bars: pl.DataFrame
    differing: pl.DataFrame
    equal: int
    minutes: pl.DataFrame


def compared(here: pl.DataFrame, other: pl.DataFrame) -> Compared:
    """Compare bars of one symbol (BARS, both unique by timestamp).

    Bars agree whose prices and volumes are the same to six digits, and vwap and transactions where both say them: what
    one of them leaves out is no difference. Where only those differ, a null is filled in from here.
    """
    if here.is_empty():
        return Compared(other, other.clear(), 0, other.clear())
    both = other.join(here, on="timestamp", how="left", suffix=_HERE, maintain_order="left", coalesce=True)
    is_new = pl.col(f"symbol{_HERE}").is_null()
    same, told = _agreement()
    more = told & pl.any_horizontal(_here(name).is_null() & pl.col(name).is_not_null() for name in _SAID_BY_SOME)
    new, old = both.filter(is_new).select(*BARS), both.filter(~is_new)
    theirs = [pl.when(same).then(pl.coalesce(name, _here(name))).otherwise(name).alias(name) for name in _SAID_BY_SOME]
    ours = [pl.coalesce(_here(name), name).alias(name) for name in (*_SAID_BY_ALL, *_SAID_BY_SOME)]
    differing = old.filter(~told).with_columns(theirs).select(*BARS)
    filled = old.filter(more).with_columns(ours).select(*BARS)
    return Compared(new, differing, old.height - differing.height, filled)


def single(bars: pl.DataFrame, *, last: bool) -> Single:
    """One bar of each symbol and minute of bars (BARS) that come in an order: the first, or else the `last`.

    Which bars agree is as of `compared`; what the one that stays lacks is filled in from those that agree.
    """
    if bars.select(pl.struct(_MINUTE).n_unique()).item() == bars.height:
        return Single(bars, bars.clear(), 0, MINUTES.to_frame())
    is_repeated = pl.struct(_MINUTE).is_duplicated()
    repeated = bars.filter(is_repeated).with_row_index(_ROW)
    stays = repeated.unique(_MINUTE, keep="last" if last else "first", maintain_order=True)
    both = repeated.join(stays, on=_MINUTE, how="left", suffix=_HERE, maintain_order="left")
    agrees = both.with_columns(agrees=_agreement()[1] | (pl.col(_ROW) == _here(_ROW)))
    nearest = [
        pl.col(name).drop_nulls().last() if last else pl.col(name).drop_nulls().first() for name in _SAID_BY_SOME
    ]
    said = agrees.filter("agrees").group_by(_MINUTE).agg(nearest)
    filled = stays.join(said, on=_MINUTE, how="left", suffix=_HERE, maintain_order="left")
    ours = [pl.coalesce(name, _here(name)).alias(name) for name in _SAID_BY_SOME]
    differing = agrees.filter(~pl.col("agrees")).select(*BARS)
    differs = agrees.group_by(_MINUTE).agg(pl.col("agrees").all())
    return Single(
        pl.concat([bars.filter(~is_repeated), filled.with_columns(ours).select(*BARS)]),
        differing,
        repeated.height - stays.height - differing.height,
        counted(differs, ~pl.col("agrees")),
    )


def counted(minutes: pl.DataFrame, differs: pl.Expr) -> pl.DataFrame:
    """Minutes (`symbol`, `timestamp`), of which there are two bars, by session (MINUTES)."""
    sessions = minutes.group_by("symbol", day=new_york_date(pl.col("timestamp")))
    return sessions.agg(both=pl.len().cast(pl.Int64), other=differs.sum().cast(pl.Int64)).match_to_schema(MINUTES)


def _agreement() -> tuple[pl.Expr, pl.Expr]:
    """Whether two bars say the same prices and volume, and whether they agree."""
    same = pl.all_horizontal(_close(name) for name in _SAID_BY_ALL).fill_null(value=False)
    return same, same & pl.all_horizontal(_close(name).fill_null(value=True) for name in _SAID_BY_SOME)


def _here(name: str) -> pl.Expr:
    return pl.col(f"{name}{_HERE}")


def _close(name: str) -> pl.Expr:
    ours, theirs = _here(name), pl.col(name)
    return (ours - theirs).abs() <= SAME * ours.abs()
