"""Foreseeable errors as Dagster shows them: a sentence and its facts, without a stack trace.

An error of this package names its cause and its remedy; where it was raised in the code helps nobody. Dagster adds a
stack trace to every exception, except to one that brings the description of an error of another process
(`DagsterUserCodeProcessError`): that description is shown instead. `ForeseenFailure` is such an exception, and at the
same time a `dg.Failure`, whose metadata the event log shows. All other exceptions keep their stack trace.

Dagster passes errors of its own kind through every border of user code: the cause is not shown a second time as "Error
occurred while executing ...". They also pass by the retry policy of a step; no step of this package has one, because
requests are retried by the client and runs by Dagster's `run_retries`.
"""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from inspect import isgeneratorfunction
from operator import attrgetter
from typing import Any, Final, ParamSpec, TypeVar

import dagster as dg
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from smallcaps_assets import errors
from smallcaps_assets.defs.metadata.entries import Metadata
from smallcaps_assets.errors import SmallcapsError
from smallcaps_assets.runtime.system_errors import system_error

# the logger of Dagster's code server
_CODE_SERVER: Final = "dagster.code_server"
_NAME: Final = attrgetter("__name__")
_P = ParamSpec("_P")
_R = TypeVar("_R")
_Asset = TypeVar("_Asset", bound=dg.AssetsDefinition)

# what to do in the web UI; the first class that an error belongs to counts
REMEDIES: Final[Mapping[type[SmallcapsError], str]] = {
    errors.CaptureIncomplete: "Launch the failed partitions again: only what is missing is requested.",
    errors.NotAuthenticated: "Set the right key in the environment, start `smallcaps ui` again, then launch again.",
    errors.NotEntitled: "Change the plan, or leave this data out. `smallcaps plan --check` asks what a plan includes.",
    errors.VendorUnavailable: "Launch again when the vendor answers: only what is missing is requested.",
    errors.BadPage: "Launch again. If it fails in the same way, the vendor has changed its answers: report it.",
    errors.RequestRejected: "Correct what the message names, then launch again.",
    errors.DiskFull: "Free space on the disk that the message names, or mount it for writing, then launch again: "
    "nothing published is fetched again.",
    errors.LakeError: "Repair what the message names, then launch again: nothing published is fetched again.",
    errors.SettingsError: "Correct the setting, reload the code location (Deployment, Reload), then launch again.",
    errors.InputError: "Correct what the message names, then launch again.",
    errors.NoticeError: "Correct the address in the environment; the notice is in the notices file.",
    errors.Stopped: "Launch again: only what is missing is requested.",
    errors.UnexpectedError: "Report the stack trace, whose file the message names, then launch again: only what is "
    "missing is requested.",
}
# launching again alone ends in the same way
_NEEDS_MORE: Final = (
    errors.NotAuthenticated,
    errors.NotEntitled,
    errors.RequestRejected,
    errors.LakeError,
    errors.SettingsError,
    errors.InputError,
)


class ForeseenFailure(DagsterUserCodeProcessError, dg.Failure):  # noqa: N818 -- as `dg.Failure`
    """An error of this package, as a step, a sensor, a schedule or the loading of the code location ends with it."""

    def __init__(self, error: SmallcapsError) -> None:
        text = str(error)
        shown = SerializableErrorInfo(message=text, stack=[], cls_name=type(error).__name__)
        described = describe_error(error)
        super().__init__(text, described, user_code_process_error_infos=[shown])  # type: ignore[no-untyped-call]


def describe_error(error: SmallcapsError) -> Metadata:
    """The facts of an error, as metadata: what it is called, its facts, what to do."""
    kinds = error.kinds if isinstance(error, errors.CaptureIncomplete) else frozenset[type[SmallcapsError]]()
    remedy = what_to_do(sorted(kinds, key=_NAME)) or what_to_do([type(error)])
    return {"error": type(error).__name__, **error.facts, **remedy}


def is_mended_by_launching(kind: type[SmallcapsError]) -> bool:
    """Whether launching again may be all that an error of this kind needs; also where it is not known."""
    return not issubclass(kind, _NEEDS_MORE)


def what_to_do(kinds: Iterable[type[SmallcapsError]]) -> Metadata:
    """What to do after errors of these kinds, as metadata; empty where that is not known."""
    found = (next((words for kind, words in REMEDIES.items() if issubclass(one, kind)), None) for one in kinds)
    remedies = [words for words in dict.fromkeys(found) if words]
    return {"what_to_do": " ".join(remedies)} if remedies else {}


@contextmanager
def foreseen_errors() -> Iterator[None]:
    """Let Dagster show errors of this package, and what a disk or its database refuses, without a stack trace.

    Raises:
        ForeseenFailure: instead of them.
    """
    try:
        yield
    except SmallcapsError as error:
        raise ForeseenFailure(error) from error
    except ForeseenFailure:
        raise
    except Exception as error:
        known = system_error(error)
        if known is None:
            raise
        raise ForeseenFailure(known) from error


def log_without_stack_traces() -> None:
    """Let the code server log an error of this package in the settings as its message alone."""
    logging.getLogger(_CODE_SERVER).addFilter(_drop_stack_trace)


def _drop_stack_trace(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ForeseenFailure):
        record.msg, record.args, record.exc_info = f"{record.getMessage()}: {error}", (), None
    return True


def explain_failures(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function of Dagster's, whose errors of this package are shown without a stack trace."""
    if isgeneratorfunction(function):

        @wraps(function)
        def generate(*args: _P.args, **kwargs: _P.kwargs) -> Any:  # noqa: ANN401 -- a generator is what it returns
            with foreseen_errors():
                return (yield from function(*args, **kwargs))

        return generate

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with foreseen_errors():
            return function(*args, **kwargs)

    return call


def with_explained_failures(asset: _Asset) -> _Asset:
    """An asset, or checks of one, whose step explains its failures."""
    step = copy.copy(asset.op)
    decorated = step.compute_fn
    assert isinstance(decorated, DecoratedOpFunction)  # noqa: S101 -- every step of this package is a decorated function
    step._compute_fn = DecoratedOpFunction(explain_failures(decorated.decorated_fn))  # noqa: SLF001
    return type(asset)(**{**asset.get_attributes_dict(), "node_def": step})
