"""One daemon per state, also where the state is a database that several machines reach.

The lock is PostgreSQL's own, of a session: the server releases it when the session ends, however it ends. On SQLite the
lock of the state's folder is enough, for the state is a folder of one machine.
"""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import dagster as dg
from dagster._core.storage.runs import SqlRunStorage
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from smallcaps_assets.errors import InputError, ServiceEnded

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

LOOK_EVERY_S: Final = 10.0
# of the database, among other users of such locks
_KEY: Final = 0x736D616C6C
_TAKE: Final = text("SELECT pg_try_advisory_lock(:key)")
# the server asks a silent machine after 10 s, and gives it up after 10 s more
_SESSION: Final = (
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 2",
)
_NAME: Final = text("SELECT set_config('application_name', :name, false)")
# a number of 64 bits is shown as two of 32
_HOLDER: Final = text(
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted "
    "AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid::bigint = :key >> 32 AND objid::bigint = :key & 4294967295"
)


@contextmanager
def only_daemon_of_database(instance: dg.DagsterInstance) -> Iterator[Callable[[], None]]:
    """Hold the lock on the daemon of a state in PostgreSQL; nothing of another state.

    Yields a function to call now and then: it takes the lock again where the connection was lost, and raises
    ServiceEnded where another daemon has it by then.

    Raises:
        InputError: another daemon has it; names its machine.
    """
    lock = _DaemonLock(instance)
    try:
        if not lock.take():
            raise InputError(
                f"a daemon {lock.holder()} uses this state already, and two would launch everything twice. Use that "
                "one or end it first; to look at this lake from here as well: smallcaps ui --read-only."
            )
        yield lock.look
    finally:
        lock.release()


class _DaemonLock:
    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._storage = instance.run_storage
        self._opened: AbstractContextManager[Connection] | None = None
        self._connection: Connection | None = None
        self._looked = time.monotonic()

    def take(self) -> bool:
        """Connect and take the lock; False if another session has it. True without effect of any other database."""
        if not isinstance(self._storage, SqlRunStorage):
            return True
        opened = self._storage.connect()
        connection = opened.__enter__()
        if connection.dialect.name != "postgresql":
            opened.__exit__(None, None, None)
            return True
        try:
            for statement in _SESSION:
                connection.execute(text(statement))
            connection.execute(_NAME, {"name": f"smallcaps ui on {platform.node()}"})
            taken = bool(connection.execute(_TAKE, {"key": _KEY}).scalar())
        except SQLAlchemyError:
            opened.__exit__(None, None, None)
            raise
        self.release()
        self._opened, self._connection = opened, connection
        return taken

    def holder(self) -> str:
        """Where the other daemon runs, in words."""
        assert self._connection is not None  # noqa: S101 -- another session has the lock, so there is a database
        name = self._connection.execute(_HOLDER, {"key": _KEY}).scalar()
        return f"({name})" if name else "of another machine"

    def look(self) -> None:
        """Make sure of the lock, once in `LOOK_EVERY_S`.

        Raises:
            ServiceEnded: another daemon has it.
        """
        now = time.monotonic()
        if self._opened is None or now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        try:
            assert self._connection is not None  # noqa: S101 -- opened together
            self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            self._take_again()

    def _take_again(self) -> None:
        """After a lost connection. A server that does not answer gives the lock to nobody else: the next look asks."""
        try:
            taken = self.take()
        except Exception:  # noqa: BLE001 -- a storage is a plug-in: its errors have no common root
            return
        if not taken:
            raise ServiceEnded(
                f"the connection to the database of Dagster's state was lost, and a daemon {self.holder()} has taken "
                "over"
            )

    def release(self) -> None:
        """End the session."""
        if self._opened is not None:
            with suppress(Exception):
                self._opened.__exit__(None, None, None)
            self._opened = None
