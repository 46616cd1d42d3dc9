"""Frozen selections: never overwritten, and rejected when edited."""

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.files.content_hash import DOCUMENT_KEY, seal_document
from smallcaps_assets.lake.files.publish import publish_frame, sha256
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets_tests.conftest import event, files_below, manifest_of

NOW = datetime(2025, 11, 6, 8, 48, 37, tzinfo=UTC)
ONE = manifest_of(event("2025-11-05 10:00"), event("2025-11-05 11:00", symbol="BRK.B"))
TWO = manifest_of(event("2025-11-05 12:00"))


@pytest.fixture
def store(tmp_path: Path) -> ManifestStore:
    return ManifestStore.in_lake(Lake(tmp_path), "core")


def frozen(
    store: ManifestStore,
    manifest: pl.DataFrame,
    config: str = "c1",
    master: str = "m1",
    now: datetime = NOW,
    **more: Any,
) -> dict[str, Any]:
    selection = Selection(manifest, [{"step": "range_and_sessions", "rows": manifest.height}], {"triggered": 0})
    return store.freeze(selection, config_hash=config, master_sha256=master, now=now, **more)


def pointer(store: ManifestStore) -> str:
    return str(json.loads((store.folder / "current.json").read_text())["manifest_id"])


def test_a_manifest_and_its_sidecar(store: ManifestStore) -> None:
    sidecar = frozen(store, ONE)
    assert sidecar == seal_document(sidecar)
    assert {name: value for name, value in sidecar.items() if name != DOCUMENT_KEY} == {
        "manifest_id": "core_20251106_084837",
        "profile": "core",
        "config_hash": "c1",
        "sha256": sha256(store.folder / "core_20251106_084837.parquet"),
        "master_sha256": "m1",
        "rows": 2,
        "symbols": 2,
        "funnel": [{"step": "range_and_sessions", "rows": 2}],
        "session_distribution": {
            "PM": {"count": 0, "percentage": 0.0},
            "RTH": {"count": 2, "percentage": 100.0},
            "AH": {"count": 0, "percentage": 0.0},
        },
        "extension": {"triggered": 0},
    }
    assert store.sidecar() == sidecar
    assert json.loads((store.folder / "core_20251106_084837.json").read_text()) == sidecar
    assert_frame_equal(store.load(), ONE)
    assert pointer(store) == "core_20251106_084837"


def test_there_is_no_manifest_before_the_first(store: ManifestStore) -> None:
    with pytest.raises(InputError, match="no manifest of profile core yet"):
        store.load()


def test_another_universe_of_the_events_dates_is_another_manifest(store: ManifestStore) -> None:
    without = frozen(store, ONE)
    assert "universe" not in without
    first = frozen(store, ONE, universe={"as_of": "event", "sha256": "u1"})
    assert first["universe"] == {"as_of": "event", "sha256": "u1"}
    assert frozen(store, TWO, universe={"as_of": "event", "sha256": "u2"})["rows"] == 1
    assert len(list(store.folder.glob("*.parquet"))) == 3
    assert frozen(store, ONE, universe={"as_of": "event", "sha256": "u1"}) == first
    assert frozen(store, ONE) == without
    assert pointer(store) == without["manifest_id"]


def test_the_same_rules_over_the_same_master_are_the_same_manifest(store: ManifestStore) -> None:
    first = frozen(store, ONE)
    before = files_below(store.folder)
    assert frozen(store, ONE, now=NOW + timedelta(hours=1)) == first
    assert files_below(store.folder) == before


def test_a_new_manifest_leaves_the_old_one_as_it_was(store: ManifestStore) -> None:
    frozen(store, ONE)
    before = files_below(store.folder)
    second = frozen(store, TWO, config="c2", now=NOW + timedelta(hours=1))
    after = files_below(store.folder)
    assert second["manifest_id"] == "core_20251106_094837"
    assert {name: after[name] for name in before if name != "current.json"} == {
        name: before[name] for name in before if name != "current.json"
    }
    assert_frame_equal(store.load(), TWO)


