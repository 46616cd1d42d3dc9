"""Snapshots, their check and their restore, of small folders of files."""

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.errors import DiskFull, InputError, LakeError
from smallcaps_assets.lake.backup import inventory
from smallcaps_assets.lake.backup.checking import check_backup
from smallcaps_assets.lake.backup.snapshots import Backup
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.backup.readme import README
from smallcaps_assets.settings.operations import BackupParams
from smallcaps_assets_tests.backups import back_up, bring_back, content_below, object_of, write_files
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.unit.pipeline.backup.publishing_test import IN_MEMORY

BARS = "events/shards/symbol=AVLO.jsonl"
POINTER = "manifests/core/current.json"
FILES = {BARS: b"bars", "events/shards/symbol=BNRX.jsonl": b"", POINTER: b"{}\n", "notes of mine.txt": b"bars"}

names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join),
    st.binary(max_size=40) | st.just(b"x" * 1_100_000),
    max_size=6,
).filter(lambda tree: not any(one != other and other.startswith(f"{one}/") for one in tree for other in tree))


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    write_files(tmp_path / "lake", FILES)
    return tmp_path / "lake"


@given(first=trees, second=trees)
@settings(max_examples=20)
def test_a_restored_snapshot_has_the_same_bytes(first: dict[str, bytes], second: dict[str, bytes]) -> None:
    # a file system may not tell upper and lower case apart
    first, second = ({name.lower(): content for name, content in tree.items()} for tree in (first, second))
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        root, backup = Path(folder), Path(folder) / "backup"
        for number, tree in enumerate((first, second)):
            lake = root / f"lake{number}"
            tree.setdefault("x.txt", b"")
            write_files(lake, {**tree, "lake.json": (root / "lake0" / "lake.json").read_bytes()} if number else tree)
            lake.mkdir(exist_ok=True)
            back_up(lake, backup)
        for number, (name, tree) in enumerate(zip(Backup(backup).names(), (first, second), strict=True)):
            bring_back(backup / "snapshots" / name, root / f"restored{number}")
            assert content_below(root / f"restored{number}") == tree
        stored = {size for _, size in Backup(backup).objects.listed()}
        assert stored >= {len(content) for content in (*first.values(), *second.values())}


