"""Backups of small folders of files, for tests."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from smallcaps_assets.lake.backup.snapshots import Backup
from smallcaps_assets.lake.files.publish import publish_text
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.backup.restore import RestoreResult, RestoreTarget, restore
from smallcaps_assets.pipeline.backup.snapshot import SnapshotResult, Sources, take_snapshot
from smallcaps_assets.pipeline.backup.state_files import StateSource
from smallcaps_assets.settings.operations import BackupParams

NO_LIMIT = BackupParams(keep_free_gb=0.0)


def sources_of(lake: Path, state: Path | None = None) -> Sources:
    """What a snapshot is taken of: a lake, and a state in files or none."""
    source = StateSource(lake.with_name("no state"), is_left_out=True) if state is None else StateSource(state)
    return Sources(Lake(lake), source, [], "0" * 12)


def back_up(
    lake: Path,
    destination: Path,
    state: Path | None = None,
    params: BackupParams = NO_LIMIT,
    looked: Callable[[str], None] = lambda name: None,  # noqa: ARG005
    **options: Any,
) -> SnapshotResult:
    """Take a snapshot."""
    return take_snapshot(sources_of(lake, state), destination, params, looked=looked, **options)


def bring_back(source: Path, lake: Path, state: Path | None = None) -> RestoreResult:
    """Restore a snapshot."""
    return restore(source, RestoreTarget(lake, state))


def write_files(root: Path, files: Mapping[str, bytes]) -> None:
    """Publish files as the lake does."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.new")
        part.write_bytes(content)
        part.replace(path)


def publish_generation(path: Path, generation: int) -> None:
    """Publish a file that says which one of its generations it is."""
    publish_text(path, f"{generation}\n", below=path.parents[len(path.parents) - 1])


def content_below(root: Path) -> dict[str, bytes]:
    """Every file below a folder, but hidden ones and the id of the lake."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.relative_to(root).as_posix() != "lake.json"
    }


def object_of(backup: Path, content: bytes) -> Path:
    """Where a content is stored."""
    return Backup(backup).objects.path_of(hashlib.sha256(content).hexdigest())
