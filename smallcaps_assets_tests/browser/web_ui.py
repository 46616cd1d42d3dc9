"""The web UI in processes of its own, a browser to look at it with, and the clicks that the tests share."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import psutil
from playwright.sync_api import APIRequestContext, Locator, Page, expect
from playwright.sync_api import Error as BrowserError

from smallcaps_assets.lake.layout import Lake

REPOSITORY: Final = Path(__file__).parents[2]
HOST: Final = "127.0.0.1"
BROWSER_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
COMMANDS: Final = ("chromium", "chromium-browser", "google-chrome", "microsoft-edge")
INSTALLED: Final = (
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files\Microsoft\Edge\Application\msedge.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
GREEN: Final = '[style*="accent-green"]'
RED: Final = '[style*="accent-red"]'
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


def find_browser() -> str | None:
    """A Chromium on this machine: SMALLCAPS_BROWSER, else on the PATH, else where installers put it."""
    named = os.environ.get("SMALLCAPS_BROWSER")
    if named:
        return shutil.which(named)
    on_path = (shutil.which(command) for command in COMMANDS)
    local = Path(os.environ.get("LOCALAPPDATA", "")) / "Google" / "Chrome" / "Application" / "chrome.exe"
    installed = (str(path) for path in (*INSTALLED, local) if Path(path).is_file())
    return next((path for path in (*on_path, *installed) if path), None)


def until(what: str, condition: Callable[[], object], limit_s: float) -> None:
    """Ask until the answer is true."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"still not so after {limit_s:.0f} s: {what}"
        time.sleep(0.5)


def screenshot(page: Page, name: str) -> None:
    """Renew a picture of the documentation, if that is asked for."""
    if os.environ.get("SMALLCAPS_SCREENSHOTS") == "1":
        page.screenshot(path=REPOSITORY / "docs" / name, animations="disabled")


class WebUI:
    """`smallcaps ui` on a lake of its own."""

    def __init__(self, lake: Path, request: APIRequestContext, *flags: str, **environment: str) -> None:
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://{HOST}:{port}"
        self.lake = Lake(lake)
        self.log = lake.parent / "ui.log"
        self._request = request
        command = [sys.executable, "-m", "smallcaps_assets.cli", "ui", "--host", HOST, "--port", str(port)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--lake", str(lake), *flags],
                cwd=REPOSITORY,
                env={name: value for name, value in os.environ.items() if not name.startswith(("SMALLCAPS", "DAGSTER"))}
                | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )

    @classmethod
    @contextmanager
    def serving(cls, lake: Path, request: APIRequestContext, *flags: str, **environment: str) -> Iterator[Self]:
        """Start it, wait until it answers, and leave neither a process nor state behind."""
        ui = cls(lake, request, *flags, **environment)
        try:
            until("the web UI answers", ui._answers, STARTS_S)
            yield ui
        finally:
            ui.stop()

    def stop(self) -> None:
        """End it as Ctrl-C does; what does not end by then is killed, and is a failure."""
        if self._process.poll() is None:
            if sys.platform == "win32":
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
            else:
                os.killpg(self._process.pid, signal.SIGINT)
        end = time.monotonic() + 40
        while (left := self.processes()) and time.monotonic() < end:
            self._process.poll()
            time.sleep(0.2)
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=20)
        self._process.wait(timeout=20)
        for state in (REPOSITORY / ".dagster" / "lakes").glob(f"{self.lake.root.name}-*"):
            shutil.rmtree(state)
        assert not self.processes()
        # on Windows a group of processes can only be sent a harsher signal, which not all of them heed
        assert not left or sys.platform == "win32", f"Ctrl-C did not end {left}"

    def processes(self) -> list[psutil.Process]:
        """Every process that names this lake on its command line or in its environment."""
        return [process for process in psutil.process_iter() if self._works_here(process)]

    def _works_here(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            said = [*process.cmdline(), *process.environ().values()]
        except (psutil.Error, OSError):  # gone, or somebody else's
            return False
        # the settings of a child are JSON, where a backslash is doubled
        name = self.lake.root.name
        return any(name in text for text in said)

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """What GraphQL answers."""
        answer = self._request.post(f"{self.url}/graphql", data={"query": query, "variables": variables})
        document: dict[str, Any] = answer.json()
        assert "errors" not in document, json.dumps(document["errors"])
        data: dict[str, Any] = document["data"]
        return data

    def _answers(self) -> list[Any]:
        assert self._process.poll() is None, self.log.read_text(encoding="utf-8", errors="replace")
        try:
            found = self.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
        except BrowserError:
            return []
        nodes: list[Any] = found["repositoriesOrError"].get("nodes", [])
        return nodes

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

    def run(self, assets: Sequence[str], first: str, last: str) -> None:
        """Materialize `assets` in one run of this UI's daemon, over a range of symbols where they have partitions."""
        selector = {
            "repositoryLocationName": "smallcaps_assets",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": asset.split("/")} for asset in assets],
        }
        bounds = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        tags = [{"key": key, "value": value} for key, value in bounds.items()]
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}}
        launched = self.ask(_LAUNCH, params=params)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        until(f"the run of {', '.join(assets)} succeeds", lambda: self.last_run() == "SUCCESS", RUNS_S)


