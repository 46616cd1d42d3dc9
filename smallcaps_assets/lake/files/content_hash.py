"""Content hashes: every parquet file of the lake carries in its footer the SHA-256 of its bytes.

The hash is that of the whole file with zeros in the place of the hash itself, so it covers rows, statistics, schema and
provenance alike, and goes wherever the file goes. A second entry of the footer says that there is a hash: damage that
hides the one does not hide the other. Small JSON documents carry the hash of their other entries.

Files of earlier releases have no hash: they are neither intact nor damaged, until they are next published.
"""

import hashlib
import json
import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from smallcaps_assets.errors import LakeError

# Keys of the footer metadata: the hash, and which hash it is.
HASH_KEY: Final = "smallcaps_sha256"
ALGORITHM_KEY: Final = "smallcaps_hash"
# Key of a JSON document.
DOCUMENT_KEY: Final = "content_sha256"
# what is said of a damaged file
DAMAGE: Final = "damaged: its content is not what was published (SHA-256)"

_ALGORITHM: Final = "sha256"
_DIGITS: Final = 64
_ZEROS: Final = "0" * _DIGITS
# longer files are mapped into memory, not read
_SHORT_BYTES: Final = 1 << 20
_Content = bytes | mmap.mmap
# how every parquet file begins and ends
_MAGIC: Final = b"PAR1"
# what ends it: the size of the footer, in four bytes, and that
_FOOTER_TAIL: Final = 8
# How Thrift's compact protocol writes these entries: type and length before each string.
_MARKER: Final = b"\x18%c%s\x18%c" % (len(HASH_KEY), HASH_KEY.encode(), _DIGITS)
_ALGORITHM_ENTRY: Final = b"%s\x18%c%s" % (ALGORITHM_KEY.encode(), len(_ALGORITHM), _ALGORITHM.encode())


class ProofState(StrEnum):
    """Whether a file is what was published."""

    INTACT = "intact"
    DAMAGED = "damaged"
    NOT_PROVABLE = "not provable"  # an earlier release published it, without a hash


class Proof(NamedTuple):
    """The state of a file, and the hash that it carries."""

    state: ProofState
    sha256: str | None = None


def unsealed_metadata() -> dict[str, str]:
    """Entries of the footer of a parquet file that `seal` completes."""
    return {ALGORITHM_KEY: _ALGORITHM, HASH_KEY: _ZEROS}


def seal(path: Path) -> str:
    """Put its hash into a parquet file written with `unsealed_metadata`, in its place; returns that file's SHA-256.

    Raises:
        OSError: the file cannot be read or written.
        LakeError: it has no place for a hash, or several.
    """
    with _content_of(path) as content:
        footer = len(content) - 2 * len(_MAGIC) - int.from_bytes(content[-2 * len(_MAGIC) : -len(_MAGIC)], "little")
        place = content.find(_MARKER, max(footer, 0))
        is_only = place >= 0 and content.find(_MARKER, place + 1) < 0
        if not is_only or content[_end(place) : _end(place) + _DIGITS] != _ZEROS.encode():
            raise LakeError(f"{path}: has no place for the hash of its content.", path)
        whole, zeroed = _digests(content, place)
        found = zeroed.hexdigest().encode()
        whole.update(found)
        whole.update(content[_end(place) + _DIGITS :])
    with path.open("r+b") as file:
        file.seek(_end(place))
        file.write(found)
    return whole.hexdigest()


