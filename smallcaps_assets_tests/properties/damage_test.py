"""Damage of every kind to every kind of file: `verify` finds it, or the next run heals it and the docs say so."""

import dataclasses
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from smallcaps_assets.defs.registry import REGISTRY
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.files.content_hash import DOCUMENT_KEY, ProofState
from smallcaps_assets.lake.files.documents import parse_json_object, publish_document
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.verification.discrepancy import Discrepancy
from smallcaps_assets.lake.verification.file_kinds import FILE_KINDS, kind_of
from smallcaps_assets.lake.verification.lake_files import verify_files
from smallcaps_assets.lake.verification.verify import verify
from smallcaps_assets.pipeline.research.joined import JoinedResearch
from smallcaps_assets_tests.conftest import LATER, files_below
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.whole_lake import (
    MANIFEST,
    ONE,
    PROFILES,
    certify,
    detect_all,
    detector_of,
    make_master,
    tape_of,
)

pytestmark = pytest.mark.slow

KINDS = [kind.name for kind in FILE_KINDS]
FLIPS = 400
# kinds of which a deleted file is not noticed, since nothing depends on it, and why that is harmless
REGROWN = {
    "id of the lake": "a state in a database names it, and says how to write it again",
    "ticker details": "asked for again when the universe is next materialized",
    "shard coverage": "its sessions are detected again",
    "candidates": "detected again with the next session, or when they are needed",
    "reports": "written again by the next job",
    "research tables": "computed again from bars and tape",
    "condition bars": "the candidates, which have them too, are read instead",
    "capture reports": "written again with the next ledger",
    "quarantine": "evidence only",
    "failed windows": "asked for again in any case",
    "labels": "the exported files are the user's",
    "trade conditions": "asked for again, and the pinned copy holds until then",
    "splits": "asked for again when they are next materialized",
    "flat files": "downloaded again when they are next materialized",
    "shares outstanding": "asked for again when event_listings is next materialized",
    "listings of events": "made again when event_listings is next materialized",
}
# kinds whose files carry no name of their place
NAMELESS = {"reports", "capture reports", "quarantine"}
# kinds of which a lake has one file
SINGLE = {
    "id of the lake",
    "MASTER",
    "imported events",
    "universe",
    "ticker details",
    "record of imports",
    "trade conditions",
    "splits",
    "listings",
    "listing facts",
    "answers on tickers",
    "ticker events",
    "delisted tickers",
    "shares outstanding",
    "listings of events",
}


@pytest.fixture
def lake(whole_lake: Lake) -> Lake:
    """The lake to damage."""
    return whole_lake


def findings(lake: Lake) -> list[Discrepancy]:
    """What `smallcaps verify` finds; nothing is changed."""
    before = files_below(lake.root)
    files = verify_files(lake)
    found = [*files.findings]
    for profile in PROFILES:
        found += verify(tape_of(lake, profile), proofs=files.states).findings
    assert files_below(lake.root) == before
    return found


def files_of(lake: Lake, kind: str) -> list[Path]:
    """The files of a kind, the largest first: an empty one shows no damage of rows."""
    names = [path.relative_to(lake.root).as_posix() for path in lake.root.rglob("*") if path.is_file()]
    found = [lake.root / name for name in names if (known := kind_of(name)) is not None and known.name == kind]
    return sorted(found, key=lambda path: (-path.stat().st_size, path.as_posix()))


def name_of(lake: Lake, path: Path) -> str:
    return path.relative_to(lake.root).as_posix()


def require_found(lake: Lake, *paths: Path) -> None:
    """Every damaged file is named, with what to do; no other is."""
    found = findings(lake)
    assert {name_of(lake, path) for path in paths} <= {one.file for one in found}
    assert all(one.remedy or one.file.startswith("tape/") for one in found)


def flip(path: Path, place: int, bit: int) -> bytes:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    return bytes(content)


def alter_table(path: Path) -> None:
    """Change one value, and keep the footer as it is: what a careful vandal, or another tool, does."""
    footer = parquet.read_metadata(path).metadata
    table = parquet.read_table(path, partitioning=None).replace_schema_metadata(footer)
    for place, field in enumerate(table.schema):
        values = table.column(place).to_pylist()
        if pa.types.is_floating(field.type) or pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            row = next((row for row, value in enumerate(values) if value is not None), None)
            if row is not None:
                values[row] = values[row] + ("x" if isinstance(values[row], str) else 0.01)
                table = table.set_column(place, field, pa.array(values, field.type))
                break
    else:
        raise AssertionError(f"{path}: no value to change")
    parquet.write_table(table, path, compression="zstd")
    assert parquet.read_metadata(path).metadata.items() >= footer.items()


