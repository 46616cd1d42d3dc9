"""A file of SQLite of which half is free gives that back to the disk; others stay as they are."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from smallcaps_assets.defs.retention.sqlite_files import compact, pages_of


def filled(file: Path, *, rows: int, kept: int) -> None:
    """Rows of 1,000 bytes, of which `kept` are left."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, event TEXT)")
        connection.executemany("INSERT INTO log VALUES (?, ?)", ((number, "e" * 1_000) for number in range(rows)))
        connection.execute("DELETE FROM log WHERE id >= ?", (kept,))
        connection.commit()


@pytest.mark.parametrize(
    ("kept", "shrinks"),
    [
        (100, True),
        (600, False),  # 40 % are free
    ],
)
def test_a_file_is_shrunk_where_half_of_it_is_free(tmp_path: Path, kept: int, *, shrinks: bool) -> None:
    file, said = tmp_path / "runs" / "index.db", list[str]()
    file.parent.mkdir()
    filled(file, rows=1_000, kept=kept)
    before = pages_of(file)
    compact(tmp_path, said.append, least=2_000_000)
    assert said == []
    compact(tmp_path, said.append, least=200_000)
    after = pages_of(file)
    assert len(said) == shrinks
    assert after == ((before.used, 0) if shrinks else before)
    assert file.stat().st_size == sum(after)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (kept,)


def test_a_file_that_is_none_of_sqlite_stays(tmp_path: Path) -> None:
    file = tmp_path / "index.db"
    file.write_bytes(b"nothing" * 1_000)
    compact(tmp_path, pytest.fail, least=1)
    assert file.read_bytes() == b"nothing" * 1_000
