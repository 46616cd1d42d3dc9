"""Messages on a terminal are wrapped between words; what is no terminal receives them as they are."""

import io
import os
import struct
import sys

import pytest

from smallcaps_assets.runtime.terminal import wrap_for

TEXT = (
    "one two three four five six seven eight nine ten eleven\nGET /v3/quotes/AVLO/with/a/path/longer/than/the/terminal"
)


def test_a_file_receives_the_text_unchanged() -> None:
    assert wrap_for(io.StringIO(), TEXT) == TEXT


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_receives_lines_of_its_width_and_no_broken_word() -> None:
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    _, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 44, 0, 0))
    with os.fdopen(end, "w") as terminal:
        assert wrap_for(terminal, TEXT).splitlines() == [
            "one two three four five six seven eight nine",
            "    ten eleven",
            "GET",
            "    /v3/quotes/AVLO/with/a/path/longer/than/the/terminal",
        ]
