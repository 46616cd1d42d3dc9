"""The log of Dagster's daemon on the terminal of the web UI: a tick that failed foreseeably is one line.

The error of a sensor or schedule comes from the code server, where `defs.failures` has removed the stack trace of what
is foreseeable. The daemon adds that of its own call, which helps nobody, and reports most errors twice.
"""

import logging
from typing import Final

_DAEMONS: Final = ("dagster.daemon.SensorDaemon", "dagster.daemon.SchedulerDaemon")
# follows a line that names the sensor
_REPEATED: Final = "Sensor tick caught an error"


def shorten_failed_ticks() -> None:
    """Let the daemon of this process log the foreseeable failure of a tick as its sentence alone, once."""
    for name in _DAEMONS:
        logging.getLogger(name).addFilter(_shorten)


def _shorten(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    # those of `DagsterUserCodeProcessError`: importing it here would delay the start of every service
    described = getattr(error, "user_code_process_error_infos", ())
    if not described or any(info.stack for info in described):
        return True
    words = record.getMessage()
    record.msg, record.args, record.exc_info = f"{words}: {error}", (), None
    return words != _REPEATED
