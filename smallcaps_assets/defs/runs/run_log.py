"""The run logger for a terminal: messages of assets, and failures with their first cause, without Dagster's events."""

import logging
import sys
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


people_logger: Final = dg.LoggerDefinition(_logger, description="Messages of assets, from INFO on, to standard error.")
