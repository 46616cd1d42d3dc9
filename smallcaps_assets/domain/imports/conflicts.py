"""Conflicts between imported bars and published ones, and among imported bars of the same minute."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.unknown import OPTIONAL, all_known
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS

# 32-bit and 64-bit values of the same figure agree to seven digits
SAME: Final = 1e-6
_REQUIRED: Final = ("open", "high", "low", "close", "volume")
_STORED: Final = " here"
_ROW: Final = " row"
_MINUTE: Final = ("symbol", "timestamp")
# per session: minutes with two bars, and how many of these differ
MINUTES_COMPARED: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date(), "both": pl.Int64(), "other": pl.Int64()})


class BarComparison(NamedTuple):
    """Imported bars (BARS) compared with published ones, minute by minute.

    `new` are bars of minutes without a published bar, `differing` those that contradict the published bar, `equal` is
    the number that agree. `filled` are published bars whose null vwap or transactions an equal imported bar fills in.
    """

    new: pl.DataFrame
    differing: pl.DataFrame
    equal: int
    filled: pl.DataFrame


class UniqueBars(NamedTuple):
    """Bars (BARS), one per symbol and minute.

    `differing` are removed bars that contradict the one that stays, `equal` is the number of removed bars that agree.
    `minutes` (MINUTES_COMPARED) counts both per session.
    """

    bars: pl.DataFrame
    differing: pl.DataFrame
    equal: int
    minutes: pl.DataFrame


def compare_bars(published: pl.DataFrame, imported: pl.DataFrame) -> BarComparison:
    """Compare imported bars of one symbol with the published ones (both BARS, unique by timestamp).

    Two bars agree if their prices and volumes are equal to six digits, and so are vwap and transactions where neither
    is null. Values that mean "not known", which earlier releases stored, count as null. Where a differing bar has the
    prices and volume of the published one, its nulls are filled in from there.
    """
    published, imported = published.with_columns(all_known()), imported.with_columns(all_known())
    if published.is_empty():
        return BarComparison(imported, imported.clear(), 0, imported.clear())
    both = imported.join(published, on="timestamp", how="left", suffix=_STORED, maintain_order="left", coalesce=True)
    is_new = pl.col(f"symbol{_STORED}").is_null()
    same, agrees = _agreement()
    more = agrees & pl.any_horizontal(_stored(name).is_null() & pl.col(name).is_not_null() for name in OPTIONAL)
    new, old = both.filter(is_new).select(*BARS), both.filter(~is_new)
    theirs = [pl.when(same).then(pl.coalesce(name, _stored(name))).otherwise(name).alias(name) for name in OPTIONAL]
    ours = [pl.coalesce(_stored(name), name).alias(name) for name in (*_REQUIRED, *OPTIONAL)]
    differing = old.filter(~agrees).with_columns(theirs).select(*BARS)
    filled = old.filter(more).with_columns(ours).select(*BARS)
    return BarComparison(new, differing, old.height - differing.height, filled)


def unique_bars(bars: pl.DataFrame, *, last: bool) -> UniqueBars:
    """Keep one bar per symbol and minute of ordered bars (BARS): the first, or the `last`.

    Agreement is that of `compare_bars`; nulls of the bar that stays are filled in from bars that agree with it.
    """
    if bars.select(pl.struct(_MINUTE).n_unique()).item() == bars.height:
        return UniqueBars(bars, bars.clear(), 0, MINUTES_COMPARED.to_frame())
    is_repeated = pl.struct(_MINUTE).is_duplicated()
    repeated = bars.filter(is_repeated).with_row_index(_ROW)
    stays = repeated.unique(_MINUTE, keep="last" if last else "first", maintain_order=True)
    both = repeated.join(stays, on=_MINUTE, how="left", suffix=_STORED, maintain_order="left")
    agrees = both.with_columns(agrees=_agreement()[1] | (pl.col(_ROW) == _stored(_ROW)))
    nearest = [pl.col(name).drop_nulls().last() if last else pl.col(name).drop_nulls().first() for name in OPTIONAL]
    values = agrees.filter("agrees").group_by(_MINUTE).agg(nearest)
    filled = stays.join(values, on=_MINUTE, how="left", suffix=_STORED, maintain_order="left")
    ours = [pl.coalesce(name, _stored(name)).alias(name) for name in OPTIONAL]
    differing = agrees.filter(~pl.col("agrees")).select(*BARS)
    differs = agrees.group_by(_MINUTE).agg(pl.col("agrees").all())
    return UniqueBars(
        pl.concat([bars.filter(~is_repeated), filled.with_columns(ours).select(*BARS)]),
        differing,
        repeated.height - stays.height - differing.height,
        count_differing_minutes(differs, ~pl.col("agrees")),
    )


def count_differing_minutes(minutes: pl.DataFrame, differs: pl.Expr) -> pl.DataFrame:
    """Count minutes (`symbol`, `timestamp`) with two bars per session (MINUTES_COMPARED)."""
    sessions = minutes.group_by("symbol", day=new_york_date(pl.col("timestamp")))
    return sessions.agg(both=pl.len().cast(pl.Int64), other=differs.sum().cast(pl.Int64)).match_to_schema(
        MINUTES_COMPARED
    )


def _agreement() -> tuple[pl.Expr, pl.Expr]:
    """Whether two bars have equal prices and volume, and whether they agree in vwap and transactions as well."""
    same = pl.all_horizontal(_close(name) for name in _REQUIRED).fill_null(value=False)
    return same, same & pl.all_horizontal(_close(name).fill_null(value=True) for name in OPTIONAL)


def _stored(name: str) -> pl.Expr:
    return pl.col(f"{name}{_STORED}")


def _close(name: str) -> pl.Expr:
    ours, theirs = _stored(name), pl.col(name)
    return (ours - theirs).abs() <= SAME * ours.abs()
