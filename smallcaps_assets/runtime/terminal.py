"""Text on a terminal."""

import os
import textwrap
from typing import Final, TextIO

_INDENT: Final = "    "
# narrower, nothing is gained
_NARROWEST: Final = 40


def wrap_for(stream: TextIO, text: str) -> str:
    """Lines of `text` wrapped between words to the width of a terminal; unchanged where `stream` has none."""
    if not stream.isatty():
        return text
    try:
        width = max(_NARROWEST, os.get_terminal_size(stream.fileno()).columns)
    except OSError:
        return text
    wrapped = (
        textwrap.wrap(line, width, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )
    return "\n".join("\n".join(lines) for lines in wrapped)