def alter(path: Path) -> None:
    if path.suffix == ".parquet":
        alter_table(path)
    elif path.suffix == ".html":
        path.write_text(path.read_text(encoding="utf-8").replace("events", "Events"), encoding="utf-8")
    else:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        name = next(name for name, value in document.items() if name != DOCUMENT_KEY and value)
        document[name] = document[name] + "x" if isinstance(document[name], str) else [document[name]]
        path.write_text(json.dumps(document), encoding="utf-8")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_in_the_middle(path: Path) -> None:
    path.write_bytes(flip(path, path.stat().st_size // 2, 5))


# ---------------------------------------------------------------------------------------- every kind of file


def test_the_lake_has_a_file_of_every_kind_and_is_as_published(lake: Lake) -> None:
    assert findings(lake) == []
    result = verify_files(lake)
    assert [kind.kind for kind in result.kinds] == KINDS
    assert {(kind.intact, kind.not_provable, kind.damaged) for kind in result.kinds} == {
        (kind.files, 0, 0) for kind in result.kinds
    }
    everything = [path for path in lake.root.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert sum(kind.files for kind in result.kinds) == len(everything)
    assert sum(kind.bytes for kind in result.kinds) == sum(path.stat().st_size for path in everything)
    assert (result.unknown, result.parts) == ((), ())
    assert {kind.kind for kind in result.kinds if kind.files == 1} >= SINGLE


@pytest.mark.parametrize("damage", [flip_in_the_middle, truncate, alter])
@pytest.mark.parametrize("kind", KINDS)
def test_changed_bytes_are_found(lake: Lake, kind: str, damage: Callable[[Path], None]) -> None:
    path = files_of(lake, kind)[0]
    damage(path)
    require_found(lake, path)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in REGROWN])
def test_a_deleted_file_is_missed(lake: Lake, kind: str) -> None:
    path = files_of(lake, kind)[0]
    path.unlink()
    require_found(lake, path)


@pytest.mark.parametrize("kind", REGROWN)
def test_a_deleted_file_on_which_nothing_depends_is_no_finding(lake: Lake, kind: str) -> None:
    files_of(lake, kind)[0].unlink()
    assert findings(lake) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NAMELESS | SINGLE])
def test_swapped_files_are_found(lake: Lake, kind: str) -> None:
    paths = files_of(lake, kind)
    one, other = paths[0], next(path for path in paths[1:] if path.read_bytes() != paths[0].read_bytes())
    mine, others = one.read_bytes(), other.read_bytes()
    one.write_bytes(others)
    other.write_bytes(mine)
    require_found(lake, one, other)


def test_months_of_two_symbols_and_tape_of_two_profiles_are_found_when_swapped(lake: Lake) -> None:
    for kind in ("minute bars", "tape"):
        one = files_of(lake, kind)[0]
        (other,) = {path for path in files_of(lake, kind) if path.name == one.name and is_like(path, one)}
        mine, others = one.read_bytes(), other.read_bytes()
        one.write_bytes(others)
        other.write_bytes(mine)
        require_found(lake, one, other)


def is_like(path: Path, one: Path) -> bool:
    """Whether a file is another of the same symbol in another profile, or of the same month of another symbol."""
    if path == one or "quotes" in {part.name for part in path.parents} ^ {part.name for part in one.parents}:
        return False
    return path.parent.name == one.parent.name or "tape" not in {part.name for part in one.parents}


@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_bit_is_read_as_another_value(lake: Lake, kind: str) -> None:
    path = files_of(lake, kind)[0]
    sound = path.read_bytes()
    state = next(known.state for known in FILE_KINDS if known.name == kind)
    rng = random.Random(kind)  # noqa: S311
    for _ in range(FLIPS):
        place, bit = rng.randrange(len(sound)), rng.randrange(8)
        path.write_bytes(sound[:place] + bytes([sound[place] ^ (1 << bit)]) + sound[place + 1 :])
        if proves_damage(state, path):
            continue
        # of a document, white space or the name of the hash may have changed: its values are the same
        assert path.suffix == ".json", f"byte {place}, bit {bit}"
        before, after = parse_json_object(sound) or {}, parse_json_object(path.read_bytes()) or {}
        assert {name: after.get(name) for name in before if name != DOCUMENT_KEY} == {
            name: value for name, value in before.items() if name != DOCUMENT_KEY
        }, f"byte {place}, bit {bit}"


