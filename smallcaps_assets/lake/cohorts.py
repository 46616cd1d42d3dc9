"""The cohorts of a profile in the lake, for those who read what the asset `<profile>/cohorts` makes."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.tables.cohort_tables import COHORTS
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore, require_part

COHORTS_TABLE: Final = "cohorts"
# Beside them: the events of those that are winning.
COHORT_MEMBERS_TABLE: Final = "cohort_members"


def load_cohorts(lake: Lake, profile: str) -> pl.DataFrame:
    """The cohorts (COHORTS) of a profile.

    Raises:
        LakeError: they are not made yet, or the file is damaged or cannot be read.
    """
    path, store = lake.research_table(COHORTS_TABLE, profile), ResearchStore(lake)
    require_part(store, path)
    return store.read(path, COHORTS)
