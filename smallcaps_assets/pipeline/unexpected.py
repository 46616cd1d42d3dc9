"""Errors that nobody foresaw: the unit of work that met one fails, the others continue, and the step fails at its end.

One window may hold what no other holds, such as more quotes than fit into memory. Many units in a row that end so are
no matter of these units, but a defect or a machine that every further unit would meet as well: they end the step.
"""

import errno
import platform
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar
from urllib.parse import quote

import polars as pl

from smallcaps_assets.domain.versions import digest
from smallcaps_assets.errors import SmallcapsError, UnexpectedError
from smallcaps_assets.lake.files.publish import publish_text
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.runtime.system_errors import system_error

# More than the steps of this package run at once, so that one moment without memory, which all requests in flight may
# meet, does not end a step; few enough that a defect does not spend requests on windows that it then fails.
MOST_IN_A_ROW: Final = 20
# Polars raises its panics past `Exception`
UNFORESEEN: Final = (Exception, pl.exceptions.PanicException)
_LONGEST_NAME: Final = 120
_LONGEST_TEXT: Final = 300
_UNEXPECTED, _NO_MEMORY = "unexpected", "not enough memory"
# of Python and of Arrow
_NO_THREAD: Final = ("can't start new thread", "Failed to launch worker thread")
_EFFORT: Final = ("requests", "retries", "throttled")

_T = TypeVar("_T")


def on_one_line(text: str) -> str:
    """Text on one line, cut if it is long."""
    # names of files may have bytes that are no text
    line = " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split())
    return line if len(line) <= _LONGEST_TEXT else f"{line[:_LONGEST_TEXT]}..."


def _lacks_memory(error: BaseException) -> bool:
    """Whether the system refused memory, or a thread, which needs memory."""
    refused = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or refused or any(text in str(error) for text in _NO_THREAD)


def is_unexpected(cause: str) -> bool:
    """Whether a cause is the message of an UnexpectedError."""
    return cause.startswith((f"{_UNEXPECTED} ", f"{_NO_MEMORY} "))


class UnexpectedErrors:
    """The unforeseen errors of one step; may be shared by threads.

    The stack trace of each is kept in a text file of the quarantine, one per unit, which is removed when the unit
    succeeds.
    """

    def __init__(
        self,
        lake: Lake | None,
        step: str,
        clean: Callable[[str], str] = on_one_line,
        most_in_a_row: int = MOST_IN_A_ROW,
    ) -> None:
        """Begin a step.

        Args:
            lake: where stack traces are kept; without one they are kept in the folder of temporary files.
            step: what the step does, such as `minute_bars`.
            clean: makes text that may quote the vendor, or the key, safe for messages and files: one line.
            most_in_a_row: units in a row that may fail so before the step ends.
        """
        self._lake, self._step, self._clean, self._most = lake, step, clean, most_in_a_row
        self._in_a_row = 0
        self._lock = Lock()

    def attempt(
        self, unit: str, work: Callable[[], _T], foreseen: tuple[type[BaseException], ...] = ()
    ) -> _T | UnexpectedError:
        """The result of `work`, or the error that nobody foresaw.

        Errors of this package and those `foreseen` propagate. What a disk refuses is an error of this package, wherever
        it is met.

        Raises:
            UnexpectedError: so many units in a row failed that further ones would, too.
        """
        known: tuple[type[BaseException], ...] = (SmallcapsError, *foreseen)
        try:
            result = work()
        except known:
            raise
        except UNFORESEEN as error:
            failure: SmallcapsError = system_error(error) or self._describe(unit, error)
        else:
            self.succeeded(unit)
            return result
        # outside of the `except` block: the error may carry a request, and with it the key
        if not isinstance(failure, UnexpectedError):
            raise failure
        self._count(failure)
        return failure

    def succeeded(self, unit: str) -> None:
        """Record that a unit succeeded."""
        with self._lock:
            self._in_a_row = 0
        if self._left and (file := self._file(unit)).name in self._left:
            file.unlink(missing_ok=True)

    def _count(self, failure: UnexpectedError) -> None:
        with self._lock:
            self._in_a_row += 1
            are_too_many = self._in_a_row >= self._most
        if are_too_many:
            raise UnexpectedError(
                f"{self._most} units of {self._step} in a row ended with an error that is not foreseen, so it is not "
                f"one of single units, and no further one was begun. The last: {failure}"
            ).with_facts(failure.cause, **failure.facts)

    def _describe(self, unit: str, error: BaseException) -> UnexpectedError:
        """The error of this package for an unforeseen one, whose stack trace is written to a file."""
        kind, file = type(error).__name__, self._file(unit)
        lines = "".join(traceback.format_exception(error)).splitlines()
        text = "\n".join([self._heading(on_one_line(unit)), *map(self._clean_line, lines), ""])
        publish_text(file, text, below=file.parents[2])
        message = self._safe(str(error)) or "no message"
        if _lacks_memory(error):
            what, remedy = f"{_NO_MEMORY} ({kind}: {message})", "Set fetch_threads lower, or use more memory"
        else:
            what, remedy = f"{_UNEXPECTED} {kind}: {message}", "Report it as a defect of this program"
        failure = UnexpectedError(f"{what}. {remedy}; the stack trace is in {file}.")
        effort = vars(error)
        failure.requests, failure.retries, failure.throttled = (
            found if isinstance(found := effort.get(name), int) else 0 for name in _EFFORT
        )
        return failure.with_facts(what, file=str(file))

    def _heading(self, unit: str) -> str:
        return (
            f"{self._step} of {unit}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; smallcaps-assets "
            f"{version('smallcaps-assets')}, Polars {pl.__version__}, Python {platform.python_version()} on "
            f"{platform.system()}\n"
        )

    def _clean_line(self, line: str) -> str:
        rest = line.lstrip(" ")
        return " " * (len(line) - len(rest)) + self._safe(rest)

    def _safe(self, text: str) -> str:
        return on_one_line(self._clean(text))

    def _file(self, unit: str) -> Path:
        name = quote(unit, safe=" ,+", errors="surrogateescape")
        if len(name) > _LONGEST_NAME:
            name = f"{name[:_LONGEST_NAME]} {digest([name])}"
        return self._folder / f"{quote(self._step, safe=' ')} {name}.txt"

    @cached_property
    def _folder(self) -> Path:
        if self._lake is not None and self._lake.root.is_dir():
            return self._lake.unexpected
        return Path(tempfile.gettempdir()) / "smallcaps-assets" / "unexpected"

    @cached_property
    def _left(self) -> set[str]:
        """The names of the files that earlier steps left."""
        return {file.name for file in self._folder.glob("*.txt")}