def test_times_are_restored_so_that_nothing_counts_as_changed(lake: Path, tmp_path: Path) -> None:
    os.utime(lake / BARS, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    before = files_below(lake)
    back_up(lake, tmp_path / "backup")
    bring_back(tmp_path / "backup", tmp_path / "restored")
    assert {**files_below(tmp_path / "restored"), **before} == files_below(tmp_path / "restored")


def test_a_second_snapshot_reads_and_stores_what_changed_only(lake: Path, tmp_path: Path) -> None:
    first = back_up(lake, tmp_path / "backup")
    # two files have the same content, which is stored once; the id of the lake is the fifth file
    assert (first.facts["files"], first.facts["new_files"], first.facts["bytes"]) == (5, 4, 11 + len_of(lake))
    write_files(lake, {POINTER: b"{1}\n"})
    (lake / "notes of mine.txt").unlink()
    second = back_up(lake, tmp_path / "backup", label="after-the-change")
    assert (second.facts["files"], second.facts["new_files"], second.facts["new_bytes"]) == (4, 1, 4)
    assert second.folder.name.endswith("Z-after-the-change")
    bring_back(first.folder, tmp_path / "one")
    bring_back(tmp_path / "backup", tmp_path / "two")
    assert content_below(tmp_path / "one") == FILES
    assert content_below(tmp_path / "two") == content_below(lake)


def len_of(lake: Path) -> int:
    return (lake / "lake.json").stat().st_size


def test_a_file_altered_in_place_does_not_reach_the_backup(lake: Path, tmp_path: Path) -> None:
    back_up(lake, tmp_path / "backup")
    with (lake / BARS).open("r+b") as file:
        file.write(b"BARS")
    bring_back(tmp_path / "backup", tmp_path / "restored")
    assert content_below(tmp_path / "restored") == FILES
    # the next snapshot has it, although size and, as set here, time are the same
    modified = (tmp_path / "restored" / BARS).stat().st_mtime_ns
    os.utime(lake / BARS, ns=(modified, modified))
    assert back_up(lake, tmp_path / "backup").facts["new_bytes"] == 4


def test_a_moved_lake_is_read_but_not_stored_again(lake: Path, tmp_path: Path) -> None:
    back_up(lake, tmp_path / "backup")
    lake.rename(tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*.*"):
        os.utime(path)
    assert back_up(tmp_path / "elsewhere", tmp_path / "backup").facts["new_files"] == 0


def test_the_inventory_has_path_size_hash_and_kind(lake: Path, tmp_path: Path) -> None:
    folder = back_up(lake, tmp_path / "backup").folder
    rows = pl.read_csv(folder / inventory.CSV)
    assert rows.equals(pl.read_parquet(folder / inventory.INVENTORY_FILE).select(rows.columns))
    assert rows.columns == ["path", "size", "sha256", "kind"]
    kinds = dict(rows.select("path", "kind").iter_rows())
    assert kinds == {
        f"lake/{BARS}": "shard coverage",
        "lake/events/shards/symbol=BNRX.jsonl": "shard coverage",
        f"lake/{POINTER}": "pointers",
        "lake/notes of mine.txt": "not of the lake",
        "lake/lake.json": "id of the lake",
    }
    # `printf bars | sha256sum`
    assert rows.row(by_predicate=pl.col("path") == f"lake/{BARS}")[2] == (
        "8556ab2559634a19bd1d144dc844a0da5a0716a0d671e3b4bb2e36c23a2fe8a8"
    )


def test_the_readme_restores_without_this_program(lake: Path, tmp_path: Path) -> None:
    name = back_up(lake, tmp_path / "backup").folder.name
    lines = (tmp_path / "backup" / README).read_text().split("damaged content:\n")[1].split("\n`state/`")[0]
    script = "\n".join(line.removeprefix("    ") for line in lines.splitlines())

    def run() -> None:
        exec(compile(script, "README.md", "exec"), {})  # noqa: S102 -- what it prints is to be run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["restore.py", str(tmp_path / "backup"), name, str(tmp_path / "by hand")])
        run()
        assert content_below(tmp_path / "by hand" / "lake") == FILES
        object_of(tmp_path / "backup", b"{}\n").write_bytes(b"{-\n")
        with pytest.raises(SystemExit, match=f"damaged: lake/{POINTER}"):
            run()


# ------------------------------------------------------------------------------------------------- damage


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (flip, "is damaged: its SHA-256 is "),
        (lambda path: path.write_bytes(b"b"), "1 bytes, not 4"),
        (Path.unlink, "missing"),
    ],
)
def test_damage_in_the_backup_is_named_and_nothing_is_restored(
    spoil: Callable[[Path], None], problem: str, lake: Path, tmp_path: Path
) -> None:
    back_up(lake, tmp_path / "backup")
    spoil(object_of(tmp_path / "backup", b"bars"))
    (fault,) = check_backup(Backup(tmp_path / "backup")).faults
    assert (fault.path, fault.others) == (f"lake/{BARS}", 1)
    assert problem in fault.problem
    with pytest.raises(
        LakeError, match=rf"1 content is not what was stored: lake/{BARS} \(objects/85/8556.*Nothing was"
    ):
        bring_back(tmp_path / "backup", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_what_is_missing_in_the_backup_is_stored_again_by_the_next_one(lake: Path, tmp_path: Path) -> None:
    back_up(lake, tmp_path / "backup")
    object_of(tmp_path / "backup", b"bars").write_bytes(b"b")
    assert back_up(lake, tmp_path / "backup").facts["new_bytes"] == 4
    assert check_backup(Backup(tmp_path / "backup")).holds


@pytest.mark.parametrize("name", [inventory.INVENTORY_FILE, "snapshot.json"])
def test_a_damaged_snapshot_is_named(name: str, lake: Path, tmp_path: Path) -> None:
    folder = back_up(lake, tmp_path / "backup").folder
    flip(folder / name)
    found = check_backup(Backup(tmp_path / "backup"))
    assert not found.holds
    assert str(folder / name) in found.unreadable[folder.name]
    with pytest.raises(LakeError, match=r"Use another snapshot|is damaged"):
        bring_back(folder, tmp_path / "restored")


def test_a_damaged_inventory_stops_no_backup_and_nothing_that_it_may_name_is_removed(
    lake: Path, tmp_path: Path
) -> None:
    flip(back_up(lake, tmp_path / "backup").folder / inventory.INVENTORY_FILE)
    write_files(lake, {POINTER: b"{1}\n"})
    result = back_up(lake, tmp_path / "backup")
    assert result.facts["new_bytes"] == 4
    assert "inventory.parquet" in (result.not_cleaned or "")
    assert object_of(tmp_path / "backup", b"{}\n").exists()
    bring_back(result.folder, tmp_path / "restored")
    assert content_below(tmp_path / "restored") == content_below(lake)


@pytest.mark.parametrize(
    "path", ["lake/../../escaped", "/lake/x", "elsewhere/x", "lake/C:/x", "lake//x", "lake/a\\..\\x"]
)
def test_an_inventory_never_leads_outside(path: str, lake: Path, tmp_path: Path) -> None:
    folder = back_up(lake, tmp_path / "backup").folder
    entries = inventory.read_inventory(folder)
    inventory.publish_inventory(folder, [entries[0]._replace(path=path), *entries[1:]])
    with pytest.raises(LakeError, match="which is no path of a snapshot"):
        bring_back(folder, tmp_path / "restored")


def test_a_file_damaged_in_the_lake_is_named_and_kept_and_no_snapshot_is_removed(
    whole_lake: Lake, tmp_path: Path
) -> None:
    one = BackupParams(keep_last=1, keep_monthly=0, keep_free_gb=0)
    back_up(whole_lake.root, tmp_path / "backup", params=one)
    flip(whole_lake.master)
    result = back_up(whole_lake.root, tmp_path / "backup", params=one)
    assert result.damaged == ["lake/events/master.parquet"]
    assert len(Backup(tmp_path / "backup").names()) == 2
    assert result.removed == ()


# ------------------------------------------------------------------------------------------------- places


def test_folders_that_cannot_be_a_backup_are_named(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    write_files(tmp_path / "full", {"x": b""})
    for given_folder, problem in {
        "lake/backup": "lies in the lake",
        "lake": "lies in the lake",
        ".": "the lake, .*, lies in it",
        "file": "is a file",
        "full": "is not empty .it has x. and no backup",
    }.items():
        with pytest.raises(InputError, match=problem):
            back_up(lake, tmp_path / given_folder)
    with pytest.raises(InputError, match=r"lies in Dagster's state"):
        back_up(lake, tmp_path / "state" / "backup", tmp_path / "state")
    with pytest.raises(InputError, match="--label 'a/b'"):
        back_up(lake, tmp_path / "backup", label="a/b")


def test_the_backup_of_another_lake_is_rejected(lake: Path, tmp_path: Path) -> None:
    back_up(lake, tmp_path / "backup")
    write_files(tmp_path / "other", FILES)
    with pytest.raises(InputError, match=f"holds the backup of another lake .*last at {lake}"):
        back_up(tmp_path / "other", tmp_path / "backup")


def test_a_full_disk_is_named_before_anything_is_written(lake: Path, tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match=r"are to be written, and 1,000,000,000.00 GB must stay free.*GB are missing"):
        back_up(lake, tmp_path / "backup", params=BackupParams(keep_free_gb=1e9))
    assert not Backup(tmp_path / "backup").names()


def test_an_empty_folder_is_no_lake_and_gets_no_id(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    with pytest.raises(InputError, match="If its disk is not mounted"):
        back_up(tmp_path / "lake", tmp_path / "backup")
    assert list((tmp_path / "lake").iterdir()) == []
    with pytest.raises(LakeError, match="there is no lake"):
        back_up(tmp_path / "none", tmp_path / "backup")


def test_two_backups_at_once_are_rejected(lake: Path, tmp_path: Path) -> None:
    back_up(lake, tmp_path / "backup")
    with Backup(tmp_path / "backup").lock(), pytest.raises(InputError, match="another backup writes to this folder"):
        back_up(lake, tmp_path / "backup")


def test_links_are_followed_and_circles_named(lake: Path, tmp_path: Path) -> None:
    write_files(tmp_path / "disk", {"symbol=X.jsonl": b"far away"})
    (lake / "events" / "linked").symlink_to(tmp_path / "disk", target_is_directory=True)
    back_up(lake, tmp_path / "backup")
    bring_back(tmp_path / "backup", tmp_path / "restored")
    assert (tmp_path / "restored/events/linked/symbol=X.jsonl").read_bytes() == b"far away"
    (lake / "events" / "circle").symlink_to(lake / "events", target_is_directory=True)
    with pytest.raises(LakeError, match="link to a folder that it lies in"):
        back_up(lake, tmp_path / "backup")


def test_a_restore_never_writes_over_anything(lake: Path, tmp_path: Path) -> None:
    write_files(tmp_path / "state", {"history/x.txt": b"1"})
    folder = back_up(lake, tmp_path / "backup", tmp_path / "state").folder
    write_files(tmp_path / "full", {"x": b""})
    with pytest.raises(InputError, match=r"is not empty .it has x."):
        bring_back(folder, tmp_path / "full")
    with pytest.raises(InputError, match=r"has a state of Dagster already .history."):
        bring_back(folder, tmp_path / "restored", tmp_path / "state")
    with pytest.raises(InputError, match="lies in the backup"):
        bring_back(folder, tmp_path / "backup" / "lake")
    assert not (tmp_path / "restored").exists()
    (tmp_path / "empty").mkdir()
    bring_back(folder, tmp_path / "empty", tmp_path / "empty state")
    assert content_below(tmp_path / "empty") == FILES
    assert content_below(tmp_path / "empty state") == {"history/x.txt": b"1"}


# ------------------------------------------------------------------------------------------------- retention


def test_retention_keeps_the_newest_one_of_each_month_and_those_with_a_label(lake: Path, tmp_path: Path) -> None:
    params = BackupParams(keep_last=2, keep_monthly=2, keep_free_gb=0)
    begin = datetime(2025, 9, 30, 12, tzinfo=UTC)
    for day in (0, 1, 2, 20, 40, 41, 42):
        write_files(lake, {POINTER: f"{day}".encode()})
        now = begin + timedelta(days=day)
        back_up(lake, tmp_path / "backup", params=params, label="kept" if day == 1 else None, now=lambda now=now: now)
    # 30 Sep is older than two months with snapshots; 2 Oct gives way to 20 Oct, that of 9 Nov to the two newest
    assert Backup(tmp_path / "backup").names() == [
        "20251001T120000Z-kept",
        "20251020T120000Z",
        "20251110T120000Z",
        "20251111T120000Z",
    ]
    held = {
        content: object_of(tmp_path / "backup", content).exists() for content in (b"0", b"1", b"2", b"20", b"40", b"41")
    }
    assert held == {b"0": False, b"1": True, b"2": False, b"20": True, b"40": False, b"41": True}
    assert check_backup(Backup(tmp_path / "backup")).holds


def test_a_clock_that_was_set_back_does_not_make_an_older_snapshot(lake: Path, tmp_path: Path) -> None:
    for year in (2026, 2025):
        back_up(lake, tmp_path / "backup", now=lambda year=year: datetime(year, 1, 1, tzinfo=UTC))
    assert Backup(tmp_path / "backup").names() == ["20260101T000000Z", "20260101T000001Z"]


# ------------------------------------------------------------------------------------------------- state


def test_a_database_is_copied_with_what_is_not_in_its_file_yet(lake: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    write_files(
        state, {"lakes/other/history/runs.db": b"of another lake", "dagster.yaml": b"", "failures.jsonl": b"1\n"}
    )
    (state / "history").mkdir()
    with closing(sqlite3.connect(state / "history" / "runs.db", isolation_level=None)) as opened:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("CREATE TABLE runs (id INTEGER)")
        opened.execute("INSERT INTO runs VALUES (1)")
        assert (state / "history" / "runs.db-wal").stat().st_size > 0
        first = back_up(lake, tmp_path / "backup", state)
        opened.execute("BEGIN")
        opened.execute("INSERT INTO runs VALUES (2)")  # not committed: in no snapshot
        second = back_up(lake, tmp_path / "backup", state)
        opened.execute("COMMIT")
    third = back_up(lake, tmp_path / "backup", state)
    assert [one.facts["state"] for one in (first, second, third)] == ["sqlite"] * 3
    for number, (folder, rows) in enumerate(((first, [1]), (second, [1]), (third, [1, 2]))):
        bring_back(folder.folder, tmp_path / f"lake{number}", tmp_path / f"state{number}")
        restored = tmp_path / f"state{number}"
        assert {path.name for path in restored.rglob("*") if path.is_file()} == {"runs.db", "failures.jsonl"}
        with closing(sqlite3.connect(restored / "history" / "runs.db")) as opened:
            assert [row[0] for row in opened.execute("SELECT id FROM runs")] == rows
    # nothing changed: no database is copied
    assert back_up(lake, tmp_path / "backup", state).facts["new_files"] == 0


def test_a_damaged_database_is_kept_as_it_is_and_named(lake: Path, tmp_path: Path) -> None:
    damaged = b"SQLite format 3\0" + b"\xff" * 5_000
    write_files(tmp_path / "state", {"history/runs.db": damaged})
    result = back_up(lake, tmp_path / "backup", tmp_path / "state")
    assert result.damaged == ["state/history/runs.db"]
    bring_back(tmp_path / "backup", tmp_path / "restored", tmp_path / "restored state")
    assert (tmp_path / "restored state" / "history" / "runs.db").read_bytes() == damaged


def test_what_a_snapshot_says_of_itself(lake: Path, tmp_path: Path) -> None:
    folder = back_up(lake, tmp_path / "backup").folder
    facts = json.loads((folder / "snapshot.json").read_text())
    assert (facts["lake"], facts["state"], facts["label"], facts["damaged"]) == (str(lake), "left out", None, [])
    assert facts["lake_id"] == json.loads((lake / "lake.json").read_text())["id"]
