"""Run a module such as `dagster._daemon` as a service that ends with the process that started it.

    python -m smallcaps_assets.commands.services.child PARENT MODULE ARGUMENTS...

The parent keeps our stdin open. When it closes it, ends or is killed, the service is interrupted. That works on every
system. PARENT is its `process_identity`, by which others find out whether the service is ending.
"""

import _thread
import os
import runpy
import signal
import sys
import time
import warnings
from threading import Thread
from typing import Final

from smallcaps_assets.commands.services.daemon_log import shorten_failed_ticks

# the daemon waits for its threads, and those may wait for a code server that is gone
ENDS_WITHIN_S: Final = 5.0
# Each service repeats what the code server says of wrong settings, where the text is no exception of Dagster's own
_WARNING_OF_CODE_SERVER: Final = r"Error loading repository location [^:]+:(?!\w+(\.\w+)+: )"


def run_service() -> None:
    """Run the module until it ends or stdin is closed."""
    # a shell that starts its commands in the background makes them ignore SIGINT, and children inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    Thread(target=_end_with_parent, daemon=True).start()
    say_wrong_settings_once()
    shorten_failed_ticks()
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def say_wrong_settings_once() -> None:
    """Leave it to the code server to say on the terminal that the settings are wrong."""
    warnings.filterwarnings("ignore", message=_WARNING_OF_CODE_SERVER)


def _end_with_parent() -> None:
    # not through sys.stdin: a thread that waits in its buffer would abort the interpreter when the service ends
    while os.read(0, 1):
        pass
    # what a service says while it is interrupted looks like a defect to its user
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(ENDS_WITHIN_S)
    os._exit(1)


if __name__ == "__main__":
    run_service()
