"""Coverage of sessions without a new event: one small table per initial letter of the symbols, beside the shards.

An entry is the difference to the coverage in the footer of a shard. It names that footer and is ignored beside any
other, so a coverage never claims events that the shard does not hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from smallcaps_assets.lake.events.old_coverage import old_table
from smallcaps_assets.lake.events.shard_coverage import FooterCoverage, ShardCoverage, coverage_as_json, is_coverage
from smallcaps_assets.lake.files.content_hash import ProofState, document_proof
from smallcaps_assets.lake.files.documents import parse_json_object, publish_document
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.locks import exclusive_lock
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.layout import Lake

# Key of a difference: the `coverage_id` of the footer that it belongs to.
BELONGS_TO: Final = "of"
# A difference of more months is not recorded: the shard is published again with its whole coverage. Tables of
# differences stay small, also in the first night on a lake whose footers hold no coverage yet.
_MOST_MONTHS_BEHIND: Final = 6


@dataclass(frozen=True)
class CoverageDifferences:
    """The tables of differences of a lake."""

    lake: Lake
    _tables: dict[Path, tuple[object, dict[str, Any]]] = field(default_factory=dict, repr=False, compare=False)

    def of(self, symbol: str) -> dict[str, Any] | None:
        """The difference of `symbol`, None where there is none; a table is read again only when it is another one."""
        path = self.lake.shard_coverage(symbol)
        old = old_table(path)
        version = (inode_state(old), inode_state(path))
        if not any(version):
            return None
        known = self._tables.get(path)
        if known is None or known[0] != version:
            known = self._tables[path] = version, {**_read(old), **_read(path)}
        return known[1].get(symbol)

    def merge(self, path: Path, changed: Mapping[str, Any]) -> None:
        """Add differences to a table. The lock keeps the updates of others who write other symbols of it.

        Raises:
            LakeError: the disk fails.
        """
        with exclusive_lock(self.lake.locks / f"coverage={path.stem}.lock", below=self.lake.root):
            old = old_table(path)
            table = {**_read(old), **_read(path), **changed}
            publish_document(path, table, below=self.lake.root)
            old.unlink(missing_ok=True)

    def move(self) -> None:
        """Move tables that lie beside the shards, where they keep other tools from reading the folder.

        Raises:
            LakeError: the disk fails.
        """
        for old in list_paths(self.lake.shards, "coverage=*.json"):
            self.merge(self.lake.shard_coverage(old.stem.removeprefix("coverage=")), {})

    def files(self) -> list[Path]:
        """All tables, sorted."""
        beside = list_paths(self.lake.shards, "coverage=*.json")
        return sorted(list_paths(self.lake.shard_coverages, "*.json") + beside)


def difference_of(coverage: ShardCoverage, footer: FooterCoverage) -> dict[str, Any]:
    """A coverage as its difference to that of a footer: files that changed, and null for files that are gone."""
    changed = {name: month for name, month in coverage.months.items() if month != footer.months.get(name)}
    document = coverage_as_json(coverage, changed)
    gone = footer.months.keys() - coverage.months.keys()
    return {BELONGS_TO: footer.id} | document | {"files": document["files"] | dict.fromkeys(sorted(gone))}


def is_difference(entry: object) -> bool:
    """Whether a value of a table of differences, which a disk may have damaged, is one."""
    return isinstance(entry, dict) and isinstance(entry.get(BELONGS_TO), str) and is_coverage(entry)


def is_far_behind(footer: FooterCoverage, coverage: ShardCoverage) -> bool:
    """Whether so many months differ from a footer that a table of differences would grow large."""
    behind = sum(month != footer.months.get(name) for name, month in coverage.months.items())
    return behind > _MOST_MONTHS_BEHIND


def inode_state(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


def _read(path: Path) -> dict[str, Any]:
    """The differences of a table by symbol; none where the disk damaged it: these sessions are detected again."""
    if not path.is_file():
        return {}
    with disk_errors("read", path):
        content = path.read_bytes()
    table = parse_json_object(content)
    if table is None or document_proof(table).state is ProofState.DAMAGED:
        return {}
    return {symbol: entry for symbol, entry in table.items() if is_difference(entry)}
