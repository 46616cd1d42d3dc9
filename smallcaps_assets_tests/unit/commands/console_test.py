"""What commands print: plain where nobody looks, in colour and with bars on a terminal."""

import ast
import io
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from smallcaps_assets.commands.console import (
    Bars,
    Line,
    Printable,
    TextTable,
    allow_color,
    plain_text,
    show,
    show_error,
    terminal,
    watch,
)
from smallcaps_assets.pipeline.progress import Progress, show_progress
from smallcaps_assets_tests.repository import REPOSITORY

TABLE = TextTable(("wave", "windows", "MB"), [("PM", "1,240", "0.50"), ("all", "9", "1.00!")])
WIDE = "one line of more than eighty characters, " * 5


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def colors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A terminal with colours and 80 columns."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    yield
    allow_color(color=True)


def printed(*items: Printable) -> str:
    stream = Terminal()
    show(*items, file=stream)
    return stream.getvalue()


def test_a_table_is_aligned_and_has_no_spaces_at_the_ends() -> None:
    assert TABLE.lines() == ["  wave  windows     MB", "  PM      1,240   0.50", "  all         9  1.00!"]
    assert TextTable(("a", "b"), [("x", "")]).lines() == ["  a  b", "  x"]


def test_output_that_is_no_terminal_is_plain_and_not_wrapped() -> None:
    stream = io.StringIO()
    show(WIDE, Line("bad news", "bad"), TABLE, file=stream)
    assert stream.getvalue() == "\n".join([WIDE, "bad news", *TABLE.lines()]) + "\n"
    assert plain_text([Line("a", "good"), "b"]) == "a\nb"


def test_a_terminal_shows_the_same_words_in_colour() -> None:
    drawn = printed("plain", Line("bad news", "bad"), TABLE)
    assert "\x1b[1;31mbad news\x1b[0m" in drawn
    words = re.sub(r"\x1b\[[0-9;]*m", "", drawn).split()
    assert words == plain_text(["plain", Line("bad news", "bad"), TABLE]).split()
    assert "\x1b[1;31m1.00!\x1b[0m" in drawn


def test_text_is_never_read_as_markup() -> None:
    assert printed("ops: [red]x[/red] :smile:") == "ops: [red]x[/red] :smile:\n"


@pytest.mark.parametrize("how", ["variable", "flag"])
def test_colours_can_be_switched_off(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "variable":
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        allow_color(color=False)
    assert "\x1b" not in printed(Line("bad news", "bad"), TABLE)


def test_an_error_names_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    show_error("status", f"{WIDE}.")
    assert capsys.readouterr().err == f"smallcaps status: {WIDE}.\n"
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    show_error("status", "no [lake]")
    assert stream.getvalue() == "\x1b[1;31msmallcaps status:\x1b[0m no [lake]\n"


def drawings(stream: io.StringIO, *blocks: list[Printable]) -> str:
    """What `watch` prints of these blocks, one after the other."""
    following = iter(blocks)

    def draw() -> list[Printable]:
        try:
            return next(following)
        except StopIteration:
            raise KeyboardInterrupt from None

    waited: list[float] = []
    with pytest.raises(KeyboardInterrupt):
        watch(draw, 7, stream=stream, wait=waited.append)
    assert waited == [7] * len(blocks)
    return stream.getvalue()


def test_watching_prints_blocks_where_there_is_no_terminal() -> None:
    text = drawings(io.StringIO(), ["one"], ["two", TABLE])
    moment = r"-- \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    assert re.fullmatch(rf"{moment}\none\n{moment}\ntwo\n{re.escape(plain_text([TABLE]))}\n", text)


def test_watching_refreshes_a_terminal_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "6")
    text = drawings(Terminal(), ["one"], [f"line {number}" for number in range(9)], [WIDE])
    _, first, second, third = text.split("\x1b[2J\x1b[H")
    assert "every 7 s, Ctrl-C ends it" in first
    assert first.splitlines()[1] == "one"
    # five lines fit above the cursor: the time, three lines and what is missing
    assert second.splitlines()[1:] == ["line 0", "line 1", "line 2", "... 6 more lines: enlarge the window"]
    (line,) = third.splitlines()[1:]
    assert len(line) == 80
    assert line.endswith("…")


