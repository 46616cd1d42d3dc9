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
    """Bars (BARS) of minutes that are not here, of minutes that differ, and how many minutes agree."""

    new: pl.DataFrame
    differing: pl.DataFrame
    equal: int


def compared(here: pl.DataFrame, other: pl.DataFrame) -> Compared:
    """Compare bars of one symbol (BARS, both unique by timestamp).

    Bars agree whose prices and volumes are the same to six digits, and vwap and transactions where `other` says them:
    what it leaves out is no difference.
    """
    if here.is_empty():
        return Compared(other, other.clear(), 0)
    both = other.join(here, on="timestamp", how="left", suffix=_HERE, maintain_order="left", coalesce=True)
    is_new = pl.col(f"symbol{_HERE}").is_null()
    agrees = pl.all_horizontal(
        *(_close(name) for name in _SAID_BY_ALL), *(_close(name) | pl.col(name).is_null() for name in _SAID_BY_SOME)
    ).fill_null(value=False)
    new, old = both.filter(is_new).select(*BARS), both.filter(~is_new)
    differing = old.filter(~agrees).select(*BARS)
    return Compared(new, differing, old.height - differing.height)


def _close(name: str) -> pl.Expr:
    ours, theirs = pl.col(f"{name}{_HERE}"), pl.col(name)
    return (ours - theirs).abs() <= SAME * ours.abs()
