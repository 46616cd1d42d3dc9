"""A demo that is backed up and restored elsewhere says what it said: files, states of partitions, runs and checks."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets_tests.demo.conftest import FLAGS, Home
from smallcaps_assets_tests.docs.shell import Shell
from smallcaps_assets_tests.web_server import WebUI


def said(shell: Shell) -> tuple[list[str], dict[str, Any]]:
    """What `status` and `verify` say, without the place of the lake and the time it took."""
    status = shell.run("smallcaps status").splitlines()
    verified = json.loads(shell.run("smallcaps verify --json"))
    del verified["lake"], verified["files"]["seconds"]
    for profile in verified["profiles"]:
        del profile["seconds"]
    return [line for line in status if not line.startswith("lake ") and "smallcaps " not in line], verified


_ASSETS = """{ assetNodes { assetKey { path } staleStatus staleCauses { key { path } category reason }
  partitionStats { numPartitions numMaterialized numMaterializing numFailed }
  assetPartitionStatuses { __typename
    ... on DefaultPartitionStatuses { materializedPartitions failedPartitions unmaterializedPartitions }
    ... on MultiPartitionStatuses { ranges { primaryDimStartKey primaryDimEndKey secondaryDim {
      ... on DefaultPartitionStatuses { materializedPartitions failedPartitions unmaterializedPartitions } } } } }
  assetMaterializations(limit: 1000) { timestamp runId partition tags { key value } metadataEntries { label
    ... on TextMetadataEntry { text } ... on IntMetadataEntry { intRepr } ... on FloatMetadataEntry { floatValue } } }
  assetObservations(limit: 1000) { timestamp runId partition }
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization {
    status runId timestamp evaluation { success description } } } } } } }"""
_RUNS = """{ runsOrError(limit: 1000) { ... on Runs { count results { runId status jobName startTime endTime
  tags { key value } assetSelection { path } assetCheckSelection { name } eventConnection(limit: 1000) { events {
    __typename ... on MessageEvent { message timestamp stepKey } } } } } }
  partitionBackfillsOrError { ... on PartitionBackfills { results { id status partitionNames } } } }"""


def answered(home: Home) -> dict[str, Any]:
    """What the web UI's server answers about assets, partitions, staleness, checks and runs with their logs."""
    ui = WebUI(home.lake.root, "--read-only", home=home.folder, environment={"SMALLCAPS_HOME": str(home.folder)})
    try:
        ui.wait_until_it_answers()
        found = ui.ask(_ASSETS) | ui.ask(_RUNS)
    finally:
        ui.stop()
    for run in found["runsOrError"]["results"]:
        # sets, in any order
        run["assetSelection"] = sorted(key["path"] for key in run["assetSelection"] or [])
        run["assetCheckSelection"] = sorted(check["name"] for check in run["assetCheckSelection"] or [])
    # texts of metadata and of logs name files
    answer: dict[str, Any] = json.loads(json.dumps(found).replace(json.dumps(str(home.folder))[1:-1], "HOME"))
    return answer


@pytest.mark.long
def test_a_restored_demo_says_what_the_demo_said(copy_of_demo: Home, tmp_path: Path) -> None:
    before = copy_of_demo.bytes_of_lake()
    home, backup = Home.make(tmp_path / "other" / "home"), shlex.quote(str(tmp_path / "backup"))
    with Shell(copy_of_demo.folder) as original, Shell(home.folder) as restored:
        assert original.run(f"smallcaps backup {backup}")
        assert copy_of_demo.bytes_of_lake() == before
        assert restored.run(f"smallcaps restore {backup} --lake lake")
        assert home.bytes_of_lake() == before
        assert said(restored) == said(original)
    answers = answered(home)
    assert answers == answered(copy_of_demo)
    # the answers show something
    counts = [node["partitionStats"] for node in answers["assetNodes"] if node["partitionStats"]]
    assert sum(count["numMaterialized"] > 0 for count in counts) > 3
    assert any(count["numFailed"] for count in counts), "none has failed"
    assert any(
        run["status"] == "SUCCESS" and run["eventConnection"]["events"] for run in answers["runsOrError"]["results"]
    )
    assert {"FRESH", "MISSING"} <= {node["staleStatus"] for node in answers["assetNodes"]}
    checks = [check for node in answers["assetNodes"] for check in node["assetChecksOrError"].get("checks", [])]
    assert any(check["executionForLatestMaterialization"] for check in checks)


@pytest.mark.long
def test_a_demo_on_a_restored_lake_fetches_and_changes_nothing(copy_of_demo: Home, tmp_path: Path) -> None:
    copy_of_demo.run("backup", str(tmp_path / "backup"))
    home = Home.make(tmp_path / "restored")
    home.run("restore", str(tmp_path / "backup"), "--lake", str(home.lake.root))
    before = home.bytes_of_lake()
    assert ": 0 requests, 0 retries in " in home.run("demo", *FLAGS)
    assert home.bytes_of_lake() == before
