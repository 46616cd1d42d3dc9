"""A logger of runs for people at a terminal: what assets say and what fails, without Dagster's own bookkeeping."""

import logging
import sys
from typing import Final

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from smallcaps_assets import errors

RUN_LOG: Final = "people"
_module_of_ours: Final = errors.__name__
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
    """What went wrong first, in its own words."""
    if was_interrupted(error):
        return "interrupted"
    first = _first(error)
    said = first.message.strip()
    return said.removeprefix(f"{_module_of_ours}.{first.cls_name}: ") if first.cls_name in OURS else said


def _first(error: SerializableErrorInfo) -> SerializableErrorInfo:
    return _first(error.cause) if error.cause else error


def _cause(error: SerializableErrorInfo) -> str:
    """What went wrong first: its message where it is an error of ours, the whole trace where it is not."""
    ours = was_interrupted(error) or _first(error).cls_name in OURS
    return first_cause(error) if ours else error.to_string()


def _logger(context: dg.InitLoggerContext) -> logging.Logger:  # noqa: ARG001 -- Dagster passes it
    logger = logging.Logger("smallcaps", level=logging.INFO)  # noqa: LOG001 -- one per run, its handler ends with it
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger.addHandler(handler)
    return logger


people_logger: Final = dg.LoggerDefinition(_logger, description="What assets say, from INFO on, to standard error.")
