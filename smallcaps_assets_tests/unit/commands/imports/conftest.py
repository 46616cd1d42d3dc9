"""Fixtures of the tests of imports."""

from pathlib import Path

import pytest


@pytest.fixture
def brought(tmp_path: Path) -> Path:
    """A folder for the files to import; it does not exist yet."""
    return tmp_path / "brought"
