"""What the detectors share: the form of a rule, and the edge rule, by which a lasting condition is one event."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.events.features import Window


class Rule(NamedTuple):
    """When an event happens: at the edges of the conjunction of all conditions.

    Attributes:
        candidate: a cheap Boolean expression over the features of every bar.
        min_spike_x: the minimum of `spike_x`, which is computed for candidates only; a number, or one by `session`.
        confirmed: a Boolean expression over windows (see `with_windows`), computed for the remaining bars only.
        since: a bar number; with it the event is not an edge but the first bar from there on that meets all conditions.
    """

    candidate: pl.Expr
    min_spike_x: float | pl.Expr | None = None
    confirmed: pl.Expr | None = None
    since: pl.Expr | None = None


class Signals(NamedTuple):
    """The rules of a detector by direction, and its features besides those that all detectors share.

    `features` are expressions computed for every bar, `windows` for few bars; rules refer to both by name, so two
    detectors must not use the same name.
    """

    up: Rule | None
    down: Rule | None
    features: Mapping[str, pl.Expr] = MappingProxyType({})
    windows: Mapping[str, Window] = MappingProxyType({})


def happens(holds: pl.Expr, since: pl.Expr | None) -> pl.Expr:
    """The bars at which an event happens, over bars in order that include all bars where `holds` is true.

    Without `since` the edges: `holds` is true, and was not true on the bar just before or there was none that day.
    """
    if since is None:
        bar = pl.col("bar")
        went_on = holds.shift(1) & (bar.shift(1) == bar - 1) & (bar > pl.col("day_start"))
        return holds & ~went_on.fill_null(value=False)
    earlier = pl.when(holds).then(pl.col("bar")).otherwise(-1).cum_max().shift(1, fill_value=-1)
    return holds & (earlier < since)
