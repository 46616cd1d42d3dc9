"""Files of bars compared with those that a shard was detected from."""

from collections.abc import Mapping
from datetime import date

from smallcaps_assets.lake.bar_files.listed import MonthFile, MonthFiles
from smallcaps_assets.lake.bar_files.months import MonthCoverage
from smallcaps_assets.pipeline.events.work import CoveredFile


def covered_file(file: MonthFile, known: MonthCoverage | None, first: date) -> CoveredFile:
    """A file whose sessions are detected from `first` on, with the dollar volumes of its earlier sessions."""
    volumes = {day: usd for day, usd in known.dollar_volumes().items() if day < first} if known else {}
    return CoveredFile(*file, volumes)


def gone_sessions(files: MonthFiles, known: Mapping[str, MonthCoverage]) -> tuple[date, ...]:
    """The sessions that a shard was detected from and that no bar file has any more."""
    now = {day for file in files.opened.values() for day in file.fingerprints}
    before = {day for name in known.keys() - files.same for day in known[name].fingerprints()}
    return tuple(sorted(before - now))


def first_difference(files: MonthFiles, known: Mapping[str, MonthCoverage]) -> date | None:
    """The first session whose bars differ from those that the shard was detected from; None without one."""
    differing = set[date]()
    for name in files.opened.keys() | known.keys() - files.same:
        now = files.opened[name].fingerprints if name in files.opened else {}
        before = known[name].fingerprints() if name in known else {}
        differing |= {day for day in now.keys() | before.keys() if now.get(day) != before.get(day)}
    return min(differing, default=None)
