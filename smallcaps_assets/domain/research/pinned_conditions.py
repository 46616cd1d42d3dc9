"""The table of trade conditions that comes with the package (research specification, section 0.5)."""

import polars as pl

from smallcaps_assets.domain.research.conditions import CONDITION_RULES


def pinned_conditions() -> pl.DataFrame:
    """The rules (CONDITION_RULES) of the pinned copy; none yet: every id is unknown, and counts for nothing."""
    return CONDITION_RULES.to_frame()
