"""One bar per minute in an answer of the vendor, in which no row has precedence over another."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.quality import find_faults
from smallcaps_assets.domain.bars.unknown import all_known
from smallcaps_assets.domain.imports.conflicts import unique_bars
from smallcaps_assets.domain.tables import BARS

# the reason for which bars of a minute that contradict one another are rejected
CONFLICT: Final = "one of several bars of its minute, which differ"
_MINUTE: Final = ("symbol", "timestamp")


class MinuteBars(NamedTuple):
    """Bars (BARS) in order of time, rows set aside because bars of their minute differ, and the number of repeats."""

    bars: pl.DataFrame
    conflicting: pl.DataFrame
    repeats: int


def resolve_minutes(bars: pl.DataFrame) -> MinuteBars:
    """Remove rows that repeat another, and set aside all bars of a minute that contradict one another.

    Two bars agree if `compare_bars` says so: the first stays, its unknown values are filled in. Unusable rows
    contradict none and stay, unless they repeat another exactly.
    """
    if bars.select(pl.struct(_MINUTE).n_unique()).item() == bars.height:
        return MinuteBars(bars.sort("timestamp"), bars.clear(), 0)
    distinct = bars.unique(maintain_order=True)
    is_repeated = pl.struct(_MINUTE).is_duplicated()
    again = distinct.filter(is_repeated)
    is_usable = find_faults(again).is_null()
    usable = again.filter(is_usable).with_columns(all_known())
    unique = unique_bars(usable, last=False)
    minutes = unique.differing.select(_MINUTE).unique()
    conflicting = again.filter(is_usable).join(minutes, on=_MINUTE, how="semi", maintain_order="left")
    resolved = unique.bars.join(minutes, on=_MINUTE, how="anti", maintain_order="left")
    kept = pl.concat([distinct.filter(~is_repeated), resolved.select(*BARS), again.filter(~is_usable)])
    repeats = bars.height - kept.height - conflicting.height
    return MinuteBars(kept.sort("timestamp", maintain_order=True), conflicting, repeats)
