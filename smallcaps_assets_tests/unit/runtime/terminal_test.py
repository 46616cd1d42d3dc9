"""Messages on a terminal are wrapped between words; what is no terminal receives them as they are."""

import io
import os
import struct
import sys

import pytest

from smallcaps_assets.commands.console import Line, show
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
        # hanging by 4 where less than 40 columns would be left
        assert wrap_for(terminal, TEXT, 25).splitlines()[1] == "    ten eleven"
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
        assert wrap_for(terminal, TEXT, 10).splitlines()[1] == "          eleven"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_command_shows_wrapped_only_what_need_not_be_copied() -> None:
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    reader, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 44, 0, 0))
    with os.fdopen(end, "w") as shown, os.fdopen(reader, "rb", buffering=0) as drawn:
        show(Line("word " * 12, hanging=2), "part " * 12, file=shown)
        text = b""
        while text.count(b"\n") < 3:  # a terminal hands on what has arrived, not what was written
            text += drawn.read(4_000)
    first, second, copied, *rest = text.decode().splitlines()
    assert (first.split(), second.split(), second[:2]) == (["word"] * 9, ["word"] * 3, "  ")
    assert (copied.split(), rest) == (["part"] * 12, [])
