"""The runs of a demo, and their configuration."""

import pytest

from smallcaps_assets.commands.demonstrating.stages import run_config, stages
from smallcaps_assets.settings.settings import load_settings


@pytest.mark.parametrize(("bars", "configured"), [("rest", 0), ("flat_files", 2), ("both", 2)])
def test_where_files_are_a_source_of_bars_a_demo_takes_them(bars: str, configured: int) -> None:
    """Without, the sessions would wait for files that nobody downloads: the two runs of minute_bars take them."""
    settings = load_settings(overrides={"source": {"bars": bars}})
    configs = [run_config(stage, settings)["ops"] for stage in stages(["A", "B", "C"], "B")]
    assert [one for one in configs if one] == [{"minute_bars": {"config": {"take_flat_files": True}}}] * configured
