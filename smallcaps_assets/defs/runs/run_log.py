"""The run logger for a terminal: messages of assets, and failures with their first cause, without Dagster's events."""

import logging
import sys
from functools import wraps
from typing import Final

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from smallcaps_assets import errors
from smallcaps_assets.runtime.terminal import wrap_for

RUN_LOG: Final = "people"
_OUR_ERRORS: Final = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
_INTERRUPTIONS: Final = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}


class _Formatter(logging.Formatter):
    """Time, step and message, without the ids of the run."""

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        text = meta.get("orig_message", record.getMessage())
        event = meta.get("dagster_event")
        if event is not None and event.is_step_failure and event.step_failure_data.error:
            text = _cause(event.step_failure_data.error)
        return wrap_for(sys.stderr, f"{self.formatTime(record, '%H:%M:%S')} {meta.get('step_key') or 'run'}: {text}")


class _ToStandardError(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what stderr is at that moment: while progress bars are drawn, lines have to appear above them."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def was_interrupted(error: SerializableErrorInfo | None) -> bool:
    """Whether a step ended because of Ctrl-C, or because its run was terminated."""
    while error:
        if error.cls_name in _INTERRUPTIONS:
            return True
        error = error.cause
    return False


def first_cause(error: SerializableErrorInfo) -> str:
    """The message of the first error of this package in the chain of causes, else of the first error."""
    if was_interrupted(error):
        return "interrupted"
    found = _our_error(error) or _chain(error)[-1]
    return found.message.strip().removeprefix(f"{errors.__name__}.{found.cls_name}: ")


def _chain(error: SerializableErrorInfo) -> list[SerializableErrorInfo]:
    """An error and its causes, the first cause last."""
    return [error, *(_chain(error.cause) if error.cause else [])]


def _our_error(error: SerializableErrorInfo) -> SerializableErrorInfo | None:
    return next((found for found in reversed(_chain(error)) if found.cls_name in _OUR_ERRORS), None)


def _cause(error: SerializableErrorInfo) -> str:
    """The first cause in one line; the whole trace where no error of this package explains it."""
    return first_cause(error) if was_interrupted(error) or _our_error(error) else error.to_string()


def _logger(context: dg.InitLoggerContext) -> logging.Logger:  # noqa: ARG001 -- Dagster passes it
    logger = logging.Logger("smallcaps", level=logging.INFO)  # noqa: LOG001 -- one per run, its handler ends with it
    handler = _ToStandardError()
    handler.setFormatter(_Formatter())
    logger.addHandler(handler)
    return logger


def say_failures_once() -> None:
    """Let the console of runs, to which the terminal of `smallcaps ui` is connected, tell the error of a step once.

    Dagster prints it, or its stack trace, for the step and again for its run.
    """
    make = dg.colored_console_logger.logger_fn

    def make_short(context: dg.InitLoggerContext) -> logging.Logger:
        made = make(context)
        made.addFilter(_shorten)
        return made

    if not hasattr(make, "__wrapped__"):
        dg.colored_console_logger._logger_fn = wraps(make)(make_short)  # noqa: SLF001 -- jobs of the UI have no other


def _shorten(record: logging.LogRecord) -> bool:
    event = getattr(record, "dagster_meta", {}).get("dagster_event")
    if event is None or not event.is_failure:
        return True
    # only a failed step comes with the step's event
    of_run = event.event_specific_data if event.event_type == dg.DagsterEventType.RUN_FAILURE else None
    if of_run is not None and of_run.first_step_failure_event is not None:
        record.msg = record.getMessage().partition("\n\n")[0]
        record.args = ()
    record.msg = wrap_for(sys.stderr, record.getMessage())
    return True


people_logger: Final = dg.LoggerDefinition(_logger, description="Messages of assets, from INFO on, to standard error.")
