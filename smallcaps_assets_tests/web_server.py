"""`smallcaps ui` as separate processes, queried as a browser does."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import psutil
import requests

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.free_ports import HOST, free_port
from smallcaps_assets_tests.repository import REPOSITORY

# a run takes 10 s to start, a backfill up to 30 s more; a busy machine takes a multiple of that
STARTS_S: Final = 120
RUNS_S: Final = 180

_STATUS: Final = """
query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats { numMaterialized numFailed }
  assetPartitionStatuses {
    ... on DefaultPartitionStatuses { materializedPartitions }
    ... on MultiPartitionStatuses {
      ranges {
        primaryDimStartKey primaryDimEndKey
        secondaryDim { ... on DefaultPartitionStatuses { materializedPartitions } }
      }
    }
  }
} } }"""
_LAUNCH: Final = """
mutation ($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
} }"""

# the web server caches the code's definitions; this query is not answered from the cache
_ASKS_CODE: Final = """
query ($selector: PipelineSelector!) { runConfigSchemaOrError(selector: $selector, mode: "default") { __typename } }"""


def until(what: str, condition: Callable[[], object], limit_s: float) -> None:
    """Poll until the answer is true."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"still not so after {limit_s:.0f} s: {what}"
        time.sleep(0.5)


class WebUI:
    """`smallcaps ui` on a separate lake."""

    def __init__(
        self,
        lake: Path,
        *flags: str,
        home: Path = REPOSITORY,
        environment: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        """Start it on `port`, or else on a free one."""
        self.port: int = port or free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.lake = Lake(lake)
        self.log = lake.parent / "ui.log"
        command = [sys.executable, "-m", "smallcaps_assets.cli", "ui", "--host", HOST, "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--lake", str(lake), *flags],
                cwd=home,
                env={name: value for name, value in os.environ.items() if not name.startswith(("SMALLCAPS", "DAGSTER"))}
                | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )

    @classmethod
    @contextmanager
    def serving(cls, lake: Path, *flags: str, environment: Mapping[str, str] | None = None) -> Iterator[Self]:
        """Start it, wait until it answers; at the end no process and no state remain."""
        ui = cls(lake, *flags, environment=environment)
        try:
            ui.wait_until_it_answers()
            yield ui
        finally:
            ui.stop()
            for state in (REPOSITORY / ".dagster" / "lakes").glob(f"{lake.name}-*"):
                shutil.rmtree(state)

    def wait_until_it_answers(self) -> None:
        """Wait until it lists the assets."""
        until("the web UI answers", self._answers, STARTS_S)

    def wait_for_its_code(self) -> None:
        """Wait until its code server answers, after which runs can be launched."""
        selector = _selector(["minute_bars"])

        def answers() -> bool:
            answer = self.ask(_ASKS_CODE, selector=selector)["runConfigSchemaOrError"]
            return bool(answer["__typename"] == "RunConfigSchema")

        until("the code server answers", answers, STARTS_S)

    def stop(self) -> None:
        """Stop it as Ctrl-C does; processes that remain are killed, and fail the test."""
        if self.process.poll() is None:
            self.process.send_signal(signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGINT)
        self.require_end()

    def require_end(self) -> None:
        """Make sure that it ends, and every process that it started."""
        end = time.monotonic() + 40
        while (left := self.processes()) and time.monotonic() < end:
            self.process.poll()
            time.sleep(0.2)
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=20)
        self.process.wait(timeout=20)
        assert not self.processes()
        assert not left, f"Ctrl-C did not end {left}"

    def processes(self) -> list[psutil.Process]:
        """Every process that names this lake on its command line or in its environment."""
        return [process for process in psutil.process_iter() if self._works_here(process)]

    def _works_here(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            texts = [*process.cmdline(), *process.environ().values()]
        except (psutil.Error, OSError):  # ended, or of another user
            return False
        # the whole path, for others may work on a lake of the same name; settings of a child are JSON
        path = str(self.lake.root)
        names = (path, json.dumps(path)[1:-1])
        return any(name in text for text in texts for name in names)

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """The answer of a GraphQL query."""
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60)
        document: dict[str, Any] = answer.json()
        assert "errors" not in document, json.dumps(document["errors"])
        data: dict[str, Any] = document["data"]
        return data

    def _answers(self) -> list[Any]:
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8", errors="replace")
        try:
            found = self.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
        except requests.RequestException:
            return []
        nodes: list[Any] = found["repositoriesOrError"].get("nodes", [])
        return nodes

    def run_ids(self) -> list[str]:
        """The runs that were launched."""
        found = self.ask("{ runsOrError { ... on Runs { results { runId } } } }")["runsOrError"]["results"]
        return [run["runId"] for run in found]

    def open_backfills(self) -> list[str]:
        """The backfills that Dagster's daemon has not closed; it does so up to half a minute after their last run."""
        asked = "{ partitionBackfillsOrError(status: REQUESTED) { ... on PartitionBackfills { results { id } } } }"
        return [backfill["id"] for backfill in self.ask(asked)["partitionBackfillsOrError"]["results"]]

    def loaded_at(self) -> float | None:
        """When the code location was loaded; None while it is not, or cannot be."""
        asked = "locationEntries { updatedTimestamp loadStatus locationOrLoadError { __typename } }"
        workspace = self.ask(f"{{ workspaceOrError {{ ... on Workspace {{ {asked} }} }} }}")["workspaceOrError"]
        (entry,) = workspace["locationEntries"]
        is_loaded = entry["loadStatus"] == "LOADED"
        is_sound = (entry["locationOrLoadError"] or {}).get("__typename") == "RepositoryLocation"
        return float(entry["updatedTimestamp"]) if is_loaded and is_sound else None

    def last_run(self) -> str | None:
        """The status of the run that was launched last."""
        runs = self.ask("{ runsOrError(limit: 1) { ... on Runs { results { status } } } }")["runsOrError"]["results"]
        assert [run["status"] for run in runs] not in (["FAILURE"], ["CANCELED"]), self.log.read_text(encoding="utf-8")
        return runs[0]["status"] if runs else None

    def materialized(self, asset: str, *, failed: int = 0) -> set[str]:
        """The keys of the partitions that Dagster counts as materialized; `A|B` where there are two dimensions."""
        node = self.ask(_STATUS, key={"path": asset.split("/")})["assetNodeOrError"]
        stats, statuses = node["partitionStats"], node["assetPartitionStatuses"]
        assert stats["numFailed"] == failed, f"{asset}: {statuses}"
        keys: set[str] = set(statuses.get("materializedPartitions", []))
        followed = self.symbols() if "ranges" in statuses else []
        for span in statuses.get("ranges", []):
            first, last = followed.index(span["primaryDimStartKey"]), followed.index(span["primaryDimEndKey"])
            waves = span["secondaryDim"]["materializedPartitions"]
            keys |= {f"{symbol}|{wave}" for symbol in followed[first : last + 1] for wave in waves}
        assert stats["numMaterialized"] == len(keys)
        return keys

    def symbols(self) -> list[str]:
        """The partitions of `minute_bars`, in order."""
        node = self.ask(
            "query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys } } }",
            key={"path": ["minute_bars"]},
        )
        keys: list[str] = node["assetNodeOrError"]["partitionKeys"]
        return keys

    def launch(self, assets: Sequence[str], first: str = "", last: str = "", **tags: str) -> str:
        """Launch one run of `assets`, over a range of symbols where they have partitions; returns its id."""
        bounds = (
            {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last} if first else {}
        )
        listed = [{"key": key, "value": value} for key, value in (bounds | tags).items()]
        params = {"selector": _selector(assets), "mode": "default", "executionMetadata": {"tags": listed}}
        launched = self.ask(_LAUNCH, params=params)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id: str = launched["run"]["runId"]
        return run_id

    def run(self, assets: Sequence[str], first: str = "", last: str = "") -> None:
        """Materialize `assets` in one run of this UI's daemon."""
        self.launch(assets, first, last)
        until(f"the run of {', '.join(assets)} succeeds", lambda: self.last_run() == "SUCCESS", RUNS_S)


def _selector(assets: Sequence[str]) -> dict[str, object]:
    return {
        "repositoryLocationName": "smallcaps_assets",
        "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": asset.split("/")} for asset in assets],
    }
