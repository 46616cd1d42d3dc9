"""In which order a snapshot reads the files of a lake: what names another file before the file that it names.

Every writer publishes a file before what names it: bars, then shards, MASTER, a manifest, its sidecar, the pointer to
it; tape, then its ledger, then its report. So a snapshot that reads them the other way round has, of everything that
one of its files names, the version of then or a later one, as the lake itself has. A file that becomes older than what
names it does not exist in either.

Some files are replaced together and prove each other. They are a unit: looked at again after they were read, and read
again if one has changed meanwhile, so that the versions read were in the lake at the same time.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from smallcaps_assets.lake.backup.listed_files import ListedState, list_files


class ReadingGroup(NamedTuple):
    """Files that are read together.

    Attributes:
        folders: where they are, below the lake.
        pattern: of their paths; the first group that fits counts.
        levels: how many levels of these folders have some; None: all.
        unit: of their paths; files with the same group of it are one unit. None: each is one.
        but: names in these folders that are files of other groups.
    """

    folders: tuple[str, ...]
    pattern: re.Pattern[str]
    levels: int | None = None
    unit: re.Pattern[str] | None = None
    but: tuple[str, ...] = ()


def _group(pattern: str, *folders: str, levels: int | None = None, unit: str | None = None) -> ReadingGroup:
    return ReadingGroup(folders, re.compile(pattern), levels, None if unit is None else re.compile(unit))


_CONTROL_MANIFEST: Final = r"research/[^/]+/control_manifest\.parquet"

_OF_LAKE: Final = (
    _group(r"reports/.*", "reports"),
    # members of cohorts are proved by their cohorts
    _group(rf"(?!{_CONTROL_MANIFEST})research/.*", "research", unit=r"(research/[^/]+/cohort)(?:s|_members)\.parquet"),
    # a page is proved by its sample
    _group(r"review/.*", "review", unit=r"(review/[^/]+/[^/]+)\.(?:json|html)"),
    _group(r"tape/[^/]+/report\.parquet", "tape", levels=2),
    _group(r"tape/[^/]+/(?:control_)?ledger\.parquet", "tape", levels=2),
    _group(r"tape/.*", "tape"),
    _group(r"manifests/[^/]+/current\.json", "manifests"),
    _group(r"manifests/.*\.json", "manifests"),
    _group(r"manifests/.*", "manifests"),
    _group(_CONTROL_MANIFEST, "research", levels=2),
    _group(r"events/[^/]+", "events", levels=1),
    _group(r"events/coverage/.*", "events/coverage"),
    # candidates are of the settings of their shard, condition bars are those of candidates
    _group(r"events/.*", "events", unit=r"events/(?:shards|candidates|condition_bars)/(.*)\.parquet"),
    # months of a symbol name the flat files that their bars are from
    ReadingGroup(("bars",), re.compile(r"bars/(?!flat/).*"), but=("flat",)),
    _group(r"bars/.*", "bars/flat"),
    _group(r"reference/.*", "reference"),
    # what is set aside comes from the folders above
    _group(r"quarantine/.*", "quarantine"),
)
_FOLDERS: Final = tuple({folder.partition("/")[0]: None for group in _OF_LAKE for folder in group.folders})
# the last one has the id of the lake, and files that are not of a lake
READING_ORDER: Final = (*_OF_LAKE, ReadingGroup(("",), re.compile(".*"), but=_FOLDERS))


def files_of_group(root: Path, number: int) -> Iterator[tuple[str, ListedState]]:
    """The files of a group, by its place in the order, that are in a lake now.

    Raises:
        LakeError: see `list_files`.
    """
    earlier, group = READING_ORDER[:number], READING_ORDER[number]
    for folder in group.folders:
        for name, state in list_files(root, folder, group.levels, group.but):
            if group.pattern.fullmatch(name) and not any(other.pattern.fullmatch(name) for other in earlier):
                yield name, state


def unit_of(name: str, group: ReadingGroup) -> str | None:
    """What a file shares with those that are replaced together with it; None of one that is replaced alone."""
    found = group.unit.fullmatch(name) if group.unit else None
    return found[1] if found else None
