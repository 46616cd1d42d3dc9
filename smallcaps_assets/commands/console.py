"""What all commands print with: lines, tables and progress bars.

On a terminal they have colours, and bars show how far long work is. Anywhere else they are plain text without escape
codes, of the same words and never wrapped, for `grep` and files. Rich draws them; it is imported when a terminal first
needs it.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TextIO

from smallcaps_assets.pipeline.progress import Progress, show_progress
from smallcaps_assets.runtime.terminal import wrap_for

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as ProgressBars
    from rich.progress import TaskID

Style = Literal["", "heading", "good", "bad", "note"]

_STYLES: Final = {"heading": "bold cyan", "good": "green", "bad": "bold red", "note": "yellow"}
_GAP: Final = "  "
_DRAW_EVERY_S: Final = 0.1
_DRAW_AFTER_S: Final = 0.5


class Line(NamedTuple):
    """One line of text and what it means.

    Attributes:
        text: the text.
        style: what it means.
        hanging: by how much further lines are indented on a terminal, where the text is wrapped between words. None: it
            is not wrapped, so that a command in it can be copied.
    """

    text: str
    style: Style = ""
    hanging: int | None = None


@dataclass(frozen=True)
class TextTable:
    """A table of texts.

    Attributes:
        columns: the headings.
        rows: the cells, one per column.
        left: how many of the first columns are aligned left; the others hold numbers.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1

    def lines(self) -> list[str]:
        """The table as aligned lines, indented like other details."""
        everything = [self.columns, *self.rows]
        widths = [max(len(row[number]) for row in everything) for number in range(len(self.columns))]
        return [self._line(row, widths) for row in everything]

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = (
            cell.ljust(width) if number < self.left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return (_GAP + _GAP.join(cells)).rstrip()


Printable = str | Line | TextTable


class _Options:
    """What the flags of this process say."""

    color: bool = True


def allow_color(*, color: bool) -> None:
    """Whether this process may use colours; the variable NO_COLOR forbids them as well."""
    _Options.color = color


def plain_text(items: Sequence[Printable]) -> str:
    """Items as lines of text."""
    lines: list[str] = []
    for item in items:
        lines += item.lines() if isinstance(item, TextTable) else [item.text if isinstance(item, Line) else item]
    # names of files may have bytes that are no text
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")


def show(*items: Printable, file: TextIO | None = None) -> None:
    """Print items, on a terminal in colour."""
    stream = file or sys.stdout
    if is_terminal(stream):
        console = terminal(stream)
        for item in items:
            console.print(_drawn(_wrapped(item, stream)), soft_wrap=not isinstance(item, TextTable))
    else:
        print(plain_text(items), file=stream, flush=True)


def _wrapped(item: Printable, stream: TextIO) -> Printable:
    if not isinstance(item, Line) or item.hanging is None:
        return item
    return item._replace(text=wrap_for(stream, item.text, item.hanging))


def watch(
    draw: Callable[[], Sequence[Printable]],
    every_s: float,
    *,
    stream: TextIO | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Print what `draw` returns again and again: in place on a terminal, else as blocks below their time in UTC.

    Args:
        draw: what to print.
        every_s: seconds between two drawings.
        stream: where to, by default stdout.
        wait: waits so many seconds.
    """
    target = stream or sys.stdout
    while True:
        items = draw()
        moment = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        if is_terminal(target):
            _redraw(terminal(target), [Line(f"{moment}, every {every_s:g} s, Ctrl-C ends it", "note"), *items])
        else:
            show(Line(f"-- {moment}"), *items, file=target)
        wait(every_s)


def _redraw(console: "Console", items: Sequence[Printable]) -> None:
    """Replace what the terminal shows by as much of the items as it has room for."""
    with console.capture() as drawn:
        for item in items:
            console.print(_drawn(item), no_wrap=True, overflow="ellipsis", crop=True)
    lines = drawn.get().splitlines()
    room = console.height - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], f"... {len(lines) - room + 1:,} more lines: enlarge the window"]
    console.clear()
    console.file.write("\n".join(lines) + "\n")
    console.file.flush()


def show_error(command: str, message: object) -> None:
    """Print the error that a command ends with to stderr, on a terminal wrapped between words."""
    subject = f"smallcaps {command}:"
    if is_terminal(sys.stderr):
        from rich.text import Text  # noqa: PLC0415 -- takes 0.1 s

        text = Text(wrap_for(sys.stderr, f"{subject} {message}"))
        text.stylize(_STYLES["bad"], 0, len(subject))
        terminal(sys.stderr).print(text, soft_wrap=True)
    else:
        print(plain_text([f"{subject} {message}"]), file=sys.stderr)


def is_terminal(stream: TextIO) -> bool:
    """Whether a person reads the stream as it is written."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def terminal(stream: TextIO) -> "Console":
    """A console on a terminal; without colours where these are not wanted."""
    from rich.console import Console  # noqa: PLC0415 -- takes 0.1 s

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if console.no_color or not _Options.color:
        return Console(file=stream, highlight=False, markup=False, emoji=False, color_system=None)
    return console


def _drawn(item: Printable) -> "RenderableType":
    from rich.table import Table as Grid  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if isinstance(item, Line):
        return Text(item.text, style=_STYLES.get(item.style, ""))
    if not isinstance(item, TextTable):
        return Text(item)
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(("", *item.columns)):
        grid.add_column(name, justify="left" if number <= item.left else "right", overflow="fold")
    for row in item.rows:
        grid.add_row("", *(Text(cell, style=_STYLES["bad"] if cell.endswith("!") else "") for cell in row))
    return grid


@contextmanager
def progress_bars() -> Iterator[None]:
    """Show long work of this process as bars on stderr, if that is a terminal."""
    if not is_terminal(sys.stderr):
        yield
        return
    bars = Bars()
    with show_progress(bars):
        try:
            yield
        finally:
            bars.close()


class Bars:
    """One bar for each work in progress; what is printed meanwhile appears above them."""

    def __init__(self, console: "Console | None" = None, after_s: float = _DRAW_AFTER_S) -> None:
        """Draw on `console`, by default on stderr; only work that takes longer than `after_s`."""
        self._console = console
        self._after_s = after_s
        self._seen: dict[int, float] = {}
        self._bars: ProgressBars | None = None
        self._tasks: dict[int, TaskID] = {}
        self._drawn = 0.0
        self._lock = threading.RLock()

    def show(self, progress: Progress) -> None:
        """Draw a progress; the bar of finished work is removed, and with the last one all traces of bars."""
        with self._lock:
            now = time.monotonic()
            if progress.is_finished:
                self._remove(progress)
            elif id(progress) not in self._tasks:
                if now - self._seen.setdefault(id(progress), now) >= self._after_s:
                    self._add(progress)
            elif now - self._drawn >= _DRAW_EVERY_S:
                self._update(progress)
                self._drawn = now

    def close(self) -> None:
        """Remove all bars, also of work that ended early."""
        with self._lock:
            self._tasks.clear()
            self._seen.clear()
            if self._bars is not None:
                self._bars.stop()
                self._bars = None

    def _add(self, progress: Progress) -> None:
        is_first = self._bars is None
        self._bars = self._bars or _new_bars(self._console or terminal(sys.stderr))
        self._tasks[id(progress)] = self._bars.add_task(
            progress.what, total=progress.total, completed=progress.done, details=_details(progress)
        )
        if is_first:
            self._bars.start()

    def _update(self, progress: Progress) -> None:
        if self._bars is not None:
            self._bars.update(self._tasks[id(progress)], completed=progress.done, details=_details(progress))

    def _remove(self, progress: Progress) -> None:
        self._seen.pop(id(progress), None)
        task = self._tasks.pop(id(progress), None)
        if task is not None and self._bars is not None:
            self._bars.remove_task(task)
        if not self._tasks:
            self.close()


def _details(progress: Progress) -> str:
    done = progress.describe_done().removeprefix(f"{progress.what}: ")
    return ", ".join([done, progress.describe_time(), *progress.describe_figures()])


def _new_bars(console: "Console") -> "ProgressBars":
    from rich.progress import BarColumn, TextColumn  # noqa: PLC0415
    from rich.progress import Progress as ProgressBars  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    return ProgressBars(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[details]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=console,
        transient=True,
        # what goes to a file or a pipe must not be drawn on the terminal
        redirect_stdout=is_terminal(sys.stdout),
        redirect_stderr=is_terminal(sys.stderr),
    )
