"""A logger of runs for people at a terminal: what assets say and what fails, without Dagster's own bookkeeping."""

import logging
import sys
from typing import Final

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from smallcaps_assets import errors

RUN_LOG: Final = "people"
OURS: Final = {name for name, kind in vars(errors).items() if isinstance(kind, type)}

INTERRUPTIONS: Final = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}


class _Formatter(logging.Formatter):
    """Time, step and message; the ids of the run are left to the web UI."""

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        text = meta.get("orig_message", record.getMessage())
        event = meta.get("dagster_event")
        if event is not None and event.is_step_failure and event.step_failure_data.error:
            text = _cause(event.step_failure_data.error)
        return f"{self.formatTime(record, '%H:%M:%S')} {meta.get('step_key') or 'run'}: {text}"


def was_interrupted(error: SerializableErrorInfo | None) -> bool:
    """Whether a step ended because somebody pressed Ctrl-C, or asked for its end."""
    while error:
        if error.cls_name in INTERRUPTIONS:
            return True
        error = error.cause
    return False


def first_cause(error: SerializableErrorInfo) -> str:
    """What went wrong first: the message of the first error of ours, else what the very first error says."""
    if was_interrupted(error):
        return "interrupted"
    found = _ours(error) or _chain(error)[-1]
    return found.message.strip().removeprefix(f"{errors.__name__}.{found.cls_name}: ")


def _chain(error: SerializableErrorInfo) -> list[SerializableErrorInfo]:
    """An error and what it came of, the first cause last."""
    return [error, *(_chain(error.cause) if error.cause else [])]


def _ours(error: SerializableErrorInfo) -> SerializableErrorInfo | None:
    return next((found for found in reversed(_chain(error)) if found.cls_name in OURS), None)


def _cause(error: SerializableErrorInfo) -> str:
    """What went wrong first in a line for people; the whole trace where no error of ours explains it."""
    return first_cause(error) if was_interrupted(error) or _ours(error) else error.to_string()


def _logger(context: dg.InitLoggerContext) -> logging.Logger:  # noqa: ARG001 -- Dagster passes it
    logger = logging.Logger("smallcaps", level=logging.INFO)  # noqa: LOG001 -- one per run, its handler ends with it
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger.addHandler(handler)
    return logger


people_logger: Final = dg.LoggerDefinition(_logger, description="What assets say, from INFO on, to standard error.")
