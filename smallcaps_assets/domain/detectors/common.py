"""What the detectors share: the shape of an answer, and the rule that a lasting condition is one event."""

from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.features import before, last_bar_where

NEVER = pl.lit(value=False)


class Signals(NamedTuple):
    """Boolean expressions over the feature table: the bars at which an event happens, by direction."""

    up: pl.Expr
    down: pl.Expr


def edge(condition: pl.Expr) -> pl.Expr:
    """True where `condition` holds and did not on the bar just before, or there was none that day."""
    holds = condition.fill_null(value=False)
    return holds & ~before(holds).fill_null(value=False)


def first_since(condition: pl.Expr, start: pl.Expr) -> pl.Expr:
    """True at the first bar from bar number `start` on that holds `condition`."""
    earlier = last_bar_where(condition).shift(1, fill_value=-1)
    return condition.fill_null(value=False) & (earlier < start)