def test_bars_show_what_is_done_and_left_and_vanish_at_the_end() -> None:
    now, stream = [0.0], Terminal()
    bars = Bars(Console(file=stream, force_terminal=True, width=120, color_system=None), after_s=0)
    with show_progress(bars):
        progress = Progress(40, "windows", lambda line: None, clock=lambda: now[0])  # noqa: ARG005
        progress.tick()
        assert "windows" in stream.getvalue()
        assert "0 of 40 done, time left unknown" in stream.getvalue()
        now[0] = 90.0
        bars._drawn = 0.0  # as if some time had passed since the last drawing
        progress.add(10)
        bars.close()
        drawn = stream.getvalue()
        # ten in a minute and a half leave four and a half minutes
        assert "10 of 40 done, about 4 min left, 6.7 a minute" in drawn
        progress.add(30)
    assert not bars._tasks
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1, "the cursor is back"
    for thread in threading.enumerate():
        if type(thread).__name__ == "_RefreshThread":
            thread.join(60)
            assert not thread.is_alive()


def test_work_without_units_has_no_bar() -> None:
    stream = Terminal()
    bars = Bars(Console(file=stream, force_terminal=True), after_s=0)
    bars.show(Progress(0, "windows", print))
    assert stream.getvalue() == ""


def test_short_work_has_no_bar() -> None:
    stream = Terminal()
    bars = Bars(Console(file=stream, force_terminal=True), after_s=3600)
    progress = Progress(2, "windows", lambda line: None)  # noqa: ARG005
    bars.show(progress)
    progress.add()
    bars.show(progress)
    assert stream.getvalue() == ""


def test_a_console_has_the_size_and_stream_of_its_terminal() -> None:
    stream = Terminal()
    assert (terminal(stream).width, terminal(stream).file) == (80, stream)


# a command whose terminal is its controlling one, so that Ctrl-C reaches it
RUN = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from smallcaps_assets.cli import main
raise SystemExit(main({arguments!r}))
"""


def through_a_terminal(arguments: list[str], until: bytes, send: bytes = b"") -> tuple[int, bytes]:
    """The exit code and the output of a command on a terminal; `send` is typed once `until` was printed."""
    import pty
    import subprocess  # noqa: PLC0415

    mine, theirs = pty.openpty()
    command = [sys.executable, "-c", RUN.format(arguments=arguments)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    output = b""
    try:
        while True:
            try:
                some = os.read(mine, 65_536)
            except OSError:  # the other end is closed
                break
            if not some:
                break
            output += some
            if send and until in output:
                os.write(mine, send)
                send = b""
    finally:
        os.close(mine)
    return process.wait(60), output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals in Python")
def test_status_is_watched_on_a_real_terminal_until_ctrl_c(fresh_home: Path) -> None:
    del fresh_home
    code, output = through_a_terminal(["status", "--watch", "1"], until=b"next: ", send=b"\x03")
    assert code == 0
    assert b"\x1b[" in output
    assert b"Traceback" not in output
    assert b"runs:   nothing runs now" in output


def test_no_command_lays_out_a_table_by_hand() -> None:
    commands = REPOSITORY / "smallcaps_assets" / "commands"
    padded = [
        f"{file.relative_to(commands)}:{node.lineno}"
        for file in sorted(commands.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FormattedValue)
        and node.format_spec is not None
        and re.match(r"[<>^]\d", ast.unparse(node.format_spec).strip("f'\""))
    ]
    # one line of verdict, name and sentence at a time
    assert {place.partition(":")[0] for place in padded} == {"inspecting/check.py"}
