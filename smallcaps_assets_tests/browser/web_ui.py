"""A browser for the web UI, and the clicks that the tests share."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from playwright.sync_api import Locator, Page, expect

from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.web_server import RUNS_S, WebUI

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


def find_browser() -> str | None:
    """A Chromium on this machine: SMALLCAPS_BROWSER, else on the PATH, else at the place of an installer."""
    named = os.environ.get("SMALLCAPS_BROWSER")
    if named:
        return shutil.which(named)
    on_path = (shutil.which(command) for command in COMMANDS)
    local = Path(os.environ.get("LOCALAPPDATA", "")) / "Google" / "Chrome" / "Application" / "chrome.exe"
    installed = (str(path) for path in (*INSTALLED, local) if Path(path).is_file())
    return next((path for path in (*on_path, *installed) if path), None)


def screenshot(page: Page, name: str) -> None:
    """Renew an image of the documentation if SMALLCAPS_SCREENSHOTS is 1."""
    if os.environ.get("SMALLCAPS_SCREENSHOTS") == "1":
        page.screenshot(path=REPOSITORY / "docs" / "images" / name, animations="disabled")


class AssetPage:
    """The page of one asset: its elements and actions."""

    def __init__(self, page: Page, ui: WebUI, asset: str) -> None:
        self._page = page
        self._title = asset.replace("/", " / ")
        page.goto(f"{ui.url}/assets/{asset}?view=partitions")

    def materialize(self) -> None:
        """Launch the run of an asset without partitions."""
        self._page.get_by_role("button").filter(has_text=re.compile("^Materialize$")).click()
        expect(self._page.get_by_text("Launched run")).to_be_visible()

    def materialize_partitions(self, *dimensions: Sequence[str] | None, failed_and_missing: bool = False) -> None:
        """Choose keys in each dimension of the dialog (all if None) and launch the run or backfill that it offers."""
        self._page.get_by_role("button", name="Materialize…").click()
        dialog = self._page.get_by_role("dialog").filter(has_text=f"Launch runs to materialize {self._title}")
        # the first field that is still empty
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
        """The dots of one colour next to a partition's name."""
        return self._page.locator(f'[data-tooltip="{key}"] ~ {colour}')

    def expect_counts(self, *, materialized: int, missing: int, failed: int = 0) -> None:
        """Wait until the page shows these counts, and no partition in progress."""
        counted = {"Materialized": materialized, "Missing": missing, "Failed": failed, "Materializing": 0}
        for state, number in counted.items():
            label = self._page.get_by_text(f"{state} ({number})", exact=True)
            expect(label).to_be_visible(timeout=RUNS_S * 1000)

    def _named(self, key: str) -> Locator:
        return self._page.locator(f'[data-tooltip="{key}"]')
