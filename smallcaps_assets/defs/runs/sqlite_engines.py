"""One SQLAlchemy engine per SQLite file of Dagster's state, instead of one per statement.

Dagster makes an engine for each connection to SQLite. SQLAlchemy keeps the SQL of a statement in its engine, and asks a
new engine's database for its properties: every event was compiled and every file inspected anew, a sixth of the
processor time of a night in which nothing is new. Engines of `NullPool` hold no connection: files are open as long as
before, and an engine may be used by several threads.
"""

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

_STORAGES: Final[tuple[ModuleType, ...]] = (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage)
# the index, runs, schedules and the runs of the moment; each run has a file of its own
_KEPT: Final = 16
_MAKER: Final = "create_engine"


def reuse_engines() -> None:
    """Let Dagster's SQLite storages use an engine again for the same file; to be called before they are used."""
    for module in _STORAGES:
        # a release of Dagster that has no such function needs no mending
        maker = getattr(module, _MAKER, None)
        if maker is not None and not isinstance(maker, _Engines):
            setattr(module, _MAKER, _Engines(maker))


class _Engines:
    """`sqlalchemy.create_engine` that returns the engine that it returned for the same arguments before."""

    def __init__(self, maker: "Callable[..., Engine]") -> None:
        self._maker, self._lock = maker, Lock()
        self._known: OrderedDict[str, Engine] = OrderedDict()

    def __call__(self, address: str, **options: Any) -> "Engine":  # noqa: ANN401 -- those of create_engine
        key = f"{address} {_in_order(options)}"
        with self._lock:
            engine = self._known.pop(key, None) or self._maker(address, **options)
            self._known[key] = engine
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return engine


def _in_order(options: Mapping[str, object]) -> list[tuple[str, object]]:
    return sorted(options.items())
