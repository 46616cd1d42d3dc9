"""A lake whose bars and tape agree."""

from pathlib import Path

import pytest

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.tape_scenes import capture, fill_bars, tape_of
from smallcaps_assets_tests.unit.pipeline.research.tape.step.computing import ALL


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Bars and tape of all events, which agree."""
    made = Lake(tmp_path / "lake")
    made.root.mkdir()
    fill_bars(made)
    for name in ALL:
        for kind in ("trades", "quotes"):
            capture(tape_of(made), name, kind)  # type: ignore[arg-type]
    return made
