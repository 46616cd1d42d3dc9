"""A logger of runs for people at a terminal: what assets say and what fails, without Dagster's own bookkeeping."""

import logging
import sys
from typing import Final

import dagster as dg

RUN_LOG: Final = "people"


class _Formatter(logging.Formatter):
    """Time, step and message; the ids of the run are left to the web UI."""

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        step = meta.get("step_key") or ""
        return f"{self.formatTime(record, '%H:%M:%S')} {step}: {meta.get('orig_message', record.getMessage())}"


@dg.logger(description="What assets say, for people at a terminal.")
def people_logger(context: dg.InitLoggerContext) -> logging.Logger:  # noqa: ARG001 -- Dagster passes it
    """A logger to standard error from level INFO on."""
    logger = logging.Logger("smallcaps", level=logging.INFO)  # noqa: LOG001 -- one per run, its handler ends with it
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger.addHandler(handler)
    return logger
