"""Contents of a backup, each stored once under the name of its SHA-256; no links are needed.

An object at its final path is complete by definition: it was written beside it, flushed to disk, read back, compared
and renamed. It is never written again. Files of the lake are copied, never linked: what happens to them later does not
reach the backup.
"""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.backup.flushed_files import (
    PART,
    digest_of,
    flush_file,
    flush_folder,
    read_all,
    reader_of,
    remove_file,
    write_hashed,
)
from smallcaps_assets.lake.backup.listed_files import ListedState
from smallcaps_assets.lake.files.content_hash import ProofState, document_proof, proof_and_sha256
from smallcaps_assets.lake.files.documents import parse_json_object
from smallcaps_assets.lake.files.publish import disk_errors

OBJECTS: Final = "objects"
# shorter files are hashed in memory first, and written only where their content is not stored yet
_SHORT_BYTES: Final = 1 << 20
_TRIES: Final = 3
_DIGITS_OF_FOLDER: Final = 2


class Stored(NamedTuple):
    """What was stored of a file.

    Attributes:
        sha256: of its content, in hex.
        state: of the file as it was read.
        proof: whether it is what the lake published; None of a file that carries no hash of its own.
        is_new: whether the content was not stored before.
    """

    sha256: str
    state: ListedState
    proof: ProofState | None
    is_new: bool


class ObjectStore:
    """The objects below `root`/objects."""

    def __init__(self, root: Path) -> None:
        self.folder = root / OBJECTS
        # of two files with the same content that are stored at once, one is new
        self._keeping = Lock()
        # folders with new names
        self._changed = set[Path]()

    def path_of(self, sha256: str) -> Path:
        """Where the content with this SHA-256 is stored."""
        return self.folder / sha256[:_DIGITS_OF_FOLDER] / sha256

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """The size of each object as it was listed, with those that this process added."""
        return dict(self.listed())

    def has(self, sha256: str, size: int) -> bool:
        """Whether there is an object of this size; what it holds is not read."""
        return self._sizes.get(sha256) == size

    def path_size(self, sha256: str) -> int | None:
        """The size of an object on the disk; None where there is none.

        Raises:
            LakeError: the disk refuses.
        """
        path = self.path_of(sha256)
        with disk_errors("read", path):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                return None

    def listed(self) -> Iterator[tuple[str, int]]:
        """Name and size of every object.

        Raises:
            LakeError: a folder cannot be listed.
        """
        for folder in self._folders():
            with disk_errors("read", folder), os.scandir(folder) as listed:
                for entry in listed:
                    if not entry.name.startswith("."):
                        yield entry.name, entry.stat().st_size

    def put(self, source: Path, suffix: str = "") -> Stored | None:
        """Store the content of a file; None where the file is gone.

        Args:
            source: the file. It may be replaced meanwhile: what is stored is one whole version of it.
            suffix: that of a file of the lake, `.parquet` or `.json`, which carries a hash of its own.

        Raises:
            LakeError: it cannot be read, changes whenever it is read, or the object cannot be written.
        """
        for _ in range(_TRIES):
            try:
                with disk_errors("read", source):
                    file = source.open("rb", buffering=0)
            except LakeError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    return None
                raise
            with file:
                state = ListedState.of(os.fstat(file.fileno()))
                read = reader_of(source, file.read)
                stored = self._put(read, state, suffix)
                if stored and ListedState.of(os.fstat(file.fileno())).has_content_of(state):
                    return stored
        raise LakeError(
            f"{source}: changes while it is read, and files of a lake never do. End the program that writes into it.",
            source,
        )

    def _put(self, read: Callable[[int], bytes], state: ListedState, suffix: str) -> Stored | None:
        """Store what is read; None where it is not as long as the file was."""
        if state.size > _SHORT_BYTES:
            part = self.part()
            try:
                sha256, size = write_hashed(part, read)
                return self._keep(part, sha256, state, suffix) if size == state.size else None
            finally:
                remove_file(part)
        content = read_all(read, state.size)
        if len(content) != state.size:
            return None
        sha256 = hashlib.sha256(content).hexdigest()
        if self.has(sha256, state.size):
            # not read back: it was proved when it was stored
            return Stored(sha256, state, self._proof(self.path_of(sha256), suffix)[0], is_new=False)
        part = self.part()
        try:
            with disk_errors("written", part, state.size):
                part.write_bytes(content)
            return self._keep(part, sha256, state, suffix)
        finally:
            remove_file(part)

    def keep(self, part: Path, source: ListedState) -> Stored:
        """Take over a complete file from `part`, such as the copy of a database, as what was stored of `source`."""
        with disk_errors("read", part), part.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            return self._keep(part, sha256, source, "")
        finally:
            remove_file(part)

    def part(self) -> Path:
        """A name for a file in the making."""
        with disk_errors("written", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f".{uuid.uuid4().hex}{PART}"

    def _keep(self, part: Path, sha256: str, state: ListedState, suffix: str) -> Stored:
        """Make a file in the making an object, unless there is one of its content."""
        flush_file(part)
        proof, found = self._proof(part, suffix)
        if found != sha256:
            raise LakeError(
                f"{part}: what was written does not read back (SHA-256 is {found}, not {sha256}). Check the disk of "
                "the backup, then run again: no incomplete file was left in place.",
                part,
            )
        path, size = self.path_of(sha256), part.stat().st_size
        with self._keeping:
            is_new = not self.has(sha256, size)
            if is_new:
                with disk_errors("written", path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(part, path)  # noqa: PTH105 -- replaces what has another size, which is damaged
                self._sizes[sha256] = size
                self._changed |= {path.parent, self.folder}
        return Stored(sha256, state, proof, is_new)

    @staticmethod
    def _proof(path: Path, suffix: str) -> tuple[ProofState | None, str]:
        """Whether a file is what the lake published, and its SHA-256; reads every byte once."""
        with disk_errors("read", path):
            if suffix == ".parquet":
                proof, sha256 = proof_and_sha256(path)
                return proof.state, sha256
            if suffix == ".json":
                content = path.read_bytes()
                document = parse_json_object(content)
                return None if document is None else document_proof(document).state, hashlib.sha256(content).hexdigest()
            return None, digest_of(path)

    def remove(self, sha256: str) -> None:
        """Remove an object that no snapshot names."""
        remove_file(self.path_of(sha256))
        self._sizes.pop(sha256, None)

    def sweep(self) -> None:
        """Remove files in the making; nobody else may be writing to the backup."""
        if self.folder.is_dir():
            for part in self.folder.glob(f".*{PART}"):
                remove_file(part)

    def flush(self) -> None:
        """Flush the names of the objects that this process has added to disk."""
        for folder in sorted(self._changed):
            flush_folder(folder)
        self._changed.clear()

    def _folders(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        with disk_errors("read", self.folder), os.scandir(self.folder) as listed:
            return sorted(self.folder / entry.name for entry in listed if entry.is_dir())