class AssetPage:
    """What a person sees and does on the page of one asset."""

    def __init__(self, page: Page, ui: WebUI, asset: str) -> None:
        self._page = page
        self._title = asset.replace("/", " / ")
        page.goto(f"{ui.url}/assets/{asset}?view=partitions")

    def materialize(self) -> None:
        """Launch the run of an asset without partitions."""
        self._page.get_by_role("button").filter(has_text=re.compile("^Materialize$")).click()
        expect(self._page.get_by_text("Launched run")).to_be_visible()

    def materialize_partitions(self, *dimensions: Sequence[str] | None, failed_and_missing: bool = False) -> None:
        """Choose keys in each dimension of the dialog, all where None, and launch what it offers: run or backfill."""
        self._page.get_by_role("button", name="Materialize…").click()
        dialog = self._page.get_by_role("dialog").filter(has_text=f"Launch runs to materialize {self._title}")
        # of the fields that are still empty, the first
        empty = dialog.get_by_text("Select a partition or create one")
        for place, keys in enumerate(dimensions):
            if keys is None:
                dialog.get_by_role("button", name="All", exact=True).nth(place).click()
                expect(empty).to_have_count(len(dimensions) - place - 1)
                continue
            empty.first.click()
            for key in keys:
                self._page.locator("[role=menuitem]").filter(has=self._named(key)).click()
            self._page.keyboard.press("Escape")
            expect(self._page.locator("[role=menuitem]")).to_have_count(0)
        if failed_and_missing:
            dialog.get_by_text("Backfill only failed and missing partitions").click()
        dialog.get_by_role("button", name="Launch").click()
        expect(self._page.get_by_text("Launched run").or_(self._page.get_by_text("Created backfill"))).to_be_visible()
        expect(dialog).to_have_count(0)

    def dots(self, key: str, colour: str = GREEN) -> Locator:
        """The dots of one colour beside a partition's name."""
        return self._page.locator(f'[data-tooltip="{key}"] ~ {colour}')

    def expect_counts(self, *, materialized: int, missing: int, failed: int = 0) -> None:
        """Wait until the page counts its partitions so, and none as under way."""
        counted = {"Materialized": materialized, "Missing": missing, "Failed": failed, "Materializing": 0}
        for state, number in counted.items():
            label = self._page.get_by_text(f"{state} ({number})", exact=True)
            expect(label).to_be_visible(timeout=RUNS_S * 1000)

    def _named(self, key: str) -> Locator:
        return self._page.locator(f'[data-tooltip="{key}"]')
