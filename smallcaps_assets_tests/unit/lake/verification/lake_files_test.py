"""The walk over all files of a lake: old lakes, unknown files, two folders of one symbol, the output of the command."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyarrow import parquet

from smallcaps_assets.cli import main
from smallcaps_assets.domain.research.tape.pinned_conditions import pinned_conditions
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.content_hash import DOCUMENT_KEY
from smallcaps_assets.lake.files.documents import publish_document
from smallcaps_assets.lake.files.publish import PROVENANCE, provenance_of, publish_frame, sha256
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.lake.review import PAGE_KEY
from smallcaps_assets.lake.verification.file_kinds import is_place_of_folder
from smallcaps_assets.lake.verification.lake_files import LakeVerification, verify_files
from smallcaps_assets.lake.verification.verify import verify
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.whole_lake import ONE, OTHER, PROFILES, certify, tape_of

BY_ITSELF = {"labels"}  # a digest has ended their names since the first release


@pytest.fixture
def lake(whole_lake: Lake) -> Lake:
    """The lake to damage."""
    return whole_lake


@pytest.fixture
def command(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    return lambda *flags: main(["verify", "--lake", str(lake.root), *flags])


def found_in(result: LakeVerification) -> list[tuple[str, str]]:
    return [(one.file, one.what) for one in result.findings]


# ------------------------------------------------------------------------------------------------ old lakes


def without_hash(path: Path, changes: dict[str, Any] | None = None) -> None:
    """Rewrite a file as releases wrote it that knew no hashes."""
    if path.suffix == ".parquet":
        footer = parquet.read_metadata(path).metadata
        rows = pl.read_parquet(path, hive_partitioning=False)
        provenance = footer.get(PROVENANCE.encode())
        rows.write_parquet(path, metadata={PROVENANCE: provenance.decode()} if provenance else None)
    elif path.suffix == ".json":
        document = json.loads(path.read_text(encoding="utf-8")) | (changes or {})
        kept = {name: value for name, value in document.items() if name not in {DOCUMENT_KEY, PAGE_KEY}}
        path.write_text(json.dumps(kept), encoding="utf-8")


def make_old(lake: Lake) -> None:
    """Take all hashes out of a lake; sidecars and ledgers then are of the files of now."""
    for path in sorted(lake.root.rglob("*.parquet")):
        without_hash(path)
    for path in sorted(lake.root.rglob("*.json")):
        manifest = path.with_suffix(".parquet")
        if "marks" not in path.parts:
            without_hash(path, {"sha256": sha256(manifest)} if manifest.is_file() and "manifests" in path.parts else {})
    for profile in PROFILES:
        certify(lake, profile)
        without_hash(lake.ledger(profile))


def test_an_old_lake_is_not_provable_which_is_no_finding(
    lake: Lake, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    make_old(lake)
    before = files_below(lake.root)
    result = verify_files(lake)
    assert result.findings == ()
    assert {kind.kind for kind in result.kinds if kind.not_provable != kind.files} == BY_ITSELF
    for profile in PROFILES:
        assert verify(tape_of(lake, profile), proofs=result.states).findings == ()
    assert command() == 0
    output = capsys.readouterr().out
    unproven = sum(kind.not_provable for kind in result.kinds)
    assert f"  {unproven:,} files carry no hash, since an earlier release published them: not provable" in output
    assert "  no file is damaged\n" in output
    assert files_below(lake.root) == before


def test_bars_of_an_old_lake_are_proved_by_their_fingerprints(lake: Lake) -> None:
    make_old(lake)
    path = lake.bars(ONE) / "2025-11.parquet"
    provenance = parquet.read_metadata(path).metadata[PROVENANCE.encode()].decode()
    rows = pl.read_parquet(path, hive_partitioning=False)
    dearer = pl.when(pl.int_range(pl.len()) == 3).then(pl.col("close") + 0.01).otherwise("close")
    rows.with_columns(close=dearer).write_parquet(path, metadata={PROVENANCE: provenance})
    (found,) = verify_files(lake).findings
    assert (found.file, found.what) == (
        f"bars/minute/symbol={ONE}/2025-11.parquet",
        "has bars other than its footer records",
    )
    assert found.found.startswith("others in 1 of ")
    assert f"materialize minute_bars of {ONE} " in found.remedy
    assert "about one request" in found.remedy


def edit_events(lake: Lake, symbol: str) -> None:
    path = lake.shard(symbol)
    provenance = parquet.read_metadata(path).metadata[PROVENANCE.encode()].decode()
    rows = pl.read_parquet(path, hive_partitioning=False).with_columns(pl.col("score") + 0.001)
    rows.write_parquet(path, metadata={PROVENANCE: provenance})


def test_events_of_an_old_shard_are_proved_by_their_digest_where_those_of_others_hold(lake: Lake) -> None:
    make_old(lake)
    edit_events(lake, ONE)
    assert found_in(verify_files(lake)) == [
        (f"events/shards/symbol={ONE}.parquet", "has events other than its footer records")
    ]
    # another release of Polars computes other digests: then none holds, and nothing is known
    edit_events(lake, OTHER)
    result = verify_files(lake)
    assert result.findings == ()
    assert {kind.not_provable for kind in result.kinds if kind.kind == "shards"} == {2}


@pytest.mark.parametrize(("end", "what"), [(b"", "is damaged"), (bytes(60) + b"PAR1", "cannot be read")])
def test_a_file_of_an_old_lake_that_cannot_be_read_is_damaged(lake: Lake, end: bytes, what: str) -> None:
    make_old(lake)
    for path in (lake.universe, lake.master, lake.shard(ONE), lake.bars(ONE) / "2025-11.parquet"):
        path.write_bytes(path.read_bytes()[:-64] + end)
    result = verify_files(lake)
    assert {words for _, words in found_in(result)} == {what}
    assert sum(kind.damaged for kind in result.kinds) == len(result.findings) == 4


# --------------------------------------------------------------------------------------- unknown and stray files


def test_unknown_files_are_named_and_are_findings_where_readers_count_them(lake: Lake) -> None:
    (lake.root / "notes.txt").write_text("mine", encoding="utf-8")
    (lake.root / ".DS_Store").write_bytes(b"x")
    (lake.bars(ONE) / ".2025-11.parquet.1.2.part").touch()
    stray = shutil.copy(lake.bars(ONE) / "2025-11.parquet", lake.bars(ONE) / "2025-11 (copy).parquet")
    result = verify_files(lake)
    name = Path(stray).relative_to(lake.root).as_posix()
    assert set(result.unknown) == {"notes.txt", name}
    assert len(result.parts) == 2
    assert found_in(result) == [(name, "is no file of this lake")]
    assert "Move it out of the lake" in result.findings[0].remedy


def test_a_second_folder_of_a_symbol_is_not_read(lake: Lake) -> None:
    """Names of earlier releases stay in use; the name of now beside one is a copy."""
    folder = lake.bars(OTHER)
    shutil.copytree(folder, folder.with_name(f"symbol={OTHER}"))
    assert folder.name != f"symbol={OTHER}"
    found = verify_files(Lake(lake.root)).findings
    assert {one.what for one in found} == {"is not read"}
    assert len({one.file.split("/")[2] for one in found}) == 1


def test_a_file_of_another_symbol_or_month_is_named(lake: Lake) -> None:
    for month in ("2025-11", "2026-01"):
        shutil.copy(lake.bars(OTHER) / "2025-11.parquet", lake.bars(ONE) / f"{month}.parquet")
    shutil.copy(lake.shard(OTHER), lake.shard(ONE))
    folder = f"bars/minute/symbol={ONE}"
    found = found_in(verify_files(lake))
    assert (f"{folder}/2025-11.parquet", "has bars of another symbol") in found
    assert (f"{folder}/2026-01.parquet", "has sessions of another month") in found
    assert (f"events/shards/symbol={ONE}.parquet", "has events of another symbol") in found


def test_folders_may_be_links(lake: Lake, tmp_path: Path) -> None:
    moved = shutil.move(lake.root / "tape", tmp_path / "other disk")
    try:
        (lake.root / "tape").symlink_to(moved, target_is_directory=True)
        (tmp_path / "other disk" / "loop").symlink_to(lake.root, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    result = verify_files(lake)
    assert result.findings == ()
    assert {kind.kind: kind.files for kind in result.kinds}["ledgers"] == 2


def test_a_lake_without_events_is_verified(tmp_path: Path, lake: Lake) -> None:
    for folder in ("tape", "manifests"):
        shutil.copytree(lake.root / folder, tmp_path / "tape only" / folder)
    assert verify_files(Lake(tmp_path / "tape only")).findings == ()


# --------------------------------------------------------------------------------------------- command


def test_the_command_reports_every_kind(
    lake: Lake, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["kind", "files", "MB", "intact", "not", "provable", "damaged"]
    months = len(list(lake.minute_bars.rglob("*.parquet")))
    assert lines[2].split()[:3] == ["minute", "bars", f"{months}"]
    assert lines[2].split()[4:] == [f"{months}", "0", "0"]
    assert "  every file is as published" in lines
    assert lines[-1] == "  every file is as certified"


def test_the_command_names_file_fault_and_remedy(
    lake: Lake, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    lake.shard(ONE).write_bytes(lake.shard(ONE).read_bytes()[:-1] + b"2")
    assert command() == 1
    output = capsys.readouterr().out
    file = f"events/shards/symbol={ONE}.parquet"
    assert f"  {file}: is damaged; expected the content that was published (SHA-256), found another; remedy: " in output
    assert f"Materialize event_shards of {ONE}, which sets it aside" in output
    assert command("--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["holds"] is False
    assert [one["file"] for one in document["files"]["findings"]] == [file]
    damaged = {kind["kind"]: kind["damaged"] for kind in document["files"]["kinds"]}
    assert {kind for kind, count in damaged.items() if count} == {"shards"}


def test_a_damaged_tape_file_is_reported_once_with_its_events(
    lake: Lake, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(lake.tape("plus", "quotes").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    assert command("--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["files"]["findings"] == []
    named = {one["file"] for profile in document["profiles"] for one in profile["findings"]}
    assert named == {path.relative_to(lake.root).as_posix()}


def test_the_command_checks_one_profile_only(
    lake: Lake, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    lake.master.unlink()
    ManifestStore.in_lake(lake, "plus").pointer.unlink()
    assert command("--profile", "core", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert "minute bars" not in {kind["kind"] for kind in document["files"]["kinds"]}
    assert command("--profile", "plus") == 1


def test_a_folder_that_is_no_lake_is_a_mistake(
    tmp_path: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    empty = new_lake(tmp_path / "empty").root
    (empty / "holiday.jpg").touch()
    assert command("--lake", str(empty)) == 2
    assert f"{empty}: has no file of a lake" in capsys.readouterr().err


def test_a_file_in_the_place_of_any_folder_is_found(lake: Lake) -> None:
    everything = [path for path in lake.root.rglob("*") if path.is_dir() and path != lake.locks]
    assert len(everything) > 30
    assert all(is_place_of_folder(path.relative_to(lake.root).as_posix()) for path in everything)
    assert not any(is_place_of_folder(path.relative_to(lake.root).as_posix()) for path in list_files(lake.root))
    for folder in (lake.bars(ONE), lake.tape("core", "trades"), lake.root / "review", lake.quarantine):
        shutil.rmtree(folder)
        folder.touch()
        (found,) = [one for one in verify_files(lake).findings if one.what == "is a file"]
        assert (found.file, found.expected) == (folder.relative_to(lake.root).as_posix(), "a folder")
        assert found.remedy.startswith("Move the file away. ")
        folder.unlink()


def list_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", TAPE_KINDS)
def test_a_record_of_imports_that_lacks_windows_which_tape_files_say_were_imported(kind: str, lake: Lake) -> None:
    path = next(path for path in (lake.root / "tape" / "plus" / kind).rglob("*.parquet"))
    footer = (provenance_of(path) or {}) | {"adopted_from": ["mine.parquet"]}
    publish_frame(path, pl.read_parquet(path, hive_partitioning=False), footer)
    (found,) = verify_files(lake).findings
    assert (found.file, found.what) == ("reference/imports.json", "lacks kinds, as an older copy does")
    assert (found.expected, found.found) == ("a record of imported events and windows", "none of windows")
    assert '{"kinds": ["bars"]}' in found.remedy
    lake.imports.unlink()
    (found,) = verify_files(lake).findings
    assert (found.what, found.expected) == ("is missing", "a record of imported events and windows")
    publish_document(lake.imports, {"kinds": ["bars", "events", "windows"]})
    assert verify_files(lake).findings == ()


@pytest.mark.parametrize("copied", ["symbol={} - Copy", "symbol={} (1)", "symbol={} (conflicted copy 2025-11-01)"])
def test_a_copy_of_a_folder_or_a_shard_is_no_symbol(copied: str, lake: Lake) -> None:
    """As desktops and programs that synchronize name them. Its old events are not those of MASTER."""
    symbols = BarsStore(lake).symbols(), ShardStore(lake).symbols()
    events = ShardStore(lake).load()
    name = copied.format(ONE)
    shutil.copytree(lake.bars(ONE), lake.minute_bars / name)
    shutil.copy(lake.shard(ONE), lake.shards / f"{name}.parquet")
    assert (BarsStore(lake).symbols(), ShardStore(lake).symbols()) == symbols
    assert ShardStore(lake).load().equals(events)
    found = {one.file for one in verify_files(lake).findings if one.what == "is not read"}
    assert {f"bars/minute/{name}/2025-11.parquet", f"events/shards/{name}.parquet"} <= found


@pytest.mark.parametrize(
    ("name", "known", "without"),
    [("splits", "0123abcd", "unknown"), ("trade_conditions", "0123abcd", pinned_conditions()["sha256"][0])],
)
def test_a_reference_table_that_research_was_computed_with_is_missed(
    name: str, known: str, without: str, lake: Lake
) -> None:
    path, key = lake.root / "reference" / f"{name}.parquet", name.removeprefix("trade_")
    table = lake.research_symbol("halts", ONE)
    path.unlink()
    # what was computed without it, or with the same rules, does not miss it
    for inputs, missed in (({}, False), ({key: without}, False), ({key: known}, True)):
        ResearchStore(lake).publish(table, pl.read_parquet(table, hive_partitioning=False), inputs)
        findings = verify_files(lake).findings
        assert [(one.file, one.what) for one in findings] == [(f"reference/{name}.parquet", "is missing")] * missed
    assert (
        findings[0].expected
        == f"the {name.replace('_', ' ')} that research/halts/symbol={ONE}.parquet was computed with"
    )
    assert f"materialize {name}, which costs one or two requests" in findings[0].remedy


@pytest.mark.parametrize("folder", ["bars", "events", "tape"])
def test_a_table_of_another_kind_in_the_quarantine_is_named(folder: str, lake: Lake) -> None:
    path = lake.quarantine / folder / "core" / "other.parquet"
    publish_frame(path, pl.DataFrame({"reason": ["bad"]}), below=lake.root)
    assert found_in(verify_files(lake)) == []
    publish_frame(path, pl.DataFrame({"other": [1]}), below=lake.root)
    assert found_in(verify_files(lake)) == [(f"quarantine/{folder}/core/other.parquet", "is a table of another kind")]
