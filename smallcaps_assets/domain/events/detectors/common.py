"""What the detectors share: the shape of an answer, and the rule that a lasting condition is one event."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.events.features import Window


class Rule(NamedTuple):
    """When an event happens: at the edges of everything that is asked for here.

    What is cheap to know is asked first, and of every bar: `candidate`, a Boolean expression over its features. Only of
    candidates is `spike_x` computed, which must reach `min_spike_x` (a number, or one by `session`), and only of those
    that are left the other windows (see `with_windows`), over which `confirmed` is. With `since`, a bar number, an
    event is not an edge, but the first bar from there on that holds everything.
    """

    candidate: pl.Expr
    min_spike_x: float | pl.Expr | None = None
    confirmed: pl.Expr | None = None
    since: pl.Expr | None = None


class Signals(NamedTuple):
    """What a detector looks for, by direction, and what it looks at besides the features that all share.

    `features` are expressions over every bar, `windows` are taken of few; rules refer to both by name.
    """

    up: Rule | None
    down: Rule | None
    features: Mapping[str, pl.Expr] = MappingProxyType({})
    windows: Mapping[str, Window] = MappingProxyType({})


def happens(holds: pl.Expr, since: pl.Expr | None) -> pl.Expr:
    """The bars at which an event happens, over bars in their order that include all that hold.

    Without `since` the edges: where `holds` is true and was not on the bar just before, or there was none that day.
    """
    if since is None:
        bar = pl.col("bar")
        went_on = holds.shift(1) & (bar.shift(1) == bar - 1) & (bar > pl.col("day_start"))
        return holds & ~went_on.fill_null(value=False)
    earlier = pl.when(holds).then(pl.col("bar")).otherwise(-1).cum_max().shift(1, fill_value=-1)
    return holds & (earlier < since)
