"""What disks and databases refuse is a sentence of this package."""

import errno
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from smallcaps_assets.errors import DiskFull, InputError, LakeError, SettingsError
from smallcaps_assets.runtime.system_errors import system_error


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Dagster's state."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


def refusal_of(file: Path, *statements: str) -> DatabaseError:
    """The error of SQLAlchemy that ends some statements."""
    engine = create_engine(f"sqlite:///{file}")
    try:
        with engine.connect() as connection:
            for statement in statements[:-1]:
                connection.execute(text(statement))
                connection.commit()
            with pytest.raises(DatabaseError) as refused:
                connection.execute(text(statements[-1]))
    finally:
        engine.dispose()
    return refused.value


FILLING = (
    "PRAGMA max_page_count = 3",
    "CREATE TABLE t (content TEXT)",
    "INSERT INTO t VALUES (hex(randomblob(100000)))",
)


def test_a_full_database_is_a_full_disk(state: Path) -> None:
    error = system_error(refusal_of(state / "runs.db", *FILLING))
    assert isinstance(error, DiskFull)
    assert str(error).startswith(f"{state}: Dagster's state cannot be written (database or disk is full). The disk has")
    assert "Free space and run again" in str(error)


def test_the_cause_of_an_error_of_another_library_is_found(state: Path) -> None:
    outer = RuntimeError("a step could not be recorded")
    outer.__cause__ = refusal_of(state / "runs.db", *FILLING)
    assert isinstance(system_error(outer), DiskFull)


def test_a_damaged_database_is_named_with_a_remedy(state: Path) -> None:
    (state / "runs.db").write_bytes(b"no database at all, but long enough for a header" * 50)
    error = system_error(refusal_of(state / "runs.db", "SELECT * FROM t"))
    assert isinstance(error, SettingsError)
    assert str(error).startswith(
        f"{state}: Dagster's state cannot be read (file is not a database): {state / 'runs.db'} is"
    )


def test_a_folder_in_the_place_of_a_database_is_named(state: Path) -> None:
    elsewhere = state / "elsewhere"
    (elsewhere / "runs.db").mkdir(parents=True)
    with pytest.raises(DatabaseError) as refused:
        create_engine(f"sqlite:///{elsewhere / 'runs.db'}").connect()
    error = system_error(refused.value, elsewhere)
    assert isinstance(error, SettingsError)
    assert str(error).startswith(
        f"{elsewhere}: Dagster's state cannot be opened (unable to open database file): {elsewhere / 'runs.db'} is a "
        "folder, where a file belongs. Restore it, or move this folder away"
    )


def test_a_database_that_cannot_be_written_is_named(state: Path) -> None:
    engine = create_engine(f"sqlite:///file:{state / 'runs.db'}?mode=ro&uri=true")
    sqlite3.connect(state / "runs.db").close()
    with engine.connect() as connection, pytest.raises(DatabaseError) as refused:
        connection.execute(text("CREATE TABLE t (content TEXT)"))
    engine.dispose()
    error = system_error(refused.value)
    assert isinstance(error, LakeError)
    assert not isinstance(error, DiskFull)
    assert "attempt to write a readonly database" in str(error)


def test_a_busy_database_is_no_matter_of_the_disk(state: Path) -> None:
    file = state / "runs.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE t (content TEXT)")
        other.commit()
        other.execute("BEGIN EXCLUSIVE")
        engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 0})
        with engine.connect() as connection, pytest.raises(DatabaseError) as refused:
            connection.execute(text("INSERT INTO t VALUES ('a')"))
        engine.dispose()
    assert "locked" in str(refused.value)
    assert system_error(refused.value) is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
        (OSError(errno.ENOSPC, "No space left on device", "lake/x"), DiskFull),
        (PermissionError(errno.EACCES, "Permission denied", "lake/x"), LakeError),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 5_000), InputError),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "lake/x"), None),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), None),
        (ValueError("a defect"), None),
    ],
)
def test_errors_of_the_system(error: Exception, kind: type[Exception] | None) -> None:
    known = system_error(error)
    assert known is None if kind is None else type(known) is kind
