"""Which settings commands use; errors in one paragraph."""

from pathlib import Path

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets_tests.unit.commands.command_lines.lively import LIVELY, ErrorOf, config, expected, put, written


def test_another_configuration_is_used(home: Path) -> None:
    put("bars.parquet", LIVELY)
    file = config(home, "min_range_share: 0.015", "min_range_share: 0.9")
    assert main(["detect", "--bars", "bars.parquet", "--out", "e.parquet", "--config", str(file)]) == 0
    assert "volume_spike" not in written("e.parquet")["event_type"].to_list()
    assert "volume_spike" in expected()["event_type"].to_list()


@pytest.mark.parametrize("command", ["detect", "manifest", "status", "demo", "exchange", "ui"])
def test_a_wrong_setting_is_named_by_every_command(command: str, home: Path, error_of: ErrorOf) -> None:
    flags = {
        "detect": ["--bars", "b.parquet", "--out", "e.parquet"],
        "manifest": ["--master", "m.parquet", "--profile", "core"],
    }
    file = config(home, "max_retries: 5", "max_retrys: 5")
    printed = error_of(command, *flags.get(command, []), "--config", file)
    assert "source.max_retrys = 5: no such setting" in printed
    assert "other.yaml" in printed


def test_a_missing_configuration_is_named(error_of: ErrorOf) -> None:
    printed = error_of("detect", "--bars", "b.parquet", "--out", "e.parquet", "--config", "nowhere.yaml")
    assert "nowhere.yaml: cannot be read" in printed


def test_a_folder_without_configuration_is_named(
    error_of: ErrorOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLCAPS_HOME", str(tmp_path))
    assert "no config/config.yaml in" in error_of("status")
