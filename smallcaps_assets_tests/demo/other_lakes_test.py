"""Demos in lakes other than the default one: their state, and what `smallcaps status` counts in them."""

import re
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.settings.settings import PROFILES
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.demo.conftest import Home

Command = Callable[..., str]
EARLY_CLOSE = date(2025, 11, 28)


@pytest.fixture
def smallcaps(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `smallcaps` in this process with flags of a small market; returns what it printed."""
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(home.folder))
    monkeypatch.chdir(home.folder.parent)
    # as in a new process, the code location is not yet loaded
    monkeypatch.delitem(sys.modules, "smallcaps_assets.definitions", raising=False)

    def run(command: str, lake: str, symbols: int, sessions: int) -> str:
        flags = ["--all"] if command == "demo" else []
        assert main([command, "--symbols", f"{symbols}", "--sessions", f"{sessions}", "--lake", lake, *flags]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder like a fresh clone, whose market has no DRILL."""
    made = Home.make(tmp_path / "home")
    config = made.folder / "config" / "config.yaml"
    with_drill = config.read_text(encoding="utf-8")
    assert "drill: true" in with_drill
    config.write_text(with_drill.replace("drill: true", "drill: false"), encoding="utf-8")
    return made


@pytest.mark.long
def test_two_demos_in_one_process_have_two_lakes_and_status_counts_each(
    home: Home, smallcaps: Command, tmp_path: Path
) -> None:
    output = smallcaps("demo", "first", 3, 4)
    for profile in PROFILES:
        assert re.search(rf"profile {profile}: [1-9]", output)
    assert len(re.findall(r"^  (?:GO: every figure meets its target|NO-GO: .*)$", output, re.MULTILINE)) == 3
    assert re.search(r"lake .*/first: [1-9][0-9,]* requests, 0 retries in", output)
    assert "smallcaps ui --lake first --symbols 3 --sessions 4" in output
    # Dagster's state of another lake has a separate folder in the home; nothing else is written
    assert (home.folder / ".dagster" / "lakes").is_dir()
    assert not (home.folder / "lake").exists()

    first = files_below(tmp_path / "first")
    smallcaps("demo", "second", 1, 1)
    assert files_below(tmp_path / "first") == first
    assert (tmp_path / "second" / "events" / "master.parquet").is_file()

    # status counts the same as the demo
    status = smallcaps("status", "first", 3, 4)
    assert "3 symbols, 4 sessions expected" in status
    assert "12 of 12 symbol-sessions, 0 missing" in status
    profiles = re.findall(r"^profile .*$", status, re.MULTILINE)
    assert len(profiles) == len(PROFILES)
    for line in profiles:
        assert line in output

    # where files are a source of bars, a demo takes them
    config = home.folder / "config" / "config.yaml"
    config.write_text(
        config.read_text(encoding="utf-8").replace("  bars: rest ", "  bars: flat_files "), encoding="utf-8"
    )
    smallcaps("demo", "third", 1, 1)
    third = Lake(tmp_path / "third")
    assert set(FlatBarsStore(third).days()) == BarsStore(third).covered("AVLO") != set()
    assert "shards: 3, none stale" in status

    bars = BarsStore(Lake(tmp_path / "first"))
    bars.add(bars.symbols()[0], EARLY_CLOSE, [EARLY_CLOSE], BARS.to_frame(), QUARANTINED_BARS.to_frame())
    status = smallcaps("status", "first", 3, 4)
    assert "shards: 3, 1 stale (0 detected with other settings, code or reference data, 1 before bars" in status

    config = home.folder / "config" / "config.yaml"
    changed = config.read_text(encoding="utf-8").replace("min_spike_x: 6.0,", "min_spike_x: 6.5,")
    config.write_text(changed, encoding="utf-8")
    status = smallcaps("status", "first", 3, 4)
    assert "shards: 3, 3 stale (3 detected with other settings, code or reference data, 0 before bars" in status
