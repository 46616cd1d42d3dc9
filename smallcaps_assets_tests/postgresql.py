"""A PostgreSQL server of the tests' own, started from what the system has installed."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from smallcaps_assets_tests.repository import REPOSITORY

# CI installs a server: there it is a failure that none is found
REQUIRED = "SMALLCAPS_REQUIRE_POSTGRESQL"
# Debian keeps the programs of servers out of the path
_FOLDERS = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt/postgresql")
_USER = "postgres"


def _programs() -> Path | None:
    """The folder with `initdb`; None where no server is installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return next((path.parent for folder in _FOLDERS for path in sorted(Path(folder).glob("**/bin/initdb"))), None)


def _as_server(*command: str | Path) -> None:
    """Run a program of the server, which refuses to work as root."""
    words = [str(word) for word in command]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        words = ["runuser", "-u", _USER, "--", *words]
    made = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tempfile.gettempdir())
    assert made.returncode == 0, made.stderr


@contextmanager
def postgresql_server() -> Iterator[dict[str, str]]:
    """The variables by which programs reach an empty database; skips where no server or driver is installed."""
    programs = _programs()
    if programs is None or find_spec("dagster_postgres") is None:
        assert REQUIRED not in os.environ, "no server of PostgreSQL, or no dagster-postgres"
        pytest.skip("needs a server of PostgreSQL and the extra postgresql")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    # where the server's user gets to as well, unlike the tests' own folders
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            shutil.chown(folder, _USER)
        data, options = folder / "data", f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        _as_server(programs / "initdb", "-D", data, "-A", "trust", "-U", "smallcaps", "--no-sync")
        _as_server(programs / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start")
        try:
            _as_server(programs / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "smallcaps", "smallcaps")
            yield {
                "PGHOST": "127.0.0.1",
                "PGPORT": port,
                "PGUSER": "smallcaps",
                "PGDATABASE": "smallcaps",
                "PGPASSWORD": "of no use here",
            }
        finally:
            _as_server(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Database:
    """A database of Dagster's, emptied for each test: that takes a tenth of what a new one takes."""

    def __init__(self, variables: dict[str, str]) -> None:
        """An empty one that programs reach by `variables`."""
        self._variables = variables
        self._has_tables = False

    def empty(self) -> dict[str, str]:
        """Remove all rows but the versions of the tables; returns the variables by which programs reach it."""
        if not self._has_tables:
            self._make_tables()
            self._has_tables = True
        import psycopg2  # noqa: PLC0415 -- of an extra

        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
        connection = psycopg2.connect(**{name: self._variables[variable] for name, variable in names.items()})
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
                tables = [f'"{name}"' for (name,) in cursor.fetchall() if name != "alembic_version"]
                cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")
        finally:
            connection.close()
        return self._variables

    def _make_tables(self) -> None:
        import dagster as dg  # noqa: PLC0415 -- takes a second

        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            for name, value in self._variables.items():
                patch.setenv(name, value)
            dg.DagsterInstance.local_temp(folder, storage_in_postgresql()).dispose()


def storage_in_postgresql() -> dict[str, Any]:
    """The sections of dagster.yaml that users lay over theirs: the database is that of the environment."""
    path = REPOSITORY / "deploy" / "postgresql" / "dagster.yaml"
    sections: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return sections