@pytest.mark.parametrize("change", [{"config": "c2"}, {"master": "m2"}])
def test_other_rules_or_another_master_are_another_manifest(store: ManifestStore, change: dict[str, str]) -> None:
    first, second = frozen(store, ONE), frozen(store, ONE, **change)
    # within the same second the next free one is taken
    assert (first["manifest_id"], second["manifest_id"]) == ("core_20251106_084837", "core_20251106_084838")
    assert pointer(store) == "core_20251106_084838"


def test_going_back_to_earlier_rules_goes_back_to_their_manifest(store: ManifestStore) -> None:
    first = frozen(store, ONE)
    frozen(store, TWO, config="c2")
    assert frozen(store, ONE, now=NOW + timedelta(days=1)) == first
    assert pointer(store) == first["manifest_id"]
    assert len(list(store.folder.glob("*.parquet"))) == 2


def test_the_clock_is_read_in_utc_whatever_zone_it_is_given_in(store: ManifestStore) -> None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    assert frozen(store, ONE, now=NOW.astimezone(ZoneInfo("America/New_York")))["manifest_id"] == "core_20251106_084837"


def edited(store: ManifestStore, sidecar: dict[str, Any]) -> None:
    publish_frame(store.folder / f"{sidecar['manifest_id']}.parquet", TWO)


def test_an_edited_manifest_is_rejected(store: ManifestStore) -> None:
    edited(store, frozen(store, ONE))
    with pytest.raises(LakeError, match=r"SHA-256 is .*, its sidecar says .*changed after it was frozen"):
        store.load()


def test_the_advised_remedy_works(store: ManifestStore) -> None:
    """`materialize the manifest again`."""
    edited(store, frozen(store, ONE))
    frozen(store, ONE, now=NOW + timedelta(hours=1))
    assert_frame_equal(store.load(), ONE)


def test_an_edited_manifest_does_not_become_current_again(store: ManifestStore) -> None:
    old = frozen(store, ONE)
    newer = frozen(store, TWO, config="c2")
    edited(store, old)
    again = frozen(store, ONE)
    assert again["manifest_id"] not in {old["manifest_id"], newer["manifest_id"]}
    assert pointer(store) == again["manifest_id"]
    assert_frame_equal(store.load(), ONE)


def test_an_interruption_before_the_sidecar_costs_nothing(store: ManifestStore) -> None:
    store.folder.mkdir(parents=True)
    publish_frame(store.folder / "core_20251106_084837.parquet", ONE)
    with pytest.raises(InputError, match="no manifest"):
        store.load()
    # the orphan keeps its name and bytes, the manifest comes beside it
    orphan = sha256(store.folder / "core_20251106_084837.parquet")
    assert frozen(store, ONE)["manifest_id"] == "core_20251106_084838"
    assert sha256(store.folder / "core_20251106_084837.parquet") == orphan
    assert_frame_equal(store.load(), ONE)


def test_an_interruption_before_the_pointer_is_repaired(store: ManifestStore) -> None:
    first = frozen(store, ONE)
    (store.folder / "current.json").unlink()
    assert frozen(store, ONE, now=NOW + timedelta(hours=1)) == first
    assert_frame_equal(store.load(), ONE)


def test_a_pointer_to_a_file_that_is_gone_is_a_lake_error(store: ManifestStore) -> None:
    first = frozen(store, ONE)
    (store.folder / f"{first['manifest_id']}.parquet").unlink()
    with pytest.raises(LakeError, match="cannot be read"):
        store.load()
    (store.folder / f"{first['manifest_id']}.json").unlink()
    with pytest.raises(LakeError, match="cannot be read"):
        store.load()


def test_a_manifest_of_another_profile_is_rejected(store: ManifestStore) -> None:
    frozen(store, ONE)
    with pytest.raises(LakeError, match="of profile core, not of plus"):
        ManifestStore(store.folder, "plus").load()


