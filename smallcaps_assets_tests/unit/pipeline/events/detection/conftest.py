"""Every test of this folder runs with bar files that are recent and with files that look old."""

import pytest

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.unit.pipeline.events.detection.detecting import BARS_OF_ONE, DAYS, ONE, run, store


@pytest.fixture(autouse=True, params=[pytest.param("young", marks=pytest.mark.slow), "old"])
def age_of_files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Recent bar files, which are always opened, and files that look old."""
    tick_ns = 10**15 if request.param == "young" else -(10**12)
    monkeypatch.setattr("smallcaps_assets.lake.bar_files.listed.TICK_NS", tick_ns)
    return str(request.param)


@pytest.fixture
def detected(lake: Lake) -> Lake:
    """A lake with the shard of one symbol that covers all days."""
    store(lake, BARS_OF_ONE, DAYS)
    (outcome,) = run(lake, [ONE])
    assert outcome.figures["sessions_detected"] == len(DAYS)
    assert outcome.figures["events"] > 30
    return lake
