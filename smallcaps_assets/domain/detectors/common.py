"""What the detectors share: the shape of an answer, and the rule that a lasting condition is one event."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.features import Window

ALWAYS = pl.lit(value=True)


class Rule(NamedTuple):
    """When an event happens: at the edges of `candidate` and `confirmed`.

    `candidate` is a Boolean expression over the features of every bar; what is costly to know stands in `confirmed`,
    which is asked of candidates only. With `since`, a bar number, an event is instead the first bar from there on that
    holds both.
    """

    candidate: pl.Expr
    confirmed: pl.Expr
    since: pl.Expr | None = None


class Signals(NamedTuple):
    """What a detector looks for, by direction, and what it looks at besides the features that all share.

    `features` are expressions over every bar, `windows` are taken of candidates only; rules refer to both by name.
    """

    up: Rule | None
    down: Rule | None
    features: Mapping[str, pl.Expr] = MappingProxyType({})
    windows: Mapping[str, Window] = MappingProxyType({})


def happens(holds: pl.Expr, since: pl.Expr | None) -> pl.Expr:
    """The bars at which an event happens, over the candidates in order of `bar`; the condition is false between them.

    Without `since` the edges: where `holds` is true and was not on the bar just before, or there was none that day.
    """
    holds = holds.fill_null(value=False)
    if since is None:
        bar = pl.col("bar")
        went_on = holds.shift(1) & (bar.shift(1) == bar - 1) & (bar > pl.col("day_start"))
        return holds & ~went_on.fill_null(value=False)
    earlier = pl.when(holds).then(pl.col("bar")).otherwise(-1).cum_max().shift(1, fill_value=-1)
    return holds & (earlier < since)