def test_a_pointer_that_is_not_json_is_a_lake_error(store: ManifestStore) -> None:
    frozen(store, ONE)
    (store.folder / "current.json").write_text("{")
    with pytest.raises(LakeError, match=r"current\.json"):
        store.load()


def test_a_damaged_sidecar_does_not_stop_a_new_manifest(store: ManifestStore) -> None:
    first = frozen(store, ONE)
    sidecar = store.folder / f"{first['manifest_id']}.json"
    sidecar.write_text(sidecar.read_text(encoding="utf-8").replace('"m1"', '"m2"'), encoding="utf-8")
    with pytest.raises(LakeError, match=r"core_20251106_084837\.json: is damaged.*Restore it, or materialize core"):
        store.load()
    assert frozen(store, ONE)["manifest_id"] == "core_20251106_084838"
    assert_frame_equal(store.load(), ONE)


def test_manifests_without_a_pointer_are_named_and_the_same_selection_becomes_current_again(
    store: ManifestStore,
) -> None:
    first = frozen(store, ONE)
    frozen(store, TWO, config="c2")
    store.pointer.unlink()
    words = (
        rf"{re.escape(str(store.pointer))}: is missing, although 2 manifests are in its folder, such as "
        r"core_20251106_084838: .* Materialize core/manifest"
    )
    for read in (store.load, store.sidecar, store.current_id):
        with pytest.raises(LakeError, match=words):
            read()
    assert re.match(words, f"{store.missing_pointer()}")
    assert re.match(words, f"{store.damage()}")
    assert store.is_begun()
    assert frozen(store, ONE) == first
    assert (store.missing_pointer(), store.damage()) == (None, None)


def test_nothing_is_wrong_before_the_first_manifest(store: ManifestStore) -> None:
    assert (store.missing_pointer(), store.damage(), store.current_id(), store.is_begun()) == (None, None, None, False)


@pytest.mark.parametrize("file", ["current.json", "core_20251106_084837.json", "core_20251106_084837.parquet"])
def test_a_damaged_file_of_a_manifest_is_no_obstacle_to_the_next(store: ManifestStore, file: str) -> None:
    frozen(store, ONE)
    (store.folder / file).write_text("{", encoding="utf-8")
    damage = store.damage() or ""
    assert damage.startswith(f"{store.folder / file}: ")
    assert "aterialize core/manifest" in damage
    frozen(store, ONE, now=NOW + timedelta(hours=1))
    assert store.damage() is None
    assert_frame_equal(store.load(), ONE)


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_pointer_that_cannot_be_read_is_replaced_by_the_next_manifest(store: ManifestStore) -> None:
    frozen(store, ONE)
    store.pointer.unlink()
    store.pointer.symlink_to(store.pointer.name)
    assert (store.damage() or "").startswith(f"{store.pointer}: cannot be read (")
    frozen(store, ONE)
    assert store.damage() is None


def test_the_sidecar_of_another_manifest_is_not_taken_for_that_of_the_current_one(store: ManifestStore) -> None:
    """Swapped sidecars would let another manifest, whose hash is as its own sidecar says, pass as the current one."""
    frozen(store, TWO, now=NOW - timedelta(hours=1))
    frozen(store, ONE, config="c2")
    older, current = sorted(store.folder.glob("core_*.json"))
    mine, other = current.read_bytes(), older.read_bytes()
    current.write_bytes(other)
    older.write_bytes(mine)
    for read in (store.load, store.sidecar, store.current_id):
        with pytest.raises(LakeError, match=re.escape(f"{current}: is the sidecar of {older.stem}. ")) as raised:
            read()
        assert "aterialize core/manifest" in str(raised.value)
    frozen(store, ONE, config="c2", now=NOW + timedelta(hours=1))
    assert store.damage() is None
    assert_frame_equal(store.load(), ONE)
