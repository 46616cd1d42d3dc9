"""Shared by the detectors: the rule, and the edge logic that makes a lasting condition one event."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.events.features import Window


class Rule(NamedTuple):
    """The conditions of an event, which happens where all of them begin to hold.

    Attributes:
        candidate: a cheap Boolean expression over the features of every bar.
        min_spike_x: the minimum of `spike_x`, computed for candidates only; a number, or an expression of `session`.
        confirmed: a Boolean expression over windows (see `with_windows`), computed for the remaining bars only.
        since: a bar number; if given, the event is the first bar from there on that meets all conditions, not an edge.
    """

    candidate: pl.Expr
    min_spike_x: float | pl.Expr | None = None
    confirmed: pl.Expr | None = None
    since: pl.Expr | None = None


class Signals(NamedTuple):
    """The rules of a detector by direction, and the features that it adds to the shared ones.

    `features` are computed for every bar, `windows` for few bars. Rules refer to both by name, so no two detectors may
    use the same name.
    """

    up: Rule | None
    down: Rule | None
    features: Mapping[str, pl.Expr] = MappingProxyType({})
    windows: Mapping[str, Window] = MappingProxyType({})


def happens(holds: pl.Expr, since: pl.Expr | None) -> pl.Expr:
    """Whether an event happens at a bar, over ordered bars that include every bar where `holds` is true.

    Without `since`, events are edges: `holds` is true, and it was not on the preceding bar of the day.
    """
    if since is None:
        bar = pl.col("bar")
        continued = holds.shift(1) & (bar.shift(1) == bar - 1) & (bar > pl.col("day_start"))
        return holds & ~continued.fill_null(value=False)
    earlier = pl.when(holds).then(pl.col("bar")).otherwise(-1).cum_max().shift(1, fill_value=-1)
    return holds & (earlier < since)