def is_altered(path: Path) -> bool:
    """Whether a file, which may be any program's, is a parquet file that carries a hash and is not what was published.

    Reads the footers of others only.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < _FOOTER_TAIL:
            return False
        file.seek(size - _FOOTER_TAIL)
        tail = file.read()
        file.seek(max(0, size - _FOOTER_TAIL - int.from_bytes(tail[:-4], "little")))
        footer = file.read()
    is_sealed = tail.endswith(_MAGIC) and (_MARKER in footer or _ALGORITHM_ENTRY in footer)
    return is_sealed and proof_of(path).state is ProofState.DAMAGED


def proof_of(path: Path) -> Proof:
    """Whether a parquet file is what was published; reads every byte once.

    Raises:
        OSError: the file cannot be read.
    """
    with _content_of(path) as content:
        return _proof(content)


def proof_and_sha256(path: Path) -> tuple[Proof, str]:
    """What `proof_of` returns, and the SHA-256 of the file as it is; reads every byte once.

    Raises:
        OSError: the file cannot be read.
    """
    with _content_of(path) as content:
        place = _place_of_hash(content)
        if place is None:
            return _proof(content), hashlib.sha256(content).hexdigest()
        whole, zeroed = _digests(content, place)
        whole.update(content[_end(place) :])
        return _compare(content, place, zeroed), whole.hexdigest()


def proof_and_entry(path: Path, key: str) -> tuple[Proof, str | None]:
    """What `proof_of` returns, and an entry of the footer's metadata, None where there is none; reads every byte once.

    Raises:
        OSError: the file cannot be read.
    """
    with _content_of(path) as content:
        proof = _proof(content)
        return proof, None if proof.state is ProofState.DAMAGED else _entry(content, key)


def content_sha256(path: Path) -> str | None:
    """The hash that a parquet file carries, unchecked; None where it carries none. Reads the footer only.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < 2 * len(_MAGIC):
            return None
        with _mapped(file) as content:
            place = content.rfind(_MARKER)
            return None if place < 0 else content[_end(place) : _end(place) + _DIGITS].decode("latin-1")


def seal_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON document with the hash of its other entries as the last one."""
    rest = {name: value for name, value in document.items() if name != DOCUMENT_KEY}
    return {**rest, DOCUMENT_KEY: _document_sha256(rest)}


def document_proof(document: Mapping[str, Any]) -> Proof:
    """Whether a JSON document is what was published."""
    found = document.get(DOCUMENT_KEY)
    if found is None:
        return Proof(ProofState.NOT_PROVABLE)
    rest = {name: value for name, value in document.items() if name != DOCUMENT_KEY}
    return Proof(ProofState.INTACT if found == _document_sha256(rest) else ProofState.DAMAGED, str(found))


def _document_sha256(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _end(place: int) -> int:
    return place + len(_MARKER)


@contextmanager
def _content_of(path: Path) -> Iterator[_Content]:
    """All bytes of a file: a short one is read, which takes less time than mapping it."""
    with path.open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size <= _SHORT_BYTES:
            yield file.read()
        else:
            with _mapped(file) as content:
                yield content


def _mapped(file: BinaryIO | FileIO) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _entry(content: _Content, key: str) -> str | None:
    """The value of a key of a footer, as Thrift's compact protocol writes it."""
    before = b"\x18%c%s\x18" % (len(key), key.encode())
    place = content.rfind(before)
    if place < 0:
        return None
    place, size, shift = place + len(before), 0, 0
    while True:  # seven bits a byte, the lowest first
        size |= (content[place] & 0x7F) << shift
        shift += 7
        place += 1
        if content[place - 1] < 0x80:  # noqa: PLR2004
            return content[place : place + size].decode()


def _is_parquet(content: _Content) -> bool:
    return len(content) >= 2 * len(_MAGIC) and content[: len(_MAGIC)] == _MAGIC == content[-len(_MAGIC) :]


def _place_of_hash(content: _Content) -> int | None:
    """Where the marker of the hash is in a parquet file; None where there is none, or it is no such file."""
    place = content.rfind(_MARKER) if _is_parquet(content) else -1
    return None if place < 0 else place


def _digests(content: _Content, place: int) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """The digest of the file up to its hash, and that of all of it with zeros in the place of the hash."""
    with memoryview(content) as view:
        before = hashlib.sha256(view[: _end(place)])
        zeroed = before.copy()
        zeroed.update(_ZEROS.encode())
        zeroed.update(view[_end(place) + _DIGITS :])
    return before, zeroed


def _compare(content: _Content, place: int, zeroed: "hashlib._Hash") -> Proof:
    recorded = content[_end(place) : _end(place) + _DIGITS].decode("latin-1")
    return Proof(ProofState.INTACT if zeroed.hexdigest() == recorded else ProofState.DAMAGED, recorded)


def _proof(content: _Content) -> Proof:
    place = _place_of_hash(content)
    if place is not None:
        return _compare(content, place, _digests(content, place)[1])
    hidden = content.rfind(_ALGORITHM_ENTRY) >= 0
    return Proof(ProofState.NOT_PROVABLE if _is_parquet(content) and not hidden else ProofState.DAMAGED)
