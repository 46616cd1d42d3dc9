"""JSON documents of the lake: any change of them is noticed; those of earlier releases are read."""

import json
from pathlib import Path

import pytest

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.content_hash import DOCUMENT_KEY, ProofState, document_proof
from smallcaps_assets.lake.files.documents import parse_json_object, publish_document, read_document
from smallcaps_assets.lake.imports import imported_kinds, record_import
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.failures import effort_so_far
from smallcaps_assets_tests.conftest import new_lake

DOCUMENT = {"state": "failed", "count": 3, "span": ("a", 0.1), "rest": {"x": None}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "document.json"
    publish_document(path, DOCUMENT, indent=2)
    return path


def test_a_document_is_read_as_it_was_published(path: Path) -> None:
    read = read_document(path, "Nothing.", {"state": str, "count": int})
    assert document_proof(read).state is ProofState.INTACT
    assert {name: value for name, value in read.items() if name != DOCUMENT_KEY} == {**DOCUMENT, "span": ["a", 0.1]}


def test_every_bit_of_a_document_counts(path: Path) -> None:
    sound, content = path.read_bytes(), json.loads(path.read_text(encoding="utf-8"))
    unnoticed = 0
    for place in range(len(sound)):
        changed = sound[:place] + bytes([sound[place] ^ (1 << place % 8)]) + sound[place + 1 :]
        document = parse_json_object(changed)
        if document is not None and document_proof(document).state is not ProofState.DAMAGED:
            # a changed space, or the name of the hash: the values are the same
            unnoticed += 1
            assert {name: document[name] for name in DOCUMENT} == {name: content[name] for name in DOCUMENT}
    assert unnoticed < len(DOCUMENT_KEY) + sound.count(b" ") + sound.count(b"\n")


def test_documents_of_earlier_releases_are_read(path: Path) -> None:
    path.write_text('{"state": "failed"}', encoding="utf-8")
    assert read_document(path, "Nothing.", {"state": str}) == {"state": "failed"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is not a JSON document"),
        ("[1]", "is not a JSON document"),
        ("[" * 200_000, "is not a JSON document"),
        ('{"count": 1}', "has no usable state"),
        ('{"state": 1}', "has no usable state"),
        (json.dumps({"state": "failed", DOCUMENT_KEY: "0"}), "is damaged: its content is not what was published"),
    ],
)
def test_a_damaged_document_is_named_with_its_remedy(path: Path, content: str, problem: str) -> None:
    path.write_text(content, encoding="utf-8")
    with pytest.raises(LakeError) as caught:
        read_document(path, "Remove it.", {"state": str})
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert str(caught.value).endswith(". Remove it.")


def damage(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_a_damaged_record_of_imports_is_named(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "lake")
    record_import(lake, "bars")
    damage(lake.imports, "bars", "cars")
    with pytest.raises(LakeError, match=r"imports\.json: is damaged.*kinds are bars, events and windows"):
        imported_kinds(lake)


def test_a_damaged_pointer_is_named(tmp_path: Path) -> None:
    store = ManifestStore.in_lake(Lake(tmp_path), "core")
    publish_document(store.pointer, {"manifest_id": "core_20260105_120000"}, below=tmp_path)
    damage(store.pointer, "120000", "120001")
    with pytest.raises(LakeError, match=r"current\.json: is damaged.*Materialize core/manifest, which"):
        store.current_id()


def test_a_damaged_record_of_a_failure_does_not_count(path: Path) -> None:
    publish_document(path, {"state": "failed", "cause": "x", "wave": "PM", "events": [], "requests": 4})
    assert effort_so_far(path)["requests"] == 4
    damage(path, "4", "5")
    assert effort_so_far(path) == {}
