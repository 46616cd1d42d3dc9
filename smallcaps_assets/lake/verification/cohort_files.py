"""The two files of cohorts of a profile, which one step makes: neither without the other, both from the same inputs."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from smallcaps_assets.lake.cohorts import COHORT_MEMBERS_TABLE, COHORTS_TABLE
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.lake.verification.discrepancy import DAMAGE_ERRORS, Discrepancy

_NAMES = (f"{COHORTS_TABLE}.parquet", f"{COHORT_MEMBERS_TABLE}.parquet")


def compare_cohort_files(lake: Lake, files: Mapping[str, str]) -> Iterator[Discrepancy]:
    """Cohorts without members, members without cohorts, and pairs that were made from different inputs.

    Args:
        lake: the lake.
        files: its files, or those of one profile, and their kinds.
    """
    pairs = {
        PurePosixPath(file).parent
        for file, kind in files.items()
        if kind == "research tables" and PurePosixPath(file).name in _NAMES
    }
    store = ResearchStore(lake)
    for folder in sorted(pairs):
        cohorts, members = (f"{folder / name}" for name in _NAMES)
        remedy = how_to_restore(Path(cohorts))
        for file, other in ((cohorts, members), (members, cohorts)):
            if file not in files:
                yield Discrepancy(file, "is missing", f"the file beside {other}", "nothing", remedy=remedy)
        if cohorts in files and members in files:
            try:
                one, two = (store.recorded(lake.root / file) for file in (cohorts, members))
            except DAMAGE_ERRORS:  # named by another rule
                continue
            if one != two:
                what = f"was made from other inputs than {PurePosixPath(cohorts).name}"
                yield Discrepancy(members, what, "the same inputs", "other inputs", remedy=remedy)