def proves_damage(state: Callable[[Path], ProofState], path: Path) -> bool:
    try:
        return state(path) is ProofState.DAMAGED
    except ValueError:
        return True


# ------------------------------------------------------------------------------------------- older copies


def test_an_older_month_of_bars_lacks_sessions_that_events_were_detected_on(lake: Lake) -> None:
    folder = lake.bars(ONE)
    path = folder / "2025-12.parquet"
    newer = path.read_bytes()
    kept = BarsStore(lake).read(ONE).filter(pl.col("timestamp").dt.date() < pl.date(2025, 12, 2))
    path.unlink()
    rejected = pl.read_parquet(lake.quarantine_path(path)).clear()
    first = kept.filter(pl.col("timestamp").dt.month() == 12)
    day = first["timestamp"].dt.date()[0]
    BarsStore(lake).add(ONE, day.replace(day=1), [day], first, rejected)
    (found,) = findings(lake)
    assert (found.file, found.what) == (name_of(lake, path), "lacks sessions, as an older copy does")
    assert found.found == "1 less, such as 2025-12-02"
    path.write_bytes(newer)
    assert findings(lake) == []


def test_an_older_record_of_imports_lacks_a_kind_of_which_the_lake_has_files(lake: Lake) -> None:
    publish_document(lake.imports, {"kinds": ["bars"]})
    (found,) = findings(lake)
    assert (found.file, found.what) == (name_of(lake, lake.imports), "lacks kinds, as an older copy does")
    assert (found.expected, found.found) == ("a record of imported events", "none of events")


def test_an_older_pointer_and_an_older_ledger_contradict_each_other(lake: Lake) -> None:
    manifests = ManifestStore.in_lake(lake, "core")
    pointer, ledger = manifests.pointer.read_bytes(), lake.ledger("core").read_bytes()
    funnel: list[dict[str, Any]] = [{"step": "max_events", "rows": 1}]
    manifests.freeze(Selection(MANIFEST[:1], funnel, {}), config_hash="d", master_sha256="m", now=LATER)
    publish_frame(lake.ledger("core"), build_ledger(MANIFEST[:1], tape_of(lake, "core"), manifests.current_id()))
    assert findings(lake) == []
    newer = lake.ledger("core").read_bytes()
    lake.ledger("core").write_bytes(ledger)
    assert [one.what for one in findings(lake)] == ["is not of the current manifest"]
    lake.ledger("core").write_bytes(newer)
    manifests.pointer.write_bytes(pointer)
    assert [one.what for one in findings(lake)] == ["is not of the current manifest"]


def test_an_older_copy_of_a_tape_file_is_not_the_certified_one(lake: Lake) -> None:
    path = files_of(lake, "tape")[0]
    older = path.read_bytes()
    alter_table(path)
    rows, footer = pl.read_parquet(path, hive_partitioning=False), parquet.read_metadata(path).metadata
    publish_frame(path, rows, json.loads(footer[b"smallcaps"]) | {"fetched_at": "2026-02-01T00:00:00+00:00"})
    certify(lake, "core" if "core" in path.parts else "plus")
    assert findings(lake) == []
    path.write_bytes(older)
    assert {(one.file, one.what) for one in findings(lake)} == {(name_of(lake, path), "SHA-256 differs")}


def test_a_copied_lake_is_as_published_whatever_its_times(lake: Lake, tmp_path: Path) -> None:
    copied = shutil.copytree(lake.root, tmp_path / "copied", copy_function=shutil.copyfile)
    assert findings(Lake(copied)) == []


# --------------------------------------------------------------------------------------------- healing


def heals(lake: Lake, damaged: Collection[Path], heal: Callable[[Lake], object]) -> None:
    """The remedy that `verify` names brings the lake back, and writes nothing else."""
    before = files_below(lake.root)
    sound = {path: pl.read_parquet(path) for path in damaged if path.suffix == ".parquet"}
    for path in damaged:
        flip_in_the_middle(path)
    require_found(lake, *damaged)
    heal(lake)
    assert findings(lake) == []
    assert all(pl.read_parquet(path).equals(rows) for path, rows in sound.items())
    names = {name_of(lake, path) for path in damaged}
    changed = {name for name, (_, content) in files_below(lake.root).items() if content != before[name][1]}
    assert changed <= names | {name for name in before if name.startswith(("events/coverage", "review/"))}


