"""The second process of `smallcaps doctor` on one machine: takes part in the tests that take two.

    python -m smallcaps_assets.commands.doctoring.second FOLDER TOKEN

It prints nothing: the first one finds the same.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from smallcaps_assets.errors import InputError, SmallcapsError
from smallcaps_assets.lake.promises.meeting import meet
from smallcaps_assets.lake.promises.two_hosts import check_two_hosts

# a process of this machine starts within seconds, and a mount shows a new file within a minute
MET_WITHIN_S: Final = 90.0


@contextmanager
def second_process(folder: Path, token: str) -> Iterator[Callable[[], None]]:
    """Start the second process; yields what raises InputError if that has ended with an error."""
    command = [sys.executable, "-m", __name__, str(folder), token]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:  # noqa: S603

        def is_there() -> None:
            if process.poll():
                cause = process.stderr.read().strip().splitlines() if process.stderr else []
                raise InputError(f"{folder}: the second process ended: {cause[-1] if cause else process.returncode}")

        try:
            yield is_there
        except BaseException:
            process.kill()
            raise


def take_part_as_second() -> int:
    """Take part; returns the exit code."""
    folder, token = sys.argv[1:]
    try:
        with meet(Path(folder), token, MET_WITHIN_S) as meeting:
            for _ in check_two_hosts(meeting, None):
                pass
    except SmallcapsError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(take_part_as_second())
