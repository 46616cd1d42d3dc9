"""The cohorts of a profile in the lake, for those who read what the asset `<profile>/cohorts` makes."""

from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.research.tables.cohort_tables import BEYOND_SPECIFICATION, COHORT_MEMBERS, COHORTS
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
    return store.read(path, COHORTS, BEYOND_SPECIFICATION)


def load_cohort_members(lake: Lake, profile: str) -> pl.DataFrame:
    """The events of the winning cohorts (COHORT_MEMBERS) of a profile.

    Raises:
        LakeError: as `load_cohorts`.
    """
    path, store = lake.research_table(COHORT_MEMBERS_TABLE, profile), ResearchStore(lake)
    require_part(store, path)
    return store.read(path, COHORT_MEMBERS)


def code_of_cohorts(lake: Lake, profile: str) -> Any:  # noqa: ANN401 -- as it was recorded
    """The code version and settings that the published cohorts of a profile were made with; None where not known.

    Raises:
        LakeError: the file cannot be read.
    """
    recorded = ResearchStore(lake).recorded(lake.research_table(COHORTS_TABLE, profile))
    return (recorded or {}).get("code")