def test_lost_coverage_is_detected_again(lake: Lake) -> None:
    heals(lake, files_of(lake, "shard coverage"), detect_all)


def test_damaged_candidates_are_detected_again_when_they_are_needed(lake: Lake) -> None:
    path = lake.candidates_of(ONE)
    before, events = path.read_bytes(), files_below(lake.root / "events")
    flip_in_the_middle(path)
    require_found(lake, path)
    assert detector_of(lake).candidates_of(ONE).equals(pl.read_parquet(before).drop("condition_bars"))
    assert {name: content for name, (_, content) in files_below(lake.root / "events").items()} == {
        name: content for name, (_, content) in events.items()
    }
    assert len(list((lake.quarantine / "damaged" / "events" / "candidates").glob("*.damaged"))) == 1
    assert findings(lake) == []


@pytest.mark.parametrize("table", ["micro_features", "event_tape_state", "event_bar_features", "event_scores"])
def test_a_damaged_part_of_the_table_of_events_is_set_aside_where_it_is_found(lake: Lake, table: str) -> None:
    """Whatever its size and time say: materializing its table then makes it again, as the message says."""
    settings = default_settings()
    research = JoinedResearch(lake, settings.research.params, settings.filters, settings.sessions)
    (path, *_) = [
        path for path in files_of(lake, "research tables") if table in path.as_posix() and "plus" not in path.parts
    ]
    sound, state = research.table("core", settings.ranking), path.stat()
    flip_in_the_middle(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(LakeError, match=re.escape(f"{path}: is damaged: ")) as raised:
        research.table("core", settings.ranking)
    assert how_to_restore(path) in str(raised.value)
    assert not path.exists()
    assert len(list((lake.quarantine / "damaged" / "research").rglob("*.damaged"))) == 1
    # what lacks a part has nulls there; the rows of this one are none
    assert research.table("core", settings.ranking).rows.equals(sound.rows)


def test_candidates_of_other_settings_than_the_shard_are_found(lake: Lake) -> None:
    detector = detector_of(lake)
    score = detector.params.score.model_copy(update={"full_spike_x": 40.0})
    other = dataclasses.replace(detector, params=detector.params.model_copy(update={"score": score}))
    other.candidates_of(ONE)
    (found,) = findings(lake)
    assert found.file == name_of(lake, lake.candidates_of(ONE))
    assert found.what == "were detected with other settings than the shard beside them"
    assert found.remedy
    list(other.run([ONE]))
    assert findings(lake) == []


def test_a_deleted_shard_is_detected_again(lake: Lake) -> None:
    before = pl.read_parquet(lake.shard(ONE))
    lake.shard(ONE).unlink()
    require_found(lake, lake.shard(ONE))
    assert detect_all(lake) == []
    assert pl.read_parquet(lake.shard(ONE)).equals(before)
    assert findings(lake) == []


def test_master_is_built_again(lake: Lake) -> None:
    heals(lake, [lake.master], make_master)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_ledger_is_built_again(lake: Lake, profile: str) -> None:
    heals(lake, [lake.ledger(profile)], lambda found: certify(found, profile))


def test_a_deleted_tape_file_is_in_the_backlog(lake: Lake) -> None:
    tape = tape_of(lake, "core")
    before = tape.missing_spans("quotes", event_windows(MANIFEST)).height
    path = next(path for path in files_of(lake, "tape") if "core" in path.parts and "quotes" in path.parts)
    path.unlink()
    require_found(lake, path)
    assert tape.missing_spans("quotes", event_windows(MANIFEST)).height == before + 1


# ------------------------------------------------------------------------------------------------ registry


def test_the_files_of_every_asset_are_verified(lake: Lake) -> None:
    names = [path.relative_to(lake.root).as_posix() for path in lake.root.rglob("*") if path.is_file()]
    for asset, facts in REGISTRY.items():
        place = name_of(lake, facts.path(lake))
        if place.split("/")[1] != "premium":
            of_asset = [name for name in names if name == place or name.startswith(f"{place}/")]
            assert of_asset, f"{asset}: fill_whole_lake publishes no file of it"
            assert all(kind_of(name) for name in of_asset), asset
