"""Verify every file of a lake: the hash that it carries, what it says of itself, and that none is missing.

One walk lists the files; each is of a kind or unknown to the lake. Every byte is read once, several files at a time;
nothing in the lake is changed.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.lake.files.content_hash import ProofState
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.symbol_paths import names_symbol, symbol_of
from smallcaps_assets.lake.verification.discrepancy import DAMAGE_ERRORS, Discrepancy, first_line, relative_path
from smallcaps_assets.lake.verification.file_kinds import (
    FILE_KINDS,
    FileKind,
    is_of_profile,
    is_place_of_folder,
    is_read_as_folder,
    is_set_aside,
    kind_of,
)
from smallcaps_assets.lake.verification.file_rules import OTHER_DIGEST, FileFault
from smallcaps_assets.lake.verification.missing_files import find_missing_files

_THREADS: Final = 2
_DAMAGED: Final = FileFault("is damaged", "the content that was published (SHA-256)", "another")
_DIGESTS_TO_JUDGE: Final = 2


class KindSummary(NamedTuple):
    """How many files of a kind there are, their bytes, and in which state they are."""

    kind: str
    files: int
    bytes: int
    intact: int
    not_provable: int
    damaged: int


class ExaminedFile(NamedTuple):
    """One file of a known kind, and what is wrong with it."""

    file: str
    kind: FileKind
    bytes: int
    state: ProofState
    faults: tuple[FileFault, ...] = ()

    def discrepancies(self) -> list[Discrepancy]:
        """Its faults as findings."""
        return [Discrepancy(self.file, *fault, remedy=how_to_restore(Path(self.file))) for fault in self.faults]


@dataclass(frozen=True)
class LakeVerification:
    """What was read of a lake, and what is wrong with it.

    Attributes:
        kinds: the files by kind, in the order of their making; kinds without files are left out.
        unknown: files that no part of the lake publishes or reads.
        parts: hidden files left by killed writers.
        set_aside: damaged files in the quarantine, and records of errors.
        states: the state of each file of a known kind.
        findings: the differences.
    """

    kinds: tuple[KindSummary, ...]
    unknown: tuple[str, ...]
    parts: tuple[str, ...]
    set_aside: tuple[str, ...]
    states: Mapping[str, ProofState]
    findings: tuple[Discrepancy, ...]


# passes examined files on, of so many in all, as they are examined
WatchedFiles = Callable[[Iterable[ExaminedFile], int], Iterable[ExaminedFile]]


def verify_files(
    lake: Lake,
    profile: str | None = None,
    threads: int = _THREADS,
    watched: WatchedFiles = lambda examined, files: examined,  # noqa: ARG005
) -> LakeVerification:
    """Read every file of a lake and compare it with its hash, with what it says of itself, and with other files.

    Rows of tape are compared with their certificates by `verification.verify`.

    Args:
        lake: the lake.
        profile: only the files of this profile.
        threads: how many files are read at once.
        watched: receives the files as they are examined, and how many they are.
    """
    unlisted: list[Discrepancy] = []
    listed = [file for file in _list_files(lake, unlisted) if profile is None or is_of_profile(file, profile)]
    parts = tuple(file for file in listed if _is_hidden(file))
    kinds = {file: kind_of(file) for file in listed if not _is_hidden(file)}
    known = [(file, kind) for file, kind in kinds.items() if kind is not None]
    aside = tuple(file for file in kinds if is_set_aside(file))
    unknown = tuple(file for file, kind in kinds.items() if kind is None and file not in aside)
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        examined = list(watched(pool.map(partial(_examine, lake), known), len(known)))
    examined = _excuse_digests(lake, examined)
    missing = find_missing_files(lake, {file: kind.name for file, kind in known}, profile)
    findings = [
        *unlisted,
        *(finding for one in examined for finding in one.discrepancies()),
        *(one for one in missing if one.file not in {other.file for other in unlisted}),
        *map(_strange, filter(is_read_as_folder, unknown)),
        *(_file(file) for file in unknown if is_place_of_folder(file) and not is_read_as_folder(file)),
    ]
    states = {one.file: one.state for one in examined}
    return LakeVerification(tuple(_summarize(examined)), unknown, parts, aside, states, tuple(findings))


def _list_files(lake: Lake, unlisted: list[Discrepancy]) -> Iterator[str]:
    """Every file below the lake, sorted by folder, without locks and the cache; folders may be links."""
    visited: set[tuple[int, int]] = set()

    def not_listed(error: OSError) -> None:
        folder = relative_path(lake, Path(error.filename))
        unlisted.append(Discrepancy(folder, "cannot be listed", "a folder", error.strerror or str(error)))

    for place, folders, files in os.walk(lake.root, onerror=not_listed, followlinks=True):
        folder = Path(place)
        if kind_of(relative_path(lake, folder)) is not None:
            unlisted.append(_folder(relative_path(lake, folder)))
        state = folder.stat()
        folders[:] = sorted(name for name in folders if folder / name not in {lake.locks, lake.cache})
        if state.st_ino and (state.st_dev, state.st_ino) in visited:
            folders.clear()  # a link to a folder that was walked already
            continue
        visited.add((state.st_dev, state.st_ino))
        yield from (relative_path(lake, folder / name) for name in sorted(files))


def _is_hidden(file: str) -> bool:
    return file.rpartition("/")[2].startswith(".")


def _examine(lake: Lake, named: tuple[str, FileKind]) -> ExaminedFile:
    file, kind = named
    path = lake.root / file
    size, state = 0, ProofState.DAMAGED
    try:
        size = path.stat().st_size
        state = kind.state(path)
        faults = [_DAMAGED] if state is ProofState.DAMAGED else [*kind.faults(path, state), *_place_faults(lake, path)]
    except DAMAGE_ERRORS as error:
        faults = [FileFault("cannot be read", "a file of this kind", first_line(error))]
    if faults:
        state = ProofState.DAMAGED
    return ExaminedFile(file, kind, size, state, tuple(faults))


def _place_faults(lake: Lake, path: Path) -> Iterator[FileFault]:
    """A file of a symbol lies where it is read: a second folder of the same symbol is not."""
    if path.parent.parent == lake.minute_bars:
        name = path.parent.name
        place = lake.bars(symbol_of(name)) / path.name if names_symbol(name) else None
    elif path.parent == lake.shards and path.suffix == ".parquet":
        name = path.stem
        place = lake.shard(symbol_of(name)) if names_symbol(name) else None
    elif path.parent == lake.candidates:
        name = path.stem
        place = lake.candidates_of(symbol_of(name)) if names_symbol(name) else None
    elif path.parent == lake.condition_bars:
        name = path.stem
        place = lake.condition_bars_of(symbol_of(name)) if names_symbol(name) else None
    else:
        return
    if place is None:
        yield FileFault("is not read", "symbol=X with a symbol", name)
    elif place != path:
        yield FileFault("is not read", relative_path(lake, place), relative_path(lake, path))


def _excuse_digests(lake: Lake, examined: list[ExaminedFile]) -> list[ExaminedFile]:
    """Files without the fault of other digests, if no shard has the digest that it records.

    Digests of rows differ between releases of Polars: that of a shard proves damage only where those of others hold.
    """
    shards = [one for one in examined if one.kind.name == "shards"]
    others = [one for one in shards if any(fault.what == OTHER_DIGEST for fault in one.faults)]
    if len(others) < _DIGESTS_TO_JUDGE:
        return examined
    holding = (one for one in shards if one.state is ProofState.NOT_PROVABLE and _has_rows(lake.root / one.file))
    if any(holding):
        return examined
    return [_without_digest(one) if one in others else one for one in examined]


def _has_rows(path: Path) -> bool:
    rows: int = pl.scan_parquet(path, hive_partitioning=False, glob=False).select(pl.len()).collect().item()
    return rows > 0


def _without_digest(one: ExaminedFile) -> ExaminedFile:
    faults = tuple(fault for fault in one.faults if fault.what != OTHER_DIGEST)
    return one._replace(faults=faults, state=one.state if faults else ProofState.NOT_PROVABLE)


def _summarize(examined: Iterable[ExaminedFile]) -> Iterator[KindSummary]:
    by_kind: dict[str, list[ExaminedFile]] = {kind.name: [] for kind in FILE_KINDS}
    for one in examined:
        by_kind[one.kind.name].append(one)
    for kind, files in by_kind.items():
        if files:
            states = [one.state for one in files]
            counts = [states.count(state) for state in (ProofState.INTACT, ProofState.NOT_PROVABLE, ProofState.DAMAGED)]
            yield KindSummary(kind, len(files), sum(one.bytes for one in files), *counts)


def _folder(file: str) -> Discrepancy:
    remedy = f"Move the folder away. {how_to_restore(Path(file))}"
    return Discrepancy(file, "is a folder", "a file", "a folder in its place", remedy=remedy)


def _file(file: str) -> Discrepancy:
    remedy = f"Move the file away. {how_to_restore(Path(file))}"
    return Discrepancy(file, "is a file", "a folder", "a file in its place", remedy=remedy)


def _strange(file: str) -> Discrepancy:
    return Discrepancy(
        file,
        "is no file of this lake",
        "only published files in a folder that is read as one table",
        "a file of another name",
        remedy="Move it out of the lake: readers of the folder count its rows.",
    )
