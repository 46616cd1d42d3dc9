"""Content hashes: any change of a file is noticed; files of earlier releases are not called damaged."""

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.content_hash import (
    DOCUMENT_KEY,
    ProofState,
    content_sha256,
    document_proof,
    proof_and_sha256,
    proof_of,
    seal,
    seal_document,
)
from smallcaps_assets.lake.files.publish import publish_frame, publish_lazy
from smallcaps_assets.lake.files.stored_tables import prove

ROWS = pl.DataFrame({"name": ["a", "b", None], "price": [1.5, 2.25, None]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "table.parquet"
    publish_frame(path, ROWS, {"made": "by hand"})
    return path


def test_the_hash_is_that_of_the_file_with_zeros_in_its_place(path: Path) -> None:
    recorded = content_sha256(path)
    assert recorded is not None
    content = path.read_bytes()
    assert content.count(recorded.encode()) == 1
    assert hashlib.sha256(content.replace(recorded.encode(), b"0" * 64)).hexdigest() == recorded
    assert proof_of(path) == (ProofState.INTACT, recorded)
    assert prove(path) == recorded


def test_every_bit_counts(path: Path) -> None:
    sound = path.read_bytes()
    for place in range(len(sound)):
        bit = 1 << place % 8
        path.write_bytes(sound[:place] + bytes([sound[place] ^ bit]) + sound[place + 1 :])
        assert proof_of(path).state is ProofState.DAMAGED, f"byte {place}, bit {bit}"


@pytest.mark.parametrize("left", [0, 1, 8, -1, -8, -64])
def test_a_truncated_file_is_damaged_unless_it_lost_its_hash(path: Path, left: int) -> None:
    path.write_bytes(path.read_bytes()[:left])
    proof = proof_of(path).state
    # without a footer nothing says that there was a hash, but then the file cannot be read either
    assert proof is ProofState.DAMAGED or (proof is ProofState.NOT_PROVABLE and 0 <= left <= 8)


def test_a_file_without_a_hash_is_not_provable(path: Path) -> None:
    ROWS.write_parquet(path)
    assert proof_of(path) == (ProofState.NOT_PROVABLE, None)
    assert content_sha256(path) is None
    assert prove(path) is None


@pytest.mark.parametrize("rows", [3, 300_000], ids=["read", "mapped"])
def test_one_reading_gives_the_proof_and_the_hash_of_the_file(path: Path, rows: int) -> None:
    # digits of squares of a large prime hardly compress
    numbers = pl.select(number=pl.int_range(rows, dtype=pl.UInt64).pow(2) * 982_451_653 % 2_147_483_647)
    published = publish_frame(path, numbers, {"made": "by hand"})
    assert (path.stat().st_size > 1 << 20) == (rows > 3)
    assert published == hashlib.sha256(path.read_bytes()).hexdigest()
    assert proof_and_sha256(path) == ((ProofState.INTACT, content_sha256(path)), published)
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)
    proof, whole = proof_and_sha256(path)
    assert (proof.state, whole) == (ProofState.DAMAGED, hashlib.sha256(content).hexdigest())
    for short in (b"", b"PAR1", b"something else"):
        path.write_bytes(short)
        assert proof_and_sha256(path) == ((ProofState.DAMAGED, None), hashlib.sha256(short).hexdigest())


def test_only_files_with_a_place_for_the_hash_are_sealed(path: Path) -> None:
    ROWS.write_parquet(path)
    before = path.read_bytes()
    with pytest.raises(LakeError, match=r"table\.parquet: has no place for the hash of its content"):
        seal(path)
    assert path.read_bytes() == before


def test_damage_is_an_error_with_its_remedy(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[10] ^= 4
    path.write_bytes(content)
    with pytest.raises(LakeError, match=r"table\.parquet: is damaged: .*SHA-256.* restore it, or remove it"):
        prove(path)


def test_a_file_without_content_has_no_hash_and_is_damaged(path: Path) -> None:
    path.write_bytes(b"")
    assert content_sha256(path) is None
    assert proof_of(path).state is ProofState.DAMAGED


def test_frames_larger_than_memory_carry_a_hash_too(path: Path) -> None:
    publish_lazy(path, ROWS.lazy(), ROWS.height)
    assert proof_of(path).state is ProofState.INTACT


def test_equal_rows_make_equal_files(path: Path, tmp_path: Path) -> None:
    publish_frame(tmp_path / "again.parquet", ROWS, {"made": "by hand"})
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


def test_documents_carry_the_hash_of_their_other_entries() -> None:
    document = seal_document({"rows": 3, "name": "é"})
    assert list(document) == ["rows", "name", DOCUMENT_KEY]
    assert seal_document(document) == document
    read = json.loads(json.dumps(document, indent=2))
    assert document_proof(read) == (ProofState.INTACT, document[DOCUMENT_KEY])
    assert document_proof(read | {"rows": 4}).state is ProofState.DAMAGED
    assert document_proof(read | {"more": None}).state is ProofState.DAMAGED
    assert document_proof({"rows": 3}).state is ProofState.NOT_PROVABLE
