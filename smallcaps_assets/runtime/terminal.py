"""Text on a terminal."""

import os
import textwrap
from typing import Final, TextIO

_HANGING: Final = 4
# narrower, nothing is gained
_NARROWEST: Final = 40


def wrap_for(stream: TextIO, text: str, hanging: int = _HANGING) -> str:
    """Lines of `text` wrapped between words to the width of a terminal; unchanged where `stream` has none.

    Further lines are indented by `hanging` columns, by fewer on a terminal that is too narrow for that.
    """
    if not stream.isatty():
        return text
    try:
        width = max(_NARROWEST, os.get_terminal_size(stream.fileno()).columns)
    except OSError:
        return text
    indent = " " * (hanging if width >= hanging + _NARROWEST else _HANGING)
    wrapped = (
        textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )
    return "\n".join("\n".join(lines) for lines in wrapped)
