"""Bars from elsewhere beside those that are here: which minutes are new, which agree, which do not."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.tables import BARS

# figures of 32 bits agree with those of 64 to seven digits
SAME: Final = 1e-6
_SAID_BY_ALL: Final = ("open", "high", "low", "close", "volume")
_SAID_BY_SOME: Final = ("vwap", "transactions")
_HERE: Final = " here"


class Compared(NamedTuple):
    """Bars (BARS) of minutes that are not here, of minutes that differ, and how many minutes agree.

    `filled` are those of the minutes that agree of which the other says what is null here, as they then are.
    """

    new: pl.DataFrame
    differing: pl.DataFrame
    equal: int
    filled: pl.DataFrame


def compared(here: pl.DataFrame, other: pl.DataFrame) -> Compared:
    """Compare bars of one symbol (BARS, both unique by timestamp).

    Bars agree whose prices and volumes are the same to six digits, and vwap and transactions where both say them: what
    one of them leaves out is no difference. Where only those differ, a null is filled in from here.
    """
    if here.is_empty():
        return Compared(other, other.clear(), 0, other.clear())
    both = other.join(here, on="timestamp", how="left", suffix=_HERE, maintain_order="left", coalesce=True)
    is_new = pl.col(f"symbol{_HERE}").is_null()
    same = pl.all_horizontal(_close(name) for name in _SAID_BY_ALL).fill_null(value=False)
    told = same & pl.all_horizontal(_close(name).fill_null(value=True) for name in _SAID_BY_SOME)
    more = told & pl.any_horizontal(_here(name).is_null() & pl.col(name).is_not_null() for name in _SAID_BY_SOME)
    new, old = both.filter(is_new).select(*BARS), both.filter(~is_new)
    theirs = [pl.when(same).then(pl.coalesce(name, _here(name))).otherwise(name).alias(name) for name in _SAID_BY_SOME]
    ours = [pl.coalesce(_here(name), name).alias(name) for name in (*_SAID_BY_ALL, *_SAID_BY_SOME)]
    differing = old.filter(~told).with_columns(theirs).select(*BARS)
    filled = old.filter(more).with_columns(ours).select(*BARS)
    return Compared(new, differing, old.height - differing.height, filled)


def _here(name: str) -> pl.Expr:
    return pl.col(f"{name}{_HERE}")


def _close(name: str) -> pl.Expr:
    ours, theirs = _here(name), pl.col(name)
    return (ours - theirs).abs() <= SAME * ours.abs()
