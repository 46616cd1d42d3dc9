"""Paths of Windows without a limit of their length."""

from pathlib import PureWindowsPath

import pytest

from smallcaps_assets.runtime.long_paths import extended_form


@pytest.mark.parametrize(
    ("path", "extended"),
    [
        (r"C:\data\lake", r"\\?\C:\data\lake"),
        ("C:/data/lake", r"\\?\C:\data\lake"),
        (r"\\server\share\lake", r"\\?\UNC\server\share\lake"),
        (r"\\?\C:\data", r"\\?\C:\data"),
        (r"\\?\UNC\server\share\lake", r"\\?\UNC\server\share\lake"),
    ],
)
def test_the_extended_form(path: str, extended: str) -> None:
    assert extended_form(PureWindowsPath(path)) == extended
    # and paths below it keep it
    assert str(PureWindowsPath(extended) / "x") == f"{extended}\\x"
