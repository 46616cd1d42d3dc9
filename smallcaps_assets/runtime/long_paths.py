"""Paths of more than 260 characters, which Windows takes only in their extended form."""

import os
from pathlib import Path, PureWindowsPath
from typing import Final

_EXTENDED: Final = "\\\\?\\"
_DEVICE: Final = "\\\\.\\"
_SHARE: Final = "\\\\"


def long_path(path: Path) -> Path:
    """The absolute path of a folder such that paths below it may have any length on this system."""
    whole = path.absolute()
    return Path(extended_form(PureWindowsPath(whole))) if os.name == "nt" else whole


def extended_form(path: PureWindowsPath) -> str:
    """The extended form of an absolute path of Windows, in which no limit of 260 characters applies."""
    text = str(path)
    if text.startswith((_EXTENDED, _DEVICE)):
        return text
    if text.startswith(_SHARE):
        return f"{_EXTENDED}UNC\\{text.removeprefix(_SHARE)}"
    return f"{_EXTENDED}{text}"
