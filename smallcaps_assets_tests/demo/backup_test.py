"""A demo that is backed up and restored elsewhere says what it said: files, states of partitions, runs and checks."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.settings.settings import instance_config
from smallcaps_assets_tests.demo.conftest import FLAGS, Home
from smallcaps_assets_tests.docs.shell import Shell
from smallcaps_assets_tests.scenarios import default_settings


def said(shell: Shell) -> tuple[list[str], dict[str, Any]]:
    """What `status` and `verify` say, without the place of the lake and the time it took."""
    status = shell.run("smallcaps status").splitlines()
    verified = json.loads(shell.run("smallcaps verify --json"))
    del verified["lake"], verified["files"]["seconds"]
    for profile in verified["profiles"]:
        del profile["seconds"]
    return [line for line in status if not line.startswith("lake ") and "smallcaps " not in line], verified


def shown(state: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the web UI shows of each asset and check, from the state alone, and the runs."""
    monkeypatch.setenv("DAGSTER_HOME", str(state))
    found: dict[str, Any] = {}
    with dg.DagsterInstance.get() as instance:
        for spec in build_defs(default_settings()).resolve_all_asset_specs():
            key, partitions = spec.key, spec.partitions_def
            latest = instance.get_latest_materialization_event(key)
            status = get_and_update_asset_status_cache_value(instance, key, partitions) if partitions else None
            found[key.to_user_string()] = (
                latest and latest.timestamp,
                status and status.serialized_materialized_partition_subset,
                status and status.serialized_failed_partition_subset,
            )
        found["runs"] = {run.run_id: run.status for run in instance.get_runs()}
        found["symbols"] = sorted(instance.get_dynamic_partitions(SYMBOLS.name or ""))
    return found


@pytest.mark.long
def test_a_restored_demo_says_what_the_demo_said(demo: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = demo.bytes_of_lake()
    home, backup = Home.make(tmp_path / "home"), shlex.quote(str(tmp_path / "backup"))
    with Shell(demo.folder) as original, Shell(home.folder) as restored:
        assert original.run(f"smallcaps backup {backup}")
        assert demo.bytes_of_lake() == before
        assert restored.run(f"smallcaps restore {backup} --lake lake")
        assert home.bytes_of_lake() == before
        assert said(restored) == said(original)
    states = []
    for one in (demo, home):
        # a copy: to look at a state changes what Dagster remembers of it
        folder = tmp_path / f"state{len(states)}"
        shutil.copytree(one.folder / ".dagster", folder)
        (folder / "dagster.yaml").write_text(instance_config(one.folder / "dagster.yaml", folder), encoding="utf-8")
        states.append(shown(folder, monkeypatch))
    assert states[0] == states[1]
    assert sum(value[1] is not None for name, value in states[0].items() if name not in {"runs", "symbols"}) > 3
    assert any(value[2] for name, value in states[0].items() if name not in {"runs", "symbols"}), "none has failed"


@pytest.mark.long
def test_a_demo_on_a_restored_lake_fetches_and_changes_nothing(copy_of_demo: Home, tmp_path: Path) -> None:
    copy_of_demo.run("backup", str(tmp_path / "backup"))
    home = Home.make(tmp_path / "restored")
    home.run("restore", str(tmp_path / "backup"), "--lake", str(home.lake.root))
    before = home.bytes_of_lake()
    assert ": 0 requests, 0 retries in " in home.run("demo", *FLAGS)
    assert home.bytes_of_lake() == before
