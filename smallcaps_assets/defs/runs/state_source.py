"""Dagster's state as a backup reads and restores it: files of SQLite, or a database of PostgreSQL.

The database is dumped and loaded by PostgreSQL's own programs. They get address and password in their environment,
never on their command line or in a file.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.storage.runs import SqliteRunStorage, SqlRunStorage
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from smallcaps_assets.errors import InputError, SettingsError
from smallcaps_assets.pipeline.backup.state_files import StateSource

_MOST_SHOWN: Final = 400
# libpq's variables of what a URL may say besides
_OF_QUERY: Final = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "options": "PGOPTIONS",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "gssencmode": "PGGSSENCMODE",
    "channel_binding": "PGCHANNELBINDING",
}
# of Dagster: any run, and anything reported without one, fills one of them
_TABLES: Final = ("runs", "event_logs")
_ROWS: Final = "SELECT EXISTS (SELECT 1 FROM {table})"


def state_source(instance: dg.DagsterInstance, folder: Path) -> StateSource:
    """Where the state of an instance is.

    Args:
        instance: the instance.
        folder: the folder of the state.

    Raises:
        SettingsError: it is neither in files of SQLite nor in PostgreSQL.
    """
    url = _postgres_url(instance)
    return StateSource(folder) if url is None else StateSource(folder, _dump(url))


def load_dump_of(instance: dg.DagsterInstance) -> Callable[[Path], None] | None:
    """What loads a dump into the database of an instance; None where its state is in files.

    Raises:
        SettingsError: it is neither in files of SQLite nor in PostgreSQL.
    """
    url = _postgres_url(instance)
    if url is None:
        return None
    # Dagster has made its tables, which are empty
    flags = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")

    def load(dump: Path) -> None:
        _run("pg_restore", url, *flags, f"--dbname={make_url(url).database}", str(dump))

    return load


def require_empty_database(instance: dg.DagsterInstance) -> None:
    """Make sure that nothing was recorded yet in the database of an instance.

    Raises:
        InputError: there are runs or events.
        SettingsError: the database does not answer.
    """
    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        return
    try:
        with storage.connect() as connection:
            filled = [table for table in _TABLES if connection.execute(text(_ROWS.format(table=table))).scalar()]
    except SQLAlchemyError as error:
        raise SettingsError(
            f"the database of Dagster's state does not answer ({' '.join(str(error).split())})."
        ) from error
    if filled:
        raise InputError(
            f"the database of Dagster's state is not empty (its table {filled[0]} has rows), and a restore never "
            "writes over a state. Make an empty database and set PGDATABASE, or restore with --no-state."
        )


def _postgres_url(instance: dg.DagsterInstance) -> str | None:
    storage = instance.run_storage
    url = getattr(storage, "postgres_url", None)
    if url is None and not isinstance(storage, SqliteRunStorage):
        raise SettingsError(
            f"dagster.yaml keeps the state in {type(storage).__name__}, of which this program makes no backup. Back "
            "it up by its own means, and the lake with --no-state."
        )
    return None if url is None else str(url)


def _dump(url: str) -> Callable[[Path], None]:
    def dump(target: Path) -> None:
        _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")

    return dump


def _run(program: str, url: str, *arguments: str) -> None:
    """Run a program of PostgreSQL on a database.

    Raises:
        SettingsError: it is not installed, or fails; names what it says.
    """
    found = shutil.which(program)
    if found is None:
        raise SettingsError(
            f"{program} is not installed, which copies Dagster's state in PostgreSQL. Install PostgreSQL's client of "
            "the server's release (on Debian: apt-get install postgresql-client), or use --no-state."
        )
    done = subprocess.run(  # noqa: S603 -- a program of PostgreSQL and flags of ours
        [found, "--no-password", *arguments],
        env={**os.environ, **_environment(url)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        cause = " ".join(done.stderr.split())[:_MOST_SHOWN]
        raise SettingsError(
            f"{program} failed on Dagster's state in PostgreSQL ({cause}). It needs the release of the server or a "
            "later one, and a user who may read all tables; or use --no-state."
        )


def _environment(url: str) -> Mapping[str, str]:
    """The variables by which programs of PostgreSQL reach a database."""
    parts = make_url(url)
    named = {
        "PGHOST": parts.host,
        "PGPORT": None if parts.port is None else f"{parts.port}",
        "PGUSER": parts.username,
        "PGPASSWORD": parts.password,
        "PGDATABASE": parts.database,
    }
    query = {_OF_QUERY[key]: value for key, value in parts.query.items() if key in _OF_QUERY}
    return {name: str(value) for name, value in {**named, **query}.items() if value}
